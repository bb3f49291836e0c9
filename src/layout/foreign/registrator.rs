//! registrator's `etcd` backend (gliderlabs/registrator, etcd/etcd.go): `{path}/{name}/{host}:{container}:{port}[:udp]` holds
//! `ip:port`.
//!
//! It writes to etcd 2; on etcd 3 such keys come from tools that copied its layout, and from our own listener.

use super::found::Found;
use super::place::Place;
use super::{Read, Record};
use crate::model::Transport;

/// What it appends to the id of what listens on UDP (bridge/bridge.go).
const UDP: &str = ":udp";

pub(super) fn read(record: Record<'_>) -> Result<Read, String> {
    let (app, id) = record.app_and_id()?;
    let place = Place::new(record.text()?.trim())?;
    // It tells nothing of what is spoken there; what everybody can ask for is the transport.
    let mut found = Found::new(app, id, app, place);
    if id.ends_with(UDP) {
        found.offers[0].transport = Transport::Udp;
    }
    Ok(Read::Instance(Box::new(found)))
}

#[cfg(test)]
mod tests {
    use crate::layout::foreign::System;
    use crate::layout::foreign::tests::told;

    #[test]
    fn what_its_documentation_shows_is_an_instance() {
        let told = |key: &str, value: &str| told(System::Registrator, "/services/", key, value);
        assert_eq!(
            told("/services/redis/node1:redis.0:6379", "192.168.1.102:10000"),
            "redis node1:redis.0:6379 192.168.1.102 _redis._tcp:10000"
        );
        assert_eq!(
            told("/services/service_1/node1:dns:53:udp", "[fd00::1]:53\n"),
            "service-1 node1:dns:53:udp fd00::1 _service-1._udp:53"
        );
        assert_eq!(told("/services/redis/x", "redis"), "rejected: \"redis\" has no port");
        assert_eq!(
            told("/services/redis/x", "0.0.0.0:80"),
            "rejected: 0.0.0.0 stands for every address of its host, and names none"
        );
    }
}
