//! Room for the messages of one connection: queries that are arriving, and replies that have yet to be taken.
//!
//! HTTP/2 lets a client begin a hundred requests at once and finish none of them, or take no reply to any.
//!
//! Knows nothing of what messages say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Octets that one connection may leave with us: eight of the longest messages, or 5 KiB for each of as many requests as
/// there may be at once.
const OCTETS_MAX: usize = 512 << 10;

/// The room of one connection. Cloning is cheap, and gives the same room.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// A part of it, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Room,
    octets: usize,
}

impl Room {
    /// Nothing of it, to be grown.
    pub(super) fn none(&self) -> Taken {
        Taken { room: self.clone(), octets: 0 }
    }
}

impl Taken {
    /// Takes so much more. Whether there was as much.
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= OCTETS_MAX);
        let grown = self.room.0.fetch_update(Relaxed, Relaxed, fits).is_ok();
        if grown {
            self.octets += more;
        }
        grown
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.octets, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let room = Room::default();
        let (mut one, mut two) = (room.none(), room.none());
        assert!(one.grow(OCTETS_MAX - 10) && one.grow(5));
        assert!(!two.grow(6) && !two.grow(usize::MAX) && two.grow(5));
        drop(one);
        assert!(two.grow(OCTETS_MAX - 5) && !two.grow(1) && two.grow(0));
        drop(two);
        assert!(room.none().grow(OCTETS_MAX));
    }
}
