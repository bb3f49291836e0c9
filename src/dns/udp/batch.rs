//! Up to 64 datagrams a system call: `recvmmsg` and `sendmmsg`, called directly; and, for who waits in these
//! calls, a place in front of those who compute. The one file with unsafe code.
//!
//! Why not through nix, whose calls are safe: its `sendmmsg` gives all messages of a call the same control
//! messages, but on a socket bound to all addresses each reply needs its own, or it leaves from an address that
//! was not asked. Sending those replies one by one costs 17 % more: an echo of 200 octets took 1.85 µs of CPU
//! that way and takes 1.58 µs this way (medians of 7 interleaved runs over loopback, some 30 datagrams a call).
//! On a socket with one address nix's calls would do, at 1.49 µs against 1.44 µs; one call a datagram: 1.65 µs.
//!
//! [`turns`] asks the scheduler for short turns, which no crate offers: on one core, while 100,000 instances are
//! read anew, the 99th percentile of answers is 238 µs with them and 606 µs without (`./dev bench resync`).
//!
//! How memory stays sound: everything that the system reads or writes belongs to a [`Batch`], in boxes that keep
//! their size. The pointers to it are made from borrows within the function that makes the call, and are gone
//! when that returns: none is stored, so nothing can be moved or freed under one. What the system wrote is then
//! read as octets, by safe code, with lengths cut to the room there is.
//!
//! Knows nothing of what datagrams hold.
#![allow(
    unsafe_code,
    reason = "no safe call sends many messages of which each has control messages of its own"
)]

use std::io::{self, ErrorKind};
use std::iter::zip;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ptr::null_mut;

use nix::libc::{self, c_int, cmsghdr, in_pktinfo, in6_pktinfo, iovec, mmsghdr};

use super::{DATAGRAMS_MAX, Datagrams, NOBODY, QUERY_OCTETS_MAX, Socket};

/// A socket address of IPv4 or IPv6.
const NAME_OCTETS: usize = size_of::<libc::sockaddr_in6>();
/// Where the data of a control message begins: its head ends on a boundary already.
const DATA: usize = size_of::<cmsghdr>();
/// One control message with the address asked, rounded up to where a next one would begin.
const CONTROL_OCTETS: usize =
    (DATA + size_of::<in6_pktinfo>()).next_multiple_of(align_of::<cmsghdr>());

/// A socket, room for as many datagrams as one call receives, and for the replies.
#[derive(Debug)]
pub struct Batch {
    socket: Socket,
    received: usize,
    envelopes: Box<[Envelope; DATAGRAMS_MAX]>,
    /// The octets of queries, [`QUERY_OCTETS_MAX`] for each.
    queries: Box<[u8]>,
    /// Replies one behind the other: close together, they stay in the cache until they are sent.
    replies: Vec<u8>,
    /// Of each reply, which datagram it answers and where it ends.
    outgoing: Vec<(usize, usize)>,
}

/// What goes around the octets of a datagram. A reply goes back in the envelope of its query.
#[derive(Debug, Clone, Copy)]
struct Envelope {
    query_len: usize,
    name_len: usize,
    control_len: usize,
    name: [u8; NAME_OCTETS],
    control: Control,
}

/// A control message, where the system wants one to begin.
#[derive(Debug, Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL_OCTETS]);

impl Envelope {
    const EMPTY: Self = Self {
        query_len: 0,
        name_len: 0,
        control_len: 0,
        name: [0; NAME_OCTETS],
        control: Control([0; CONTROL_OCTETS]),
    };
}

impl Batch {
    /// With room for replies of up to that many octets each.
    #[must_use]
    pub fn new(socket: Socket, reply_octets_max: usize) -> Self {
        Self {
            socket,
            received: 0,
            envelopes: Box::new([Envelope::EMPTY; DATAGRAMS_MAX]),
            queries: vec![0; DATAGRAMS_MAX * QUERY_OCTETS_MAX].into(),
            replies: Vec::with_capacity(DATAGRAMS_MAX * reply_octets_max),
            outgoing: Vec::with_capacity(DATAGRAMS_MAX),
        }
    }

    fn envelope(&self, at: usize) -> &Envelope {
        self.envelopes[..self.received].get(at).unwrap_or(&Envelope::EMPTY)
    }

    /// Receives what there is; waits for the first only.
    fn call_receive(&mut self) -> io::Result<usize> {
        let control_len = if self.socket.has_many_addresses() { CONTROL_OCTETS } else { 0 };
        let mut parts = [NO_PART; DATAGRAMS_MAX];
        let mut messages = [NO_MESSAGE; DATAGRAMS_MAX];
        let queries = self.queries.chunks_exact_mut(QUERY_OCTETS_MAX);
        let rooms = zip(self.envelopes.iter_mut(), queries);
        for ((envelope, query), (message, part)) in zip(rooms, zip(&mut messages, &mut parts)) {
            *part = iovec { iov_base: query.as_mut_ptr().cast(), iov_len: query.len() };
            let header = &mut message.msg_hdr;
            header.msg_name = envelope.name.as_mut_ptr().cast();
            header.msg_namelen = NAME_OCTETS as _;
            header.msg_iov = part;
            header.msg_iovlen = 1;
            header.msg_control = envelope.control.0.as_mut_ptr().cast();
            header.msg_controllen = control_len as _;
        }
        // SAFETY: `messages` holds as many headers as the call is told. In each, name, control and the one part
        // point to memory that the loop above has borrowed exclusively, with its length or less: fields of
        // `self`, to which nobody else has access before this function returns, and `parts`, which is not moved.
        // No time-out is given.
        let received = unsafe {
            libc::recvmmsg(
                self.socket.descriptor(),
                messages.as_mut_ptr(),
                DATAGRAMS_MAX as _,
                libc::MSG_WAITFORONE as _,
                null_mut(),
            )
        };
        let received = count(received)?;
        for (envelope, message) in zip(self.envelopes.iter_mut(), &messages[..received]) {
            envelope.query_len = QUERY_OCTETS_MAX.min(message.msg_len as _);
            envelope.name_len = NAME_OCTETS.min(message.msg_hdr.msg_namelen as _);
            envelope.control_len = control_len.min(message.msg_hdr.msg_controllen as _);
        }
        Ok(received)
    }

    /// Sends the replies from the given one on, and tells how many went; an error is that of the first.
    fn call_send(&self, first: usize) -> io::Result<usize> {
        let mut parts = [NO_PART; DATAGRAMS_MAX];
        let mut messages = [NO_MESSAGE; DATAGRAMS_MAX];
        let mut begin = first.checked_sub(1).map_or(0, |before| self.outgoing[before].1);
        let rooms = zip(&mut messages, &mut parts);
        for ((query, end), (message, part)) in zip(&self.outgoing[first..], rooms) {
            let reply = &self.replies[begin..*end];
            begin = *end;
            *part = iovec { iov_base: reply.as_ptr().cast_mut().cast(), iov_len: reply.len() };
            let envelope = &self.envelopes[*query];
            let header = &mut message.msg_hdr;
            header.msg_name = envelope.name.as_ptr().cast_mut().cast();
            header.msg_namelen = envelope.name_len as _;
            header.msg_iov = part;
            header.msg_iovlen = 1;
            header.msg_control = envelope.control.0.as_ptr().cast_mut().cast();
            header.msg_controllen = envelope.control_len as _;
        }
        let left = (self.outgoing.len() - first).min(DATAGRAMS_MAX);
        // SAFETY: `messages` holds at least `left` headers, and the loop above has filled in that many. In each,
        // name, control and the one part point to memory that it has borrowed, with its length or less: fields of
        // `self`, which stays borrowed until this function returns, and `parts`, which is not moved. Of what these
        // pointers lead to the call only reads, so that shared borrows will do.
        let sent = unsafe {
            libc::sendmmsg(
                self.socket.descriptor(),
                messages.as_mut_ptr(),
                left as _,
                libc::MSG_DONTWAIT as _,
            )
        };
        count(sent)
    }
}

const NO_PART: iovec = iovec { iov_base: null_mut(), iov_len: 0 };
// SAFETY: a structure of C without references: null pointers and zeros are values of all its fields.
const NO_MESSAGE: mmsghdr = unsafe { std::mem::zeroed() };

/// What such a call returns, as a result.
fn count(returned: c_int) -> io::Result<usize> {
    match usize::try_from(returned) {
        Ok(count) => Ok(count.min(DATAGRAMS_MAX)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Short turns on a core: who wants but a little is let in before one that has not used its turn up (Linux 6.12,
/// `sched(7)`; older systems take no notice).
#[cfg(target_os = "linux")]
pub(super) mod turns {
    use std::io;
    use std::time::Duration;

    use nix::libc::{self, c_long, sched_attr};

    /// A batch of datagrams is answered in less; the system takes no shorter ones.
    const TURN: Duration = Duration::from_micros(100);

    /// Asks for them on behalf of this thread. Nothing else of its policy and its niceness changes.
    ///
    /// # Errors
    /// The system's word on why not; everything works without.
    pub(in crate::dns) fn shorten() -> io::Result<()> {
        let mut attributes = attributes()?;
        // Those of an administrator's real-time policies have no such turns.
        if matches!(attributes.sched_policy as i32, libc::SCHED_OTHER | libc::SCHED_BATCH) {
            attributes.sched_runtime = u64::try_from(TURN.as_nanos()).unwrap_or(u64::MAX);
            // SAFETY: the system reads a structure of C that lives until the call has returned, and of which it
            // finds the size in its first field, where it has written that itself. 0 is this thread.
            done(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })?;
        }
        Ok(())
    }

    /// Those of this thread.
    pub(super) fn attributes() -> io::Result<sched_attr> {
        let octets = size_of::<sched_attr>();
        // SAFETY: a structure of C that holds nothing but numbers: zeros are values of them all.
        let mut attributes: sched_attr = unsafe { std::mem::zeroed() };
        // SAFETY: the system writes no more octets than it is told, which is the size of what is borrowed
        // exclusively until the call has returned. 0 is this thread.
        done(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, octets, 0) })?;
        Ok(attributes)
    }

    fn done(returned: c_long) -> io::Result<()> {
        if returned == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn turns_are_short_and_nothing_else_is_changed() {
            // A thread of its own: what it asks for is its own.
            std::thread::spawn(|| {
                let before = attributes().unwrap();
                shorten().unwrap();
                let after = attributes().unwrap();
                let rest = |of: &sched_attr| (of.sched_policy, of.sched_nice, of.sched_priority);
                assert_eq!(rest(&after), rest(&before));
                // Linux before 6.12 tells no length.
                let told = if before.sched_runtime == 0 { 0 } else { 100_000 };
                assert_eq!(after.sched_runtime, told);
            })
            .join()
            .unwrap();
        }
    }
}

impl Datagrams for Batch {
    fn address(&self) -> SocketAddr {
        self.socket.address
    }

    fn receive(&mut self) -> io::Result<usize> {
        self.received = 0;
        self.replies.clear();
        self.outgoing.clear();
        self.received = self.call_receive()?;
        if self.socket.has_many_addresses() {
            for envelope in &mut self.envelopes[..self.received] {
                envelope.forget_interface();
            }
        }
        Ok(self.received)
    }

    fn query(&self, at: usize) -> &[u8] {
        let room = self.queries.chunks_exact(QUERY_OCTETS_MAX).nth(at).unwrap_or_default();
        &room[..self.envelope(at).query_len]
    }

    fn from(&self, at: usize) -> SocketAddr {
        self.envelope(at).from().unwrap_or(NOBODY)
    }

    fn asked(&self, at: usize) -> Option<IpAddr> {
        self.envelope(at).asked()
    }

    fn reply(&mut self, at: usize, octets: &[u8]) {
        if at < self.received && self.outgoing.len() < DATAGRAMS_MAX {
            self.replies.extend_from_slice(octets);
            self.outgoing.push((at, self.replies.len()));
        }
    }

    fn send(&mut self) -> usize {
        let (mut done, mut failed) = (0, 0);
        while done < self.outgoing.len() {
            match self.call_send(done) {
                Ok(sent) => done += sent.max(1),
                // No room in the socket: nor for those behind.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    failed += self.outgoing.len() - done;
                    break;
                }
                Err(_) => {
                    failed += 1;
                    done += 1;
                }
            }
        }
        self.replies.clear();
        self.outgoing.clear();
        failed
    }
}

impl Envelope {
    /// The name, as the system writes it: family, port, and then the address (`sockaddr_in`, `sockaddr_in6`).
    fn from(&self) -> Option<SocketAddr> {
        let name = &self.name[..self.name_len];
        let port = u16::from_be_bytes(field(name, offset_of!(libc::sockaddr_in, sin_port))?);
        match c_int::from(u16::from_ne_bytes(field(
            name,
            offset_of!(libc::sockaddr_in, sin_family),
        )?)) {
            libc::AF_INET => {
                let ip: [u8; 4] = field(name, offset_of!(libc::sockaddr_in, sin_addr))?;
                Some((Ipv4Addr::from(ip), port).into())
            }
            libc::AF_INET6 => {
                let ip: [u8; 16] = field(name, offset_of!(libc::sockaddr_in6, sin6_addr))?;
                let scope = field(name, offset_of!(libc::sockaddr_in6, sin6_scope_id))?;
                let scope = u32::from_ne_bytes(scope);
                Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope).into())
            }
            _ => None,
        }
    }

    /// The address in the control message, which is the only kind that was asked for ([`Socket::new`]).
    fn asked(&self) -> Option<IpAddr> {
        let control = &self.control.0[..self.control_len];
        match self.control_kind()? {
            IPV4 => {
                let ip: [u8; 4] = field(control, DATA + offset_of!(in_pktinfo, ipi_spec_dst))?;
                Some(ip.into())
            }
            IPV6 => {
                let ip: [u8; 16] = field(control, DATA + offset_of!(in6_pktinfo, ipi6_addr))?;
                Some(ip.into())
            }
            _ => None,
        }
    }

    /// Leaves the interface to the routes: the way back need not be the way the query came.
    fn forget_interface(&mut self) {
        let at = match self.control_kind() {
            Some(IPV4) => offset_of!(in_pktinfo, ipi_ifindex),
            Some(IPV6) => offset_of!(in6_pktinfo, ipi6_ifindex),
            _ => return,
        };
        self.control.0[DATA + at..][..size_of::<c_int>()].fill(0);
    }

    /// Level and type of the control message.
    fn control_kind(&self) -> Option<(c_int, c_int)> {
        let control = &self.control.0[..self.control_len];
        let level = field(control, offset_of!(cmsghdr, cmsg_level))?;
        let kind = field(control, offset_of!(cmsghdr, cmsg_type))?;
        Some((c_int::from_ne_bytes(level), c_int::from_ne_bytes(kind)))
    }
}

const IPV4: (c_int, c_int) = (libc::IPPROTO_IP, libc::IP_PKTINFO);
const IPV6: (c_int, c_int) = (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO);

/// The octets of a field that begins at that offset, if they are all there.
fn field<const OCTETS: usize>(octets: &[u8], offset: usize) -> Option<[u8; OCTETS]> {
    octets.get(offset..)?.first_chunk().copied()
}
