//! Whose call it is: by application, server and adapter, and by the address that it comes from.
//!
//! A call from loopback is of this host, whose address it does not tell: it is for the adapter that is declared at a
//! loopback address, or else at one place only.
//!
//! Knows nothing of connections and of the clock.

use std::net::IpAddr;

use super::adapter::{Adapter, Place};
use super::request::ServerInfo;

/// What is known of whoever calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Caller<'a> {
    /// It keeps these alive; none of them for an adapter that is of no interest, such as that for administration.
    Known(Vec<(&'a Adapter, &'a Place)>),
    /// No such server is declared at that address.
    Unknown,
}

/// Finds out who calls.
pub(super) fn caller<'a>(adapters: &'a [Adapter], info: &ServerInfo, peer: IpAddr) -> Caller<'a> {
    let peer = peer.to_canonical();
    let of_server = |adapter: &&Adapter| {
        adapter.application == info.application && adapter.server == info.server
    };
    let here = |adapter: &'a Adapter| Some((adapter, place(adapter, peer)?));
    let server: Vec<_> = adapters.iter().filter(of_server).filter_map(here).collect();
    if server.is_empty() {
        return Caller::Unknown;
    }
    let Some(named) = &info.adapter else { return Caller::Known(server) };
    let meant = |(adapter, _): &(&Adapter, _)| adapter.adapter == *named;
    let elsewhere = || {
        let mut declared = adapters.iter().filter(of_server);
        declared.any(|adapter| adapter.adapter == *named)
    };
    let meant: Vec<_> = server.into_iter().filter(meant).collect();
    // Declared, and not where this call comes from.
    if meant.is_empty() && elsewhere() { Caller::Unknown } else { Caller::Known(meant) }
}

fn place(adapter: &Adapter, peer: IpAddr) -> Option<&Place> {
    let at = |wanted: &dyn Fn(IpAddr) -> bool| {
        adapter.places.iter().find(|place| wanted(place.host.to_canonical()))
    };
    if !peer.is_loopback() {
        return at(&|host| host == peer);
    }
    at(&|host| host == peer).or_else(|| at(&|host| host.is_loopback())).or_else(|| {
        match &adapter.places[..] {
            [only] => Some(only),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapters() -> Vec<Adapter> {
        [
            ("A.B.One", "tcp -h 10.0.0.1 -p 1:tcp -h 10.0.0.2 -p 1"),
            ("A.B.Two", "tcp -h 10.0.0.1 -p 2"),
            ("A.C.One", "tcp -h 10.0.0.1 -p 3:tcp -h 127.0.0.1 -p 3"),
            ("A.D.One", "tcp -h fd00::1 -p 4"),
        ]
        .map(|(object, endpoints)| Adapter::new(object, None, endpoints).unwrap())
        .into()
    }

    fn found(server: &str, adapter: Option<&str>, peer: &str) -> String {
        let adapters = adapters();
        let (application, server) = server.split_once('.').unwrap();
        let info = ServerInfo {
            application: application.to_owned(),
            server: server.to_owned(),
            pid: 1,
            adapter: adapter.map(str::to_owned),
        };
        match caller(&adapters, &info, peer.parse().unwrap()) {
            Caller::Unknown => "unknown".to_owned(),
            Caller::Known(places) => {
                places.iter().map(|(_, place)| place.id.as_str()).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn a_call_is_matched_by_name_and_address() {
        let one = Some("A.B.OneAdapter");
        assert_eq!(found("A.B", one, "10.0.0.1"), "10-0-0-1-1");
        assert_eq!(found("A.B", one, "10.0.0.2"), "10-0-0-2-1");
        assert_eq!(found("A.B", one, "::ffff:10.0.0.2"), "10-0-0-2-1");
        assert_eq!(found("A.D", None, "fd00::1"), "fd00--1-4");
        // Without an adapter the whole server speaks.
        assert_eq!(found("A.B", None, "10.0.0.1"), "10-0-0-1-1 10-0-0-1-2");
        // One that is of no interest keeps nobody alive, and harms nobody.
        assert_eq!(found("A.B", Some("AdminAdapter"), "10.0.0.1"), "");
        for (server, adapter, peer) in [
            ("A.B", one, "10.0.0.3"),
            ("A.B", Some("A.B.TwoAdapter"), "10.0.0.2"),
            ("A.B", Some("AdminAdapter"), "10.0.0.3"),
            ("A.b", None, "10.0.0.1"),
            ("A.X", None, "10.0.0.1"),
            ("X.B", None, "10.0.0.1"),
        ] {
            assert_eq!(found(server, adapter, peer), "unknown", "{server} {adapter:?} {peer}");
        }
    }

    #[test]
    fn loopback_is_this_host_where_that_can_be_told() {
        assert_eq!(found("A.B", Some("A.B.TwoAdapter"), "127.0.0.1"), "10-0-0-1-2");
        assert_eq!(found("A.B", Some("A.B.OneAdapter"), "127.0.0.1"), "unknown");
        assert_eq!(found("A.C", None, "127.0.0.1"), "127-0-0-1-3");
        assert_eq!(found("A.C", None, "127.0.0.9"), "127-0-0-1-3");
        assert_eq!(found("A.C", None, "10.0.0.1"), "10-0-0-1-3");
        assert_eq!(found("A.D", None, "::1"), "fd00--1-4");
    }
}
