//! One socket of the load: batches of queries out, batches of replies in, and which of them belong together.
//!
//! Knows nothing of when to send.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg};

use super::questions::{HEADER_OCTETS, Mix, QUERY_OCTETS_MAX, RANDOM_LABEL};
use super::tally::{Check, Tally};

/// Datagrams moved by one call.
pub(crate) const BATCH: usize = 32;
/// Octets of the longest reply.
const REPLY_OCTETS_MAX: usize = 2_048;

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

/// The socket and its queries under way.
pub(crate) struct Lane {
    socket: UdpSocket,
    slots: Vec<Slot>,
    /// Slots without a query under way; those in front were free for the longest time.
    free: VecDeque<usize>,
    out: MultiHeaders<()>,
    into: MultiHeaders<()>,
    replies: Box<[[u8; REPLY_OCTETS_MAX]; BATCH]>,
    random: fastrand::Rng,
}

impl Lane {
    /// A socket of its own for so many queries at once, a power of two.
    pub(crate) fn new(to: SocketAddr, window: usize) -> io::Result<Self> {
        assert!(window.is_power_of_two() && window <= 1 << 15, "a slot's number is part of an id");
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        let slot = Slot {
            octets: [0; QUERY_OCTETS_MAX],
            len: 0,
            question: 0,
            uses: 0,
            under_way: false,
            at: Duration::ZERO,
        };
        Ok(Self {
            socket,
            slots: vec![slot; window],
            free: (0..window).collect(),
            out: MultiHeaders::preallocate(BATCH, None),
            into: MultiHeaders::preallocate(BATCH, None),
            replies: Box::new([[0; REPLY_OCTETS_MAX]; BATCH]),
            random: fastrand::Rng::with_seed(5),
        })
    }

    /// Room for queries.
    pub(crate) fn room(&self) -> usize {
        self.free.len()
    }

    /// Queries under way.
    pub(crate) fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Sends up to `count` of the mix's questions from `next` on, which it advances; gives how many the socket
    /// took.
    pub(crate) fn send(
        &mut self,
        mix: &Mix,
        next: &mut usize,
        count: usize,
        at: Duration,
        tally: &mut Tally,
    ) -> io::Result<usize> {
        let mut taken = [0; BATCH];
        let count = count.min(BATCH).min(self.free.len());
        for place in &mut taken[..count] {
            *place = self.free.pop_front().expect("counted before");
            self.fill(*place, mix, *next, at);
            *next = if *next + 1 == mix.questions.len() { 0 } else { *next + 1 };
        }
        let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|i| {
            let slot = &self.slots[taken[i]];
            [IoSlice::new(&slot.octets[..slot.len])]
        });
        let nowhere = [None; BATCH];
        let sent = sendmmsg(
            self.socket.as_raw_fd(),
            &mut self.out,
            &slices[..count],
            &nowhere[..count],
            [],
            MsgFlags::MSG_DONTWAIT,
        );
        let sent = match sent {
            Ok(results) => results.count(),
            // A full queue, or an earlier datagram that nobody took: the next one may go.
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED) => 0,
            Err(error) => return Err(error.into()),
        };
        for place in &taken[..sent] {
            self.slots[*place].under_way = true;
        }
        for place in taken[sent..count].iter().rev() {
            self.free.push_front(*place);
        }
        tally.sent += sent as u64;
        Ok(sent)
    }

    fn fill(&mut self, place: usize, mix: &Mix, question: usize, at: Duration) {
        let slots = self.slots.len();
        let slot = &mut self.slots[place];
        let octets = mix.questions[question].octets();
        slot.octets[..octets.len()].copy_from_slice(octets);
        (slot.len, slot.question, slot.at) = (octets.len(), question, at);
        slot.uses = slot.uses.wrapping_add(1);
        // Id: uses above, place below.
        let id = (usize::from(slot.uses) * slots + place) as u16;
        slot.octets[..2].copy_from_slice(&id.to_be_bytes());
        if mix.never_repeats {
            let mut bits = self.random.u64(..);
            for octet in &mut slot.octets[HEADER_OCTETS + 1..][..RANDOM_LABEL] {
                *octet = b'a' + (bits % 16) as u8;
                bits /= 16;
            }
        }
    }

    /// Takes what has come, at most a batch, and counts it; gives how much it was.
    pub(crate) fn receive(
        &mut self,
        mix: &Mix,
        check: Check,
        now: impl FnOnce() -> Duration,
        tally: &mut Tally,
    ) -> io::Result<usize> {
        let mut lengths = [0; BATCH];
        let mut slices = self.replies.each_mut().map(|reply| [IoSliceMut::new(reply)]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let socket = self.socket.as_raw_fd();
        let mut count = 0;
        match recvmmsg(socket, &mut self.into, slices.iter_mut(), flags, None) {
            Ok(results) => {
                for reply in results {
                    lengths[count] = reply.bytes;
                    count += 1;
                }
            }
            Err(Errno::EAGAIN | Errno::ECONNREFUSED) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
        let now = now();
        for (at, length) in lengths[..count].iter().enumerate() {
            self.take(at, *length, mix, check, now, tally);
        }
        Ok(count)
    }

    fn take(
        &mut self,
        at: usize,
        length: usize,
        mix: &Mix,
        check: Check,
        now: Duration,
        tally: &mut Tally,
    ) {
        let reply = &self.replies[at][..length];
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
