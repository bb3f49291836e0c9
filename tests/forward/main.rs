//! Names of others: what a client hears of them, what upstream servers are asked, and that our own names never suffer.
//!
//! Nothing here waits by the clock for something to have happened: every wait is for an event, with a deadline that
//! only a failure reaches.

mod bounds;
mod config;
mod host;
mod others;
mod own;
#[path = "../clients/program.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod program;
mod replies;
#[path = "../support/dns.rs"]
mod served;
#[path = "../support/mod.rs"]
mod support;
mod upstream;
#[path = "../support/wire.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod wire;
mod world;
