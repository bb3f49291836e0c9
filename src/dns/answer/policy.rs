//! A server's own rules for its answers, made ready for the path from query to reply.
//!
//! Knows nothing of sockets and of zones.

use std::net::IpAddr;

use super::cookie::Secrets;
use super::query::Edns;
use super::reply::Options;
use crate::dns::transport::Transport;
use crate::model::Nets;

/// UDP limit of a client without EDNS (RFC 1035 section 4.2.1).
const PLAIN_UDP_OCTETS: u16 = 512;

/// The rules. The same for all transports and for as long as the server runs.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Our own limit on a reply in a datagram, in octets: 512 to 8192.
    pub udp_octets_max: u16,
    /// What server cookies are made with; none: cookies are ignored.
    pub cookies: Option<Secrets>,
    /// Whose questions for names outside our zones are forwarded; none: nobody's.
    pub forward_for: Option<Nets>,
}

impl Policy {
    /// Whether that client's questions for others' names are forwarded.
    #[inline]
    pub(super) fn forwards_for(&self, client: IpAddr) -> bool {
        self.forward_for.as_ref().is_some_and(|nets| nets.contain(client))
    }

    /// How many octets a reply may have.
    #[inline]
    pub(in crate::dns) fn limit(&self, transport: Transport, edns: Option<&Edns>) -> usize {
        usize::from(match edns {
            _ if !transport.is_datagram() => u16::MAX,
            Some(edns) => edns.udp_octets.min(self.udp_octets_max).max(PLAIN_UDP_OCTETS),
            None => PLAIN_UDP_OCTETS,
        })
    }

    /// What a reply's OPT record says, if it has one, an extended error apart; and whether the client has shown by a
    /// cookie that it is where it says.
    #[inline]
    pub(in crate::dns) fn options(
        &self,
        client: IpAddr,
        transport: Transport,
        now_secs: u32,
        edns: Option<&Edns>,
    ) -> (Options, bool) {
        let Some(edns) = edns else { return (Options::default(), false) };
        let (cookie, known) = match (&self.cookies, &edns.options.cookie) {
            (Some(secrets), Some(cookie)) => {
                let (cookie, known) = secrets.answer(cookie, client, now_secs);
                (Some(cookie), known)
            }
            _ => (None, false),
        };
        let options = Options {
            udp_octets: Some(self.udp_octets_max),
            error: None,
            cookie,
            dnssec_ok: edns.dnssec_ok,
            padding: edns.options.padding && transport.is_encrypted(),
        };
        (options, known)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { udp_octets_max: 1232, cookies: None, forward_for: None }
    }
}
