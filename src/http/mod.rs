//! HTTP/1.1 connections: accepted within bounds, under TLS where that is asked for, their bodies read within bounds,
//! finished in order at the end. For the API, and for the calls of other systems' clients. And one request at the other
//! end of a connection, for all who ask anybody: [`client`].
//!
//! ```text
//! listener --accept--> connection --[TLS]--> connection.rs --request with its Peer--> Router
//! ```
//!
//! [`Accepting`] takes any service of connections, and [`Http`] is one.
//!
//! Knows nothing of routes, and of what is asked and answered.

mod accept;
mod arrival;
mod body;
mod busy;
pub mod client;
mod connection;
mod counters;
mod host;

pub use accept::Accepting;
pub use body::{BodyError, body_within};
pub use connection::{Http, Peer};
pub use counters::{Counted, Counters};
pub use host::{HostError, check_host};
