//! Queries under way on one connection: ids that find them again, and room for a fixed number of them.
//!
//! Knows nothing of sockets.

use std::collections::VecDeque;
use std::time::Duration;

use super::questions::{HEADER_OCTETS, Mix, QUERY_OCTETS_MAX, RANDOM_LABEL};
use super::tally::{Check, Tally};

/// A query under way, or room for one.
#[derive(Clone)]
struct Slot {
    octets: [u8; QUERY_OCTETS_MAX],
    len: usize,
    question: usize,
    /// The times this slot was used: the upper part of the query's id.
    uses: u16,
    under_way: bool,
    /// When it was sent, or should have been.
    at: Duration,
}

/// A window of queries.
pub(crate) struct Slots {
    /// A power of two of them, since a slot's place is a part of an id; those beyond the window stay unused.
    slots: Vec<Slot>,
    window: usize,
    /// Those without a query under way; those in front were free for the longest time.
    free: VecDeque<usize>,
    random: fastrand::Rng,
}

impl Slots {
    /// For so many queries at once.
    pub(crate) fn new(window: usize) -> Self {
        assert!(window <= 1 << 15, "an id has room for a place and for a count of its uses");
        let slot = Slot {
            octets: [0; QUERY_OCTETS_MAX],
            len: 0,
            question: 0,
            uses: 0,
            under_way: false,
            at: Duration::ZERO,
        };
        let random = fastrand::Rng::with_seed(5);
        let slots = vec![slot; window.next_power_of_two()];
        Self { slots, window, free: (0..window).collect(), random }
    }

    /// Room for queries.
    pub(crate) fn room(&self) -> usize {
        self.free.len()
    }

    /// Queries under way.
    pub(crate) fn under_way(&self) -> usize {
        self.window - self.free.len()
    }

    /// Begins one of the mix's questions, if there is room, and gives its place.
    pub(crate) fn begin(&mut self, mix: &Mix, question: usize, at: Duration) -> Option<usize> {
        let places = self.slots.len();
        let place = self.free.pop_front()?;
        let slot = &mut self.slots[place];
        let octets = mix.questions[question].octets();
        slot.octets[..octets.len()].copy_from_slice(octets);
        (slot.len, slot.question, slot.at, slot.under_way) = (octets.len(), question, at, true);
        slot.uses = slot.uses.wrapping_add(1);
        // Id: uses above, place below.
        let id = (usize::from(slot.uses) * places + place) as u16;
        slot.octets[..2].copy_from_slice(&id.to_be_bytes());
        if mix.never_repeats {
            let mut bits = self.random.u64(..);
            for octet in &mut slot.octets[HEADER_OCTETS + 1..][..RANDOM_LABEL] {
                *octet = b'a' + (bits % 16) as u8;
                bits /= 16;
            }
        }
        Some(place)
    }

    /// The query at a place.
    pub(crate) fn query(&self, place: usize) -> &[u8] {
        let slot = &self.slots[place];
        &slot.octets[..slot.len]
    }

    /// Takes back the last that was begun, which could not be sent.
    pub(crate) fn take_back(&mut self, place: usize) {
        self.slots[place].under_way = false;
        self.free.push_front(place);
    }

    /// Finds the query that a reply answers, and counts what became of it.
    pub(crate) fn take(
        &mut self,
        reply: &[u8],
        mix: &Mix,
        check: Check,
        now: Duration,
        tally: &mut Tally,
    ) {
        let Some([high, low]) = reply.first_chunk() else {
            tally.wrong("a reply without an id", reply);
            return;
        };
        let id = u16::from_be_bytes([*high, *low]);
        let place = usize::from(id) & (self.slots.len() - 1);
        let slot = &mut self.slots[place];
        if !slot.under_way || slot.octets[..2] != reply[..2] {
            tally.late += 1;
            return;
        }
        slot.under_way = false;
        self.free.push_back(place);
        let query = &slot.octets[..slot.len];
        tally.answered(query, reply, now.saturating_sub(slot.at));
        if let Err(why) = check.holds(query, reply, &mix.questions[slot.question].expect) {
            tally.wrong(why, reply);
        }
    }

    /// Gives up what was sent before that time and has no reply.
    pub(crate) fn give_up(&mut self, before: Duration, tally: &mut Tally) {
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if slot.under_way && slot.at < before {
                slot.under_way = false;
                self.free.push_back(place);
                tally.lost += 1;
            }
        }
    }
}
