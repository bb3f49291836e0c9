//! What is known of a query besides its octets, and what is to be done with it.
//!
//! Knows nothing of messages.

use std::net::IpAddr;

use super::policy::Policy;
use crate::dns::transport::Transport;

/// What is known of a query besides its octets.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Who asks.
    pub client: IpAddr,
    /// How.
    pub transport: Transport,
    /// The time in seconds since 1970, of which cookies have the lower 32 bits (RFC 9018 section 4.3).
    pub now_secs: u32,
    /// A random number: the order of records, and which of them are left out, come from it.
    pub draw: u64,
    /// The registry has not been heard of for a while: what is answered may be out of date.
    pub stale: bool,
    /// Say nothing but that TCP knows more: the client's network has been told enough over UDP.
    pub slip: bool,
    /// The server's own rules.
    pub policy: &'a Policy,
}

impl Ask<'_> {
    /// A number that belongs to the client.
    pub(super) fn steady(&self) -> u64 {
        let bits = match self.client {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h] = v6.segments().map(u64::from);
                (a << 48 | b << 32 | c << 16 | d) ^ (e << 48 | f << 32 | g << 16 | h)
            }
        };
        bits ^ 0x9e37_79b9_7f4a_7c15
    }
}

/// What to do with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send this many octets of [`Out::octets`](super::Out::octets).
    Reply(usize),
    /// Send nothing.
    Drop,
    /// Ask others: the name is in none of our zones, and this client may have it looked up.
    Forward,
}
