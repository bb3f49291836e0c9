//! The agent of Consul, as far as clients that register with it need: here is how they write durations.
//!
//! Knows nothing of sockets and of the clock.

mod duration;

pub use duration::GoDuration;
