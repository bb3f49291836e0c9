//! The agent of Consul, as far as clients that register with it need.
//!
//! Knows nothing of DNS.

mod agent;
mod catalog;
pub mod definition;
mod duration;
mod instance;
mod listener;
mod tags;
mod view;

pub use duration::GoDuration;
pub use tags::Tags;

pub(super) use listener::router;
