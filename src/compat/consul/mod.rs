//! The agent of Consul, as far as clients that register with it need.
//!
//! Knows nothing of DNS.

mod agent;
mod answer;
mod background;
mod catalog;
pub mod definition;
mod duration;
mod instance;
mod keeper;
mod listener;
mod query;
mod read;
mod run;
mod tags;
mod view;
mod write;

pub use duration::GoDuration;
pub use tags::Tags;

pub(super) use listener::router;
