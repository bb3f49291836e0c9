//! From a query's octets to a reply's: one pure function, and the sockets around it.
//!
//! Knows nothing of registries.

pub mod answer;
pub mod query;
mod records;
pub mod reply;
pub mod settings;

pub use answer::{Ask, Transport, Verdict, answer};
pub use reply::Out;
pub use settings::Settings;
