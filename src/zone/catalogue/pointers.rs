//! What an app's instances make addresses point to, in the reverse zones.
//!
//! An address that an instance has points to the instance's own name, one that an endpoint has for itself to that
//! endpoint's target, both in the first zone of the namespace as configured.

use std::net::IpAddr;
use std::sync::Arc;

use super::compile::ANSWER_OCTETS_MAX;
use super::{AppKey, Catalogue, Oversized};
use crate::model::Namespace;
use crate::zone::block::Live;
use crate::zone::wire;

/// An address, and a name that it points to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pointer {
    address: IpAddr,
    /// In wire form.
    target: Arc<[u8]>,
}

impl Catalogue {
    /// What those instances of an app make addresses point to, in order. `zone` is where their names are.
    pub(super) fn pointers(
        &self,
        key: &AppKey,
        name: &[u8],
        live: &[Live<'_>],
        zone: &[u8],
    ) -> Vec<Pointer> {
        let mut all = Vec::new();
        if !self.zones.iter().any(|zone| zone.is_reverse()) {
            return all;
        }
        for Live { held, instance } in live {
            let mut point = |label: &str, addresses: &[IpAddr]| {
                let shown = |address: &&IpAddr| self.pointing(&key.0, **address).is_some();
                let mut shown = addresses.iter().filter(shown).peekable();
                if shown.peek().is_some() {
                    let target: Arc<[u8]> = [&wire::child(label, name), zone].concat().into();
                    all.extend(
                        shown.map(|address| Pointer { address: *address, target: target.clone() }),
                    );
                }
            };
            point(held.label.as_str(), &instance.addresses);
            for (endpoint, target) in instance.endpoints.iter().zip(&held.targets) {
                if let Some(target) = target {
                    point(target.as_str(), &endpoint.addresses);
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Puts an app's pointers in the place of those it had.
    pub(super) fn point(
        &mut self,
        key: &AppKey,
        now: Vec<Pointer>,
        oversized: &mut Vec<Oversized>,
    ) {
        let Some(app) = self.apps.get_mut(key) else { return };
        let before = std::mem::take(&mut app.pointers);
        let (mut gone, mut came) = (&before[..], &now[..]);
        while let Some(address) =
            gone.first().into_iter().chain(came.first()).map(|p| p.address).min()
        {
            let (was, is);
            (was, gone) = split(gone, address);
            (is, came) = split(came, address);
            let Some(at) = self.pointing(&key.0, address).filter(|_| was != is) else { continue };
            let only = |of: &'_ [Pointer], not: &'_ [Pointer]| -> Vec<Arc<[u8]>> {
                let kept = of.iter().filter(|one| not.binary_search(one).is_err());
                kept.map(|one| one.target.clone()).collect()
            };
            let zone = &mut self.zones[at];
            let octets = zone.point(address, only(was, is).iter(), only(is, was).iter());
            if octets > ANSWER_OCTETS_MAX {
                let (zone, app) = (zone.name().clone(), key.1.clone());
                oversized.push(Oversized { zone, app, octets });
            }
        }
        if let Some(app) = self.apps.get_mut(key) {
            app.pointers = now;
        }
    }

    /// The reverse zone in which an address's name shows instances of that namespace: of those around it the one
    /// with the longest name has it, or none.
    fn pointing(&self, namespace: &Namespace, address: IpAddr) -> Option<usize> {
        let at = self.zones.iter().position(|zone| zone.has_address(address))?;
        self.zones[at].points(namespace, address).then_some(at)
    }
}

/// The pointers of the first address, if it is that one, and the others.
fn split(all: &[Pointer], address: IpAddr) -> (&[Pointer], &[Pointer]) {
    all.split_at(all.partition_point(|one| one.address == address))
}
