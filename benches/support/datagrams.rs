//! A UDP socket of the load: batches of queries out, batches of replies in.
//!
//! Knows nothing of when to send.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, MultiResults, recvmmsg, sendmmsg, sendmsg,
};

use super::load::Lane;
use super::machine::monotonic;
use super::questions::Mix;
use super::slots::Slots;
use super::tally::{Check, Tally};

/// Datagrams moved by one call.
const BATCH: usize = 32;
/// Octets of the longest reply.
const REPLY_OCTETS_MAX: usize = 2_048;

/// The socket and its queries under way.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    bundled: bool,
    slots: Slots,
    out: MultiHeaders<()>,
    into: MultiHeaders<()>,
    replies: Box<[[u8; REPLY_OCTETS_MAX]; BATCH]>,
}

impl Datagrams {
    /// A socket of its own for so many queries at once.
    ///
    /// Bundled, queries of one length go out as one large datagram which the system takes apart (UDP_SEGMENT): for
    /// loads that cost us more to make than the server to drop.
    pub(crate) fn new(to: SocketAddr, window: usize, bundled: bool) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            bundled,
            slots: Slots::new(window),
            out: MultiHeaders::preallocate(BATCH, None),
            into: MultiHeaders::preallocate(BATCH, None),
            replies: Box::new([[0; REPLY_OCTETS_MAX]; BATCH]),
        })
    }

    /// Sends the queries at these places; gives how many went out.
    fn transmit(&mut self, places: &[usize]) -> nix::Result<usize> {
        let Some(first) = places.first() else { return Ok(0) };
        let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        if self.bundled {
            let length = self.slots.query(*first).len();
            let alike = places.iter().take_while(|place| self.slots.query(**place).len() == length);
            let mut slices = [IoSlice::new(&[]); BATCH];
            let mut count = 0;
            for (slice, place) in slices.iter_mut().zip(alike) {
                *slice = IoSlice::new(self.slots.query(*place));
                count += 1;
            }
            let length = u16::try_from(length).expect("a query is short");
            let apart = [ControlMessage::UdpGsoSegments(&length)];
            return sendmsg::<()>(socket, &slices[..count], &apart, flags, None).map(|_| count);
        }
        let mut slices = [[IoSlice::new(&[])]; BATCH];
        for (slice, place) in slices.iter_mut().zip(places) {
            *slice = [IoSlice::new(self.slots.query(*place))];
        }
        let nowhere = [None; BATCH];
        let (slices, nowhere) = (&slices[..places.len()], &nowhere[..places.len()]);
        sendmmsg(socket, &mut self.out, slices, nowhere, [], flags).map(MultiResults::count)
    }
}

impl Lane for Datagrams {
    fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }

    fn send(
        &mut self,
        mix: &Mix,
        next: &mut usize,
        count: usize,
        at: Duration,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let mut taken = [0; BATCH];
        let mut count = count.min(BATCH);
        for (i, taken) in taken[..count].iter_mut().enumerate() {
            let Some(place) = self.slots.begin(mix, (*next + i) % mix.questions.len(), at) else {
                count = i;
                break;
            };
            *taken = place;
        }
        let sent = match self.transmit(&taken[..count]) {
            Ok(sent) => sent,
            // A full queue, or an earlier datagram that nobody took: the next one may go.
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED) => 0,
            Err(error) => return Err(error.into()),
        };
        for place in taken[sent..count].iter().rev() {
            self.slots.take_back(*place);
        }
        *next = (*next + sent) % mix.questions.len();
        tally.sent += sent as u64;
        Ok(())
    }

    fn receive(&mut self, mix: &Mix, check: Check, tally: &mut Tally) -> io::Result<()> {
        let mut lengths = [0; BATCH];
        let mut slices = self.replies.each_mut().map(|reply| [IoSliceMut::new(reply)]);
        let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let mut count = 0;
        match recvmmsg(socket, &mut self.into, slices.iter_mut(), flags, None) {
            Ok(results) => {
                for reply in results {
                    lengths[count] = reply.bytes;
                    count += 1;
                }
            }
            Err(Errno::EAGAIN | Errno::ECONNREFUSED) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let now = monotonic();
        for (reply, length) in self.replies.iter().zip(&lengths[..count]) {
            self.slots.take(&reply[..*length], mix, check, now, tally);
        }
        Ok(())
    }
}
