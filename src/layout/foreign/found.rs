//! An instance as another system describes it, and its way to a registration of ours: names mapped, limits held.
//!
//! What is only too much (meta, tags) is left out; without an endpoint that can be reached there is no instance.
//!
//! Knows nothing of any system.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::place::{Host, Place};
use crate::layout::Registration;
use crate::model::{
    Endpoint, Instance, Namespace, Protocol, Transport, fit_meta, fit_tags, limits, map_app,
    map_protocol,
};
use crate::registry::Origin;

/// Octets of the longest id: they are listed, watched and joined with others, and etcd's keys may have 1.5 MB.
pub(super) const ID_OCTETS_MAX: usize = 255;

/// What a key says of an instance, in its system's own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The app. Dots divide labels; all else is mapped.
    pub(super) app: String,
    /// The id: the same for as long as it is the same instance, and no other's of this app.
    pub(super) id: String,
    /// What it offers; never empty where it is read in full.
    pub(super) offers: Vec<Offer>,
    /// Share of traffic; none where the system has no such thing.
    pub(super) weight: Option<u16>,
    /// Its system says that it takes no traffic.
    pub(super) disabled: bool,
    /// Names of subsets.
    pub(super) tags: Vec<String>,
    /// What else is told of it.
    pub(super) meta: BTreeMap<String, String>,
}

/// Something that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// What it speaks, in the system's own word.
    pub(super) protocol: String,
    pub(super) transport: Transport,
    pub(super) place: Place,
}

impl Found {
    /// An instance that offers one thing, and of which nothing else is said.
    pub(super) fn new(app: &str, id: &str, protocol: &str, place: Place) -> Self {
        let protocol = protocol.to_owned();
        Self {
            app: app.to_owned(),
            id: id.to_owned(),
            offers: vec![Offer { protocol, transport: Transport::Tcp, place }],
            weight: None,
            disabled: false,
            tags: Vec::new(),
            meta: BTreeMap::new(),
        }
    }

    /// Sets its share of traffic, cut to what an SRV record can say.
    pub(super) fn weigh(&mut self, weight: i64) {
        self.weight = Some(u16::try_from(weight.max(0)).unwrap_or(u16::MAX));
    }

    /// The registration that it is.
    pub(super) fn registration(
        self,
        origin: Origin,
        namespace: &Namespace,
    ) -> Result<Registration, String> {
        let app =
            map_app(self.app.as_bytes()).map_err(|rule| format!("app {:?} {rule}", self.app))?;
        if self.id.is_empty() {
            return Err("instance id must not be empty".to_owned());
        }
        if self.id.len() > ID_OCTETS_MAX {
            let octets = self.id.len();
            return Err(format!(
                "instance id must have at most {ID_OCTETS_MAX} octets, got {octets}"
            ));
        }
        let (addresses, host) = self.hosts()?;
        let endpoints = self.endpoints(&addresses, host.as_ref())?;
        let tags = fit_tags(&self.tags);
        Ok(Registration {
            namespace: namespace.clone(),
            app,
            id: self.id.as_str().into(),
            origin,
            disabled: self.disabled,
            instance: Instance {
                addresses,
                host,
                endpoints,
                weight: self.weight.unwrap_or(limits::WEIGHT_DEFAULT),
                priority: limits::PRIORITY_DEFAULT,
                tags,
                meta: fit_meta(self.meta),
                ttl: None,
            },
        })
    }

    /// Where it is: the first address it offers something at, or else the first host.
    fn hosts(&self) -> Result<(Vec<IpAddr>, Option<Arc<str>>), String> {
        let address = self.offers.iter().find_map(|offer| offer.place.host.address());
        match (address, self.offers.first().map(|offer| &offer.place.host)) {
            (Some(address), _) => Ok((vec![address], None)),
            (None, Some(Host::Name(name))) => Ok((Vec::new(), Some(name.clone()))),
            (None, _) => Err("it offers nothing that can be reached".to_owned()),
        }
    }

    /// What it offers, each thing once with all the addresses it is at. What is at the first address alone needs none of
    /// its own. An instance has addresses or one host name, and what it offers elsewhere is left out: nobody is led astray
    /// by what is not told.
    fn endpoints(
        &self,
        addresses: &[IpAddr],
        host: Option<&Arc<str>>,
    ) -> Result<Vec<Endpoint>, String> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for Offer { protocol, transport, place } in &self.offers {
            let address = match &place.host {
                Host::Address(address) => Some(*address),
                Host::Name(name) if Some(name) == host => None,
                Host::Name(_) => continue,
            };
            let protocol = protocol_of(protocol)?;
            let thing = (&protocol, *transport, place.port);
            let same = |other: &Endpoint| (&other.protocol, other.transport, other.port) == thing;
            let at = match endpoints.iter().position(same) {
                Some(at) => at,
                None if endpoints.len() == limits::ENDPOINTS_MAX => {
                    return Err(format!("it offers more than {} things", limits::ENDPOINTS_MAX));
                }
                None => {
                    let (transport, port) = (*transport, place.port);
                    let (addresses, weight) = (Vec::new(), None);
                    endpoints.push(Endpoint { protocol, transport, port, addresses, weight });
                    endpoints.len() - 1
                }
            };
            let own = &mut endpoints[at].addresses;
            if let Some(address) = address.filter(|address| !own.contains(address)) {
                if own.len() == limits::ADDRESSES_MAX {
                    return Err(format!("it is at more than {} addresses", limits::ADDRESSES_MAX));
                }
                own.push(address);
            }
        }
        for endpoint in &mut endpoints {
            if endpoint.addresses == addresses {
                endpoint.addresses.clear();
            }
        }
        Ok(endpoints)
    }
}

/// The protocol as a service label can name it.
pub fn protocol_of(raw: &str) -> Result<Protocol, String> {
    map_protocol(raw.as_bytes()).map_err(|rule| format!("protocol {raw:?} {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_bounds() {
        for (octets, is_taken) in [(1, true), (ID_OCTETS_MAX, true), (ID_OCTETS_MAX + 1, false)] {
            let place = Place::new("10.0.0.7:80").unwrap();
            let found = Found::new("x", &"i".repeat(octets), "http", place);
            let read = found.registration(Origin(1), &Namespace::default());
            assert_eq!(read.is_ok(), is_taken, "{octets}: {read:?}");
        }
    }
}
