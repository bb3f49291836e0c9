//! A server's own rules for its answers, made ready for the path from query to reply.
//!
//! Knows nothing of sockets and of zones.

use std::net::IpAddr;

use super::cookie::Secrets;
use crate::model::Nets;

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
}

impl Default for Policy {
    fn default() -> Self {
        Self { udp_octets_max: 1232, cookies: None, forward_for: None }
    }
}
