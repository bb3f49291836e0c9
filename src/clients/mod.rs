//! Who is connected: what counts as one client, and who must go when there is no room.
//!
//! Knows nothing of sockets, and of what is said on them.

mod network;
mod seats;

pub use network::{IPV4_PREFIX, IPV6_PREFIX, Network};
pub use seats::{Full, Seat, Seats};
