//! rollcall is a DNS server that knows which instances of a service are alive.
//!
//! Services register with one HTTP call, or in the etcd format they already use; any program finds them
//! with the resolver it already has. The first rule: answer from memory, and never out of ignorance.
//! Registries come and go; what was known stays in answers until something newer is known.
//!
//! ```text
//! etcd | embedded --batches--> mirror --> layout --> catalogue --touched apps--> app blocks --> snapshot
//!     ^                                                                                          |
//! HTTP API, CLI                 udp | tcp | tls | https | quic | h3  <-- answer() ---------------+
//! ```
//!
//! In reading order, from the words to the whole; each room uses only those before it.

pub mod model;

pub mod registry;

pub mod layout;

pub mod zone;

pub mod tls;

pub mod dns;

pub mod http;

pub mod compat;

pub mod moving;

pub mod api;

pub mod config;

pub mod serve;

pub mod cli;

pub mod clients;

pub mod files;

pub mod host;

pub mod supervise;
