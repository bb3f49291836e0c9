//! The least that a UDP server can do: send back as many octets as an answer would have. What an answer costs
//! beyond that is the server's own part.
//!
//! Knows nothing of DNS: it looks at a datagram's length only.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use rollcall::dns::udp::{Batch, Datagrams, Socket};

/// Datagrams moved by one call.
const BATCH: usize = 64;
/// Octets of the longest one, either way. A cache line more than a power of two, so that the beginnings of
/// datagrams do not all fall on the same few lines of the cache.
const OCTETS_MAX: usize = 2_048 + 64;
/// Octets of a query's id.
const ID: usize = 2;

/// By the length of what comes in, the length of what goes out.
pub(crate) type Lengths = Vec<u16>;

/// Answers by the calls that rollcall itself makes, until the process ends.
pub(crate) fn serve(socket: UdpSocket, lengths: &Lengths) -> io::Result<()> {
    let mut batch = Batch::new(Socket::new(socket)?, OCTETS_MAX);
    let mut reply = [0; OCTETS_MAX];
    loop {
        let Ok(received) = batch.receive() else { continue };
        for at in 0..received {
            let query = batch.query(at);
            let length = reply_length(lengths, query.len());
            if let Some(id) = query.first_chunk::<ID>() {
                reply[..ID].copy_from_slice(id);
                batch.reply(at, &reply[..length]);
            }
        }
        batch.send();
    }
}

fn reply_length(lengths: &Lengths, query: usize) -> usize {
    lengths.get(query).map_or(query, |length| usize::from(*length)).min(OCTETS_MAX)
}

/// Answers by the calls of the crate nix, until the process ends.
pub(crate) fn serve_by_nix(socket: &UdpSocket, lengths: &Lengths) -> io::Result<()> {
    let mut into = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut out = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut datagrams = Box::new([[0; OCTETS_MAX]; BATCH]);
    let mut asked = [0; BATCH];
    let mut from: [Option<SockaddrIn>; BATCH] = [None; BATCH];
    loop {
        let mut slices = datagrams.each_mut().map(|datagram| [IoSliceMut::new(datagram)]);
        // One is waited for, what else is there comes with it.
        let flags = MsgFlags::MSG_WAITFORONE;
        let mut received = 0;
        match recvmmsg(socket.as_raw_fd(), &mut into, slices.iter_mut(), flags, None) {
            Ok(results) => {
                for one in results {
                    (asked[received], from[received]) = (one.bytes, one.address);
                    received += 1;
                }
            }
            Err(Errno::EINTR | Errno::ECONNREFUSED) => continue,
            Err(error) => return Err(error.into()),
        }
        let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|i| {
            [IoSlice::new(&datagrams[i][..reply_length(lengths, asked[i])])]
        });
        let mut done = 0;
        while done < received {
            let (slices, to) = (&slices[done..received], &from[done..received]);
            let flags = MsgFlags::empty();
            done += match sendmmsg(socket.as_raw_fd(), &mut out, slices, to, [], flags) {
                Ok(results) => results.count(),
                Err(Errno::EINTR) => 0,
                // This one can't be sent; the next may.
                Err(_) => 1,
            };
        }
    }
}
