//! The agent of Consul, as far as clients that register with it need: here is how they write durations and tags.
//!
//! Knows nothing of sockets and of the clock.

mod duration;
mod listener;
mod tags;

pub use duration::GoDuration;
pub use tags::Tags;

pub(super) use listener::router;
