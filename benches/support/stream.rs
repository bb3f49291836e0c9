//! A TCP connection of the load: many queries on their way at once, each with its length in front (RFC 7766).
//!
//! Knows nothing of when to send.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::load::Lane;
use super::machine::monotonic;
use super::questions::Mix;
use super::slots::Slots;
use super::tally::{Check, Tally};

/// Octets read by one call.
const READ_OCTETS: usize = 128 * 1_024;
/// Octets of a message's length.
const PREFIX: usize = 2;

/// The connection and its queries under way.
pub(crate) struct Stream {
    socket: TcpStream,
    slots: Slots,
    /// What was begun and not yet taken by the socket; no more than the slots hold.
    out: Vec<u8>,
    into: Vec<u8>,
    /// Octets of `into` that were read and not yet looked at.
    filled: usize,
}

impl Stream {
    /// A connection for so many queries at once.
    pub(crate) fn new(to: SocketAddr, window: usize) -> io::Result<Self> {
        let socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let (slots, out) = (Slots::new(window), Vec::with_capacity(window * 66));
        Ok(Self { socket, slots, out, into: vec![0; READ_OCTETS], filled: 0 })
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        match self.socket.write(&self.out) {
            Ok(written) => {
                self.out.drain(..written);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Lane for Stream {
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
        for _ in 0..count {
            let Some(place) = self.slots.begin(mix, *next, at) else { break };
            let query = self.slots.query(place);
            self.out.extend_from_slice(&(query.len() as u16).to_be_bytes());
            self.out.extend_from_slice(query);
            *next = (*next + 1) % mix.questions.len();
            tally.sent += 1;
        }
        self.flush()
    }

    fn receive(&mut self, mix: &Mix, check: Check, tally: &mut Tally) -> io::Result<()> {
        self.flush()?;
        match self.socket.read(&mut self.into[self.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let now = monotonic();
        let mut rest = &self.into[..self.filled];
        while let Some((prefix, behind)) = rest.split_first_chunk::<PREFIX>() {
            let length = usize::from(u16::from_be_bytes(*prefix));
            let Some((reply, behind)) = behind.split_at_checked(length) else { break };
            self.slots.take(reply, mix, check, now, tally);
            rest = behind;
        }
        let begin = self.filled - rest.len();
        self.into.copy_within(begin..self.filled, 0);
        self.filled -= begin;
        Ok(())
    }
}
