//! The ways that a query comes.
//!
//! Knows nothing of sockets.

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a TCP connection.
    Tcp,
    /// On a TCP connection under TLS (RFC 7858).
    Tls,
    /// In an HTTP request under TLS (RFC 8484).
    Https,
    /// On a stream of a QUIC connection (RFC 9250).
    Quic,
    /// In an HTTP/3 request (RFC 8484 over RFC 9114).
    H3,
}

impl Transport {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Udp, Self::Tcp, Self::Tls, Self::Https, Self::Quic, Self::H3];

    /// Its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
            Self::H3 => "h3",
        }
    }

    /// Whether nobody can read on its way what is sent.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        !matches!(self, Self::Udp | Self::Tcp)
    }

    /// Whether a reply is one datagram, and so has the client's limit and ours; any other has 65,535 octets.
    #[must_use]
    pub fn is_datagram(self) -> bool {
        self == Self::Udp
    }
}
