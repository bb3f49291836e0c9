//! What queries and replies are counted by: closed sets, read from their octets. Whoever answers need not know that it
//! is counted, and no name or address that a client sends becomes a label.
//!
//! Knows nothing of how they are counted.

/// Response codes that are told apart (RFC 1035 section 4.1.1, RFC 6891 section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rcode {
    /// No error, NODATA included.
    NoError,
    /// The query could not be read.
    FormErr,
    /// Not ready to answer.
    ServFail,
    /// No such name.
    NxDomain,
    /// Opcode or type that is not implemented.
    NotImp,
    /// Not ours to answer.
    Refused,
    /// An EDNS version above ours.
    BadVers,
    /// Any other.
    Other,
}

impl Rcode {
    /// All of them, in the order of [`super::TransportTotals::responses`].
    pub const ALL: [Self; 8] = [
        Self::NoError,
        Self::FormErr,
        Self::ServFail,
        Self::NxDomain,
        Self::NotImp,
        Self::Refused,
        Self::BadVers,
        Self::Other,
    ];

    /// Its mnemonic.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::BadVers => "BADVERS",
            Self::Other => "other",
        }
    }

    /// Of a reply in wire form.
    pub(super) fn of(reply: &[u8]) -> Self {
        match reply.get(3).map(|flags| flags & 0x0f) {
            Some(0) if is_bad_version(reply) => Self::BadVers,
            Some(0) => Self::NoError,
            Some(1) => Self::FormErr,
            Some(2) => Self::ServFail,
            Some(3) => Self::NxDomain,
            Some(4) => Self::NotImp,
            Some(5) => Self::Refused,
            _ => Self::Other,
        }
    }
}

/// Question types that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qtype {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Endpoints.
    Srv,
    /// The zone's start of authority.
    Soa,
    /// The zone's name servers.
    Ns,
    /// Any other, and queries without a readable question.
    Other,
}

impl Qtype {
    /// All of them, in the order of [`super::TransportTotals::requests`].
    pub const ALL: [Self; 6] = [Self::A, Self::Aaaa, Self::Srv, Self::Soa, Self::Ns, Self::Other];

    /// Its mnemonic.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
            Self::Soa => "SOA",
            Self::Ns => "NS",
            Self::Other => "other",
        }
    }

    /// Of a query in wire form.
    pub(super) fn of(query: &[u8]) -> Self {
        let one_question = query.get(4..6) == Some(&[0, 1]);
        let Some(at) = after_name(query).filter(|_| one_question) else { return Self::Other };
        match query.get(at..at + 2) {
            Some(&[0, 1]) => Self::A,
            Some(&[0, 28]) => Self::Aaaa,
            Some(&[0, 33]) => Self::Srv,
            Some(&[0, 6]) => Self::Soa,
            Some(&[0, 2]) => Self::Ns,
            _ => Self::Other,
        }
    }
}

/// What became of replies beyond the rate of their network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Sent: nothing is limited in earnest.
    Observed,
    /// Sent empty, with TC set.
    Slipped,
    /// Not sent.
    Dropped,
}

impl Limited {
    /// All of them, in the order of [`super::TransportTotals::limited`].
    pub const ALL: [Self; 3] = [Self::Observed, Self::Slipped, Self::Dropped];

    /// Its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Slipped => "slipped",
            Self::Dropped => "dropped",
        }
    }
}

/// Where a message's first name ends, if it is there and not compressed.
fn after_name(message: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += usize::from(length) + 1,
            _ => return None,
        }
    }
}

/// Whether a reply whose header says NOERROR is BADVERS: its upper bits are in the OPT record (RFC 6891
/// section 6.1.3), which such a reply has alone behind the question.
fn is_bad_version(reply: &[u8]) -> bool {
    if reply.get(6..12) != Some(&[0, 0, 0, 0, 0, 1]) {
        return false;
    }
    let opt = match reply.get(4..6) {
        Some(&[0, 1]) => after_name(reply).map(|at| at + 4),
        _ => Some(12),
    };
    // Root, type OPT, the class (two octets), then the upper eight bits of the code.
    opt.and_then(|at| reply.get(at..at + 6))
        .is_some_and(|opt| opt[..3] == [0, 0, 41] && opt[5] == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with that header (from the flags on), and rest.
    fn message(header: [u8; 10], rest: &[u8]) -> Vec<u8> {
        [&[0, 7][..], &header, rest].concat()
    }

    #[test]
    fn finds_the_upper_bits_of_the_code() {
        let question = b"\x01a\x00\x00\x01\x00\x01".as_slice();
        let opt = |upper| [question, &[0, 0, 41, 4, 208, upper, 0, 0, 0, 0, 0]].concat();
        let header = [0x84, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        assert_eq!(Rcode::of(&message(header, &opt(1))), Rcode::BadVers);
        assert_eq!(Rcode::of(&message(header, &opt(0))), Rcode::NoError);
        assert_eq!(Rcode::of(&message(header, b"\x01")), Rcode::NoError);
        assert_eq!(Rcode::of(b""), Rcode::Other);
    }
}
