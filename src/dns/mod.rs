//! From a query's octets to a reply's: one pure function, and the sockets around it.
//!
//! Knows nothing of registries.

pub mod answer;
pub mod settings;

pub use answer::{Ask, Out, Transport, Verdict, answer};
pub use settings::Settings;
