//! Who is asked for which name.
//!
//! Knows nothing of how one asks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::name::suffix_at;
use super::settings::{DomainName, Settings, Upstreams};
use super::upstream::Group;

/// Groups of servers, by the names that they are asked for.
#[derive(Debug)]
pub(super) struct Routes {
    /// Longest names first.
    domains: Vec<(DomainName, Arc<Group>)>,
    /// For all other names. Those of the host's own resolv.conf change.
    others: ArcSwap<Group>,
}

/// Which group is asked for a name: the place of its domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route(Option<usize>);

impl Route {
    /// Whether the configuration names a domain that the name is in.
    pub(super) fn is_named(self) -> bool {
        self.0.is_some()
    }
}

impl Routes {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut domains: Vec<_> = settings
            .domains
            .iter()
            .map(|domain| (domain.name.clone(), Group::new(&domain.upstreams)))
            .collect();
        domains.sort_by_key(|(name, _)| std::cmp::Reverse(name.wire().len()));
        let others = match &settings.upstreams {
            Upstreams::Listed(addresses) => Group::new(addresses),
            Upstreams::System(_) => Group::new(&[]),
        };
        Self { domains, others: ArcSwap::new(others) }
    }

    /// The route of a name in wire form and lower case.
    pub(super) fn of(&self, name: &[u8]) -> Route {
        let is_in = |(domain, _): &(DomainName, _)| suffix_at(name, domain.wire()).is_some();
        Route(self.domains.iter().position(is_in))
    }

    /// The servers of a route.
    pub(super) fn group(&self, route: Route) -> Arc<Group> {
        let named = route.0.and_then(|at| self.domains.get(at));
        named.map_or_else(|| self.others.load_full(), |(_, group)| group.clone())
    }

    /// Asks these from now on for names that no domain is named for. Whether they are others than before.
    pub(super) fn replace_others(&self, addresses: &[SocketAddr]) -> bool {
        let changed = !self.others.load().addresses().eq(addresses.iter().copied());
        if changed {
            self.others.store(Group::new(addresses));
        }
        changed
    }

    /// Whether anybody is asked for names that no domain is named for.
    pub(super) fn has_others(&self) -> bool {
        self.others.load().addresses().next().is_some()
    }

    /// Whether that is the address of a server that is asked for anything.
    pub(super) fn is_upstream(&self, address: IpAddr) -> bool {
        let has = |group: &Group| group.addresses().any(|server| server.ip() == address);
        has(&self.others.load()) || self.domains.iter().any(|(_, group)| has(group))
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Domain;
    use super::*;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, n], 53))
    }

    #[test]
    fn the_longest_domain_wins_and_the_rest_goes_to_the_others() {
        let domain =
            |text, n| Domain { name: DomainName::new(text).unwrap(), upstreams: vec![address(n)] };
        let routes = Routes::new(&Settings {
            upstreams: Upstreams::Listed(vec![address(1)]),
            domains: vec![domain("Example.", 2), domain("corp.example", 3)],
            ..Settings::default()
        });
        let asked = |text: &str| {
            let route = routes.of(DomainName::new(text).unwrap().wire());
            routes.group(route).addresses().next().unwrap()
        };
        assert_eq!(asked("a.example."), address(2));
        assert_eq!(asked("CORP.example."), address(3));
        assert_eq!(asked("a.corp.example."), address(3));
        assert_eq!(asked("ncorp.example."), address(2));
        assert_eq!(asked("example.org."), address(1));
        assert!(routes.is_upstream(address(3).ip()) && !routes.is_upstream(address(4).ip()));
        assert!(routes.replace_others(&[address(4)]) && !routes.replace_others(&[address(4)]));
        assert_eq!(asked("example.org."), address(4));
    }
}
