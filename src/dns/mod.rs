//! From a query's octets to a reply's: one pure function, and the sockets around it.
//!
//! Knows nothing of registries.

pub mod answer;
pub mod bind;
mod datagram;
pub mod query;
mod records;
pub mod reply;
pub mod settings;
pub mod stats;
mod tcp;
mod udp;

pub use answer::{Ask, Transport, Verdict, answer};
pub use bind::{BindError, Bound, bind};
pub use reply::Out;
pub use settings::Settings;
pub use stats::Stats;
