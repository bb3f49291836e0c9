//! The HTTP API over real sockets: one test a rule of docs/api.md.
//!
//! Real are the server, the sockets and the memory registry. [`compiler`] stands in for the catalogue: it
//! makes directories and events of what is in the registry, and can be held back, so that tests see a server
//! whose answers are behind.

mod access;
mod client;
mod compiler;
mod framing;
mod health;
mod heartbeat;
mod marks;
mod read;
mod register;
mod registry;
mod server;
mod trouble;
mod watch;
