//! DNS over UDP and TCP as sockets: what arrives how, who is limited or cut off, and what rubbish does not harm.

#[path = "../support/dns.rs"]
mod dns;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/world.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod world;

mod abuse;
mod limits;
mod transport;
