//! placeholder: from a query to its reply, purely.

use std::net::IpAddr;

use crate::zone::Snapshot;

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a TCP connection.
    Tcp,
}

/// What is known of a query besides its octets.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Who asks.
    pub client: IpAddr,
    /// How.
    pub transport: Transport,
    /// Our own limit on the reply in octets, for UDP; TCP always has 65,535.
    pub udp_octets_max: u16,
    /// A random number: the order of records, and which of them are left out, come from it.
    pub draw: u64,
}

/// What to do with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send this many octets of [`Out::octets`].
    Reply(usize),
    /// Send nothing.
    Drop,
}

/// Where a reply is written: allocated once for each worker or connection.
#[derive(Debug)]
pub struct Out {
    octets: Box<[u8]>,
}

impl Out {
    /// Room for any reply.
    #[must_use]
    pub fn new() -> Self {
        Self { octets: vec![0; 65_535].into() }
    }

    /// The first `len` octets of the reply last written.
    #[must_use]
    pub fn octets(&self, len: usize) -> &[u8] {
        &self.octets[..len]
    }
}

impl Default for Out {
    fn default() -> Self {
        Self::new()
    }
}

/// Answers one query from one snapshot.
pub fn answer(_snapshot: &Snapshot, _ask: &Ask, query: &[u8], out: &mut Out) -> Verdict {
    // Placeholder until the real function lands: REFUSED with the header alone.
    if query.len() < 12 || query[2] & 0x80 != 0 {
        return Verdict::Drop;
    }
    out.octets[..12].copy_from_slice(&[
        query[0],
        query[1],
        query[2] | 0x80,
        5,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    Verdict::Reply(12)
}
