//! What a service of Consul is in DNS: an instance of ours.
//!
//! | of Consul | here |
//! |---|---|
//! | Name, ID | app and id, by the mapping of `model`; an ID that is its Name alone is `address-port` |
//! | Address | the address; empty: where the call came from, or this host; a host name: what it resolves to |
//! | Port | the one endpoint's; 0: in the agent's own lists only, since there is nothing to connect to |
//! | Tags | tags, where they are legal labels; those of go-micro are decoded, `version=v` (Kratos) is meta |
//! | Meta | meta, as far as it fits a TXT record |
//! | Weights | the weight for how it stands, times 100: 1 there and 100 here are what all have of which nothing is said |
//! | Kratos' URLs in TaggedAddresses | an endpoint each, with the scheme for a protocol; `isSecure` as meta `{scheme}.isSecure` |
//!
//! What is spoken, of which Consul knows nothing, is the first of these that is there: the scheme of such a URL; what
//! go-micro's metadata says (`protocol`, else `server` where that is grpc, else mucp); `protocol` of Meta; `http` or `grpc` where
//! such a check is registered; and else the service's own name, as look-ups by RFC 2782 have it (`_redis._tcp`). It is UDP
//! where a tag `udp` says so, as registrator's does, or go-micro's transport is QUIC.
//!
//! Knows nothing of how a service stands.

use std::net::IpAddr;

use super::Tags;
use super::agent::{Service, bare};
use super::definition::{Kind, ServiceDefinition};
use crate::model::{
    Endpoint, Instance, Label, Protocol, Transport, fit_meta, fit_tags, limits, map_protocol,
};

/// What a server of go-micro speaks that does not say (server/rpc_server.go).
const GO_MICRO_PROTOCOL: &str = "mucp";
/// The tag by which Kratos tells its version (contrib/registry/consul/client.go).
const VERSION: &str = "version=";

/// The meta by which endpoints of Kratos tell whether they speak TLS, as its layout in etcd has it, too.
pub(super) fn secure_key(protocol: &str) -> String {
    format!("{protocol}.isSecure")
}

/// A weight of Consul's as one of ours.
fn weight_here(weight: u16) -> u16 {
    weight.saturating_mul(limits::WEIGHT_DEFAULT)
}

/// A weight of ours as one of Consul's, where the least is 1, unless it is none at all.
pub(super) fn weight_there(weight: u16) -> u16 {
    let nearest = weight.saturating_add(limits::WEIGHT_DEFAULT / 2) / limits::WEIGHT_DEFAULT;
    nearest.max(weight.min(1))
}

/// Why a service is in no answer, whatever its checks say; none: nothing keeps it out.
pub(super) fn absence(service: &Service) -> Option<&'static str> {
    let definition = &service.definition;
    if urls(definition).next().is_some() {
        None
    } else if definition.port == 0 {
        Some("it was registered without a Port: only this list has it, and no answer of DNS")
    } else if usable(&service.addresses()).is_empty() {
        Some(
            "its Address does not resolve, or can't be connected to: no answer of DNS has it until it can",
        )
    } else {
        None
    }
}

/// The instance that a service is, with that weight of Consul's; none where it has no address or no port yet.
pub(super) fn instance(service: &Service, weight: u16) -> Option<Instance> {
    let ServiceDefinition { tags, meta, .. } = &service.definition;
    let told = Tags::read(tags.iter().map(String::as_str));
    let endpoints = endpoints(service, &told);
    let own = service.addresses();
    // An endpoint where the instance is needs no addresses of its own.
    let first = endpoints.first().map(|(addresses, _)| addresses.clone());
    let addresses: Vec<IpAddr> = first.filter(|first| !first.is_empty()).unwrap_or(own);
    let mut kept: Vec<Endpoint> = Vec::new();
    for (at, endpoint) in endpoints {
        let apart = if at == addresses { Vec::new() } else { at };
        let endpoint = Endpoint { addresses: apart, ..endpoint };
        if kept.len() < limits::ENDPOINTS_MAX && !kept.contains(&endpoint) {
            kept.push(endpoint);
        }
    }
    if addresses.is_empty() || kept.is_empty() {
        return None;
    }
    let mut meta = meta.clone();
    meta.extend(told.metadata);
    let version = told.others.iter().find_map(|tag| tag.strip_prefix(VERSION));
    if let Some(version) = told.version.or_else(|| version.map(str::to_owned)) {
        meta.insert("version".to_owned(), version);
    }
    for Url { scheme, secure, .. } in urls(&service.definition) {
        if let (Some(secure), Ok(protocol)) = (secure, map_protocol(scheme.as_bytes())) {
            meta.insert(secure_key(protocol.as_str()), secure.to_string());
        }
    }
    let legal: Vec<String> =
        told.others.into_iter().filter(|tag| Label::new(tag).is_ok()).collect();
    Some(Instance {
        addresses,
        host: None,
        endpoints: kept,
        weight: weight_here(weight),
        priority: limits::PRIORITY_DEFAULT,
        tags: fit_tags(&legal),
        meta: fit_meta(meta),
        ttl: None,
    })
}

/// Host names that a service is known by.
pub(super) fn host_names(service: &ServiceDefinition) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let urls = urls(service).map(|url| url.host);
    for host in [service.address.clone()].into_iter().chain(urls) {
        let address = host.is_empty() || bare(&host).parse::<IpAddr>().is_ok();
        if !address && !names.contains(&host) && names.len() < limits::ENDPOINTS_MAX {
            names.push(host);
        }
    }
    names
}

/// An endpoint of Kratos: what is a whole URL in the place of an address.
struct Url {
    scheme: String,
    host: String,
    port: u16,
    /// Whether it speaks TLS, if it says so.
    secure: Option<bool>,
}

fn urls(service: &ServiceDefinition) -> impl Iterator<Item = Url> {
    service.tagged_addresses.values().filter_map(|tagged| {
        let uri: hyper::Uri = tagged.address.parse().ok()?;
        let port = uri.port_u16().filter(|port| *port > 0)?;
        let (scheme, host) = (uri.scheme_str()?.to_owned(), uri.host()?.to_owned());
        let mut said = uri.query().unwrap_or_default().split('&');
        let secure = said.find_map(|pair| pair.strip_prefix("isSecure=")?.parse().ok());
        Some(Url { scheme, host, port, secure })
    })
}

/// What it offers, each with all the addresses that is at.
fn endpoints(service: &Service, told: &Tags) -> Vec<(Vec<IpAddr>, Endpoint)> {
    let definition = &service.definition;
    let endpoint = |protocol: Protocol, transport, port| {
        let (addresses, weight) = (Vec::new(), None);
        Endpoint { protocol, transport, port, addresses, weight }
    };
    let mut all = Vec::new();
    for Url { scheme, host, port, .. } in urls(definition) {
        let addresses = match bare(&host).parse::<IpAddr>() {
            Ok(address) => usable(&[address]),
            Err(_) => usable(service.resolved.get(&host).map_or(&[], Vec::as_slice)),
        };
        if let (false, Ok(protocol)) = (addresses.is_empty(), map_protocol(scheme.as_bytes())) {
            all.push((addresses, endpoint(protocol, Transport::Tcp, port)));
        }
    }
    let addresses = usable(&service.addresses());
    if all.is_empty() && definition.port > 0 && !addresses.is_empty() {
        let quic = told.metadata.get("transport").is_some_and(|transport| transport == "quic");
        let udp = quic || definition.tags.iter().any(|tag| tag == "udp");
        let transport = if udp { Transport::Udp } else { Transport::Tcp };
        all.push((addresses, endpoint(protocol(service, told), transport, definition.port)));
    }
    all
}

/// Addresses that a client can connect to.
fn usable(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut usable: Vec<IpAddr> = Vec::new();
    for address in addresses.iter().map(IpAddr::to_canonical) {
        let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        let reachable = !address.is_unspecified() && !address.is_multicast() && !broadcast;
        if reachable && !usable.contains(&address) && usable.len() < limits::ADDRESSES_MAX {
            usable.push(address);
        }
    }
    usable
}

fn protocol(service: &Service, told: &Tags) -> Protocol {
    let definition = &service.definition;
    let said =
        |key: &str| told.metadata.get(key).map(String::as_str).filter(|text| !text.is_empty());
    let go_micro = (!told.metadata.is_empty()).then(|| {
        let server = said("server").filter(|server| *server == "grpc");
        said("protocol").or(server).unwrap_or(GO_MICRO_PROTOCOL)
    });
    let meta = definition.meta.get("protocol").map(String::as_str);
    let checked = service.checks.values().find_map(|check| match &check.definition.kind {
        Kind::Http(..) => Some("http"),
        Kind::Tcp { instead_of: Some(what), .. } if what == "gRPC" => Some("grpc"),
        _ => None,
    });
    let candidates = [go_micro, meta, checked, Some(definition.name.as_str())];
    let legal = |text: &str| map_protocol(text.as_bytes()).ok();
    // A name without any letter is no protocol's (RFC 6335 section 5.1).
    candidates.into_iter().flatten().find_map(legal).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::*;
    use crate::compat::consul::agent::Agent;
    use crate::compat::consul::definition;

    fn registered(body: &Value, resolved: BTreeMap<String, Vec<IpAddr>>) -> Service {
        let (service, checks) = definition::service(body.to_string().as_bytes()).unwrap();
        let (id, mut agent) = (service.id.clone(), Agent::default());
        let place = ([10, 0, 0, 9].into(), resolved);
        agent.register(service, checks, place, false, Instant::now()).unwrap();
        agent.service(&id).unwrap().clone()
    }

    fn resolved(host: &str, addresses: &[&str]) -> BTreeMap<String, Vec<IpAddr>> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        [(host.to_owned(), addresses)].into()
    }

    /// App, label, addresses, endpoints, tags and meta in one line.
    fn told(body: &Value, resolved: BTreeMap<String, Vec<IpAddr>>) -> String {
        let service = registered(body, resolved);
        let Some(instance) = instance(&service, 1) else { return "nothing".to_owned() };
        let mut told = format!("{} {}", service.app, service.label);
        for address in &instance.addresses {
            told += &format!(" {address}");
        }
        for Endpoint { protocol, transport, port, addresses, .. } in &instance.endpoints {
            told += &format!(" _{protocol}._{transport}:{port}");
            addresses.iter().for_each(|address| told += &format!("@{address}"));
        }
        instance.tags.iter().for_each(|tag| told += &format!(" #{tag}"));
        instance.meta.iter().for_each(|(key, value)| told += &format!(" {key}={value}"));
        told
    }

    #[test]
    fn a_service_is_an_instance_of_what_it_is_called() {
        for (body, is) in [
            (
                json!({"ID": "redis1", "Name": "Redis_x", "Port": 8000, "Address": "10.1.10.12",
                    "Tags": ["primary", "V4", "not a label"], "Meta": {"redis_version": "4.0"}}),
                "redis-x redis1 10.1.10.12 _redis-x._tcp:8000 #primary #v4 redis_version=4.0",
            ),
            // Its ID is its name: so it may be on every host.
            (json!({"Name": "web", "Port": 80}), "web 10-0-0-9-80 10.0.0.9 _web._tcp:80"),
            (
                json!({"Name": "web", "Port": 80, "Check": {"HTTP": "http://10.0.0.9/", "Interval": "1s"}}),
                "web 10-0-0-9-80 10.0.0.9 _http._tcp:80",
            ),
            (
                json!({"Name": "web", "Port": 80, "Check": {"GRPC": "10.0.0.9:80", "Interval": "1s"}}),
                "web 10-0-0-9-80 10.0.0.9 _grpc._tcp:80",
            ),
            (
                json!({"Name": "web", "Port": 80, "Meta": {"protocol": "h2"},
                "Check": {"HTTP": "http://10.0.0.9/", "Interval": "1s"}}),
                "web 10-0-0-9-80 10.0.0.9 _h2._tcp:80 protocol=h2",
            ),
            (
                json!({"Name": "web", "Port": 80, "Address": "[fd00::7]"}),
                "web fd00--7-80 fd00::7 _web._tcp:80",
            ),
            (json!({"Name": "42", "ID": "a", "Port": 80}), "42 a 10.0.0.9 _nova._tcp:80"),
            (json!({"Name": "web"}), "nothing"),
            (json!({"Name": "web", "Port": 80, "Address": "224.0.0.1"}), "nothing"),
            (json!({"Name": "web", "Port": 80, "Address": "db.example"}), "nothing"),
        ] {
            assert_eq!(told(&body, BTreeMap::new()), is, "{body}");
        }
        let body = json!({"Name": "web", "ID": "w", "Port": 80, "Address": "db.example"});
        let two = resolved("db.example", &["10.0.0.1", "10.0.0.2", "10.0.0.1"]);
        assert_eq!(told(&body, two), "web w 10.0.0.1 10.0.0.2 _web._tcp:80");
        assert_eq!(host_names(&registered(&body, BTreeMap::new()).definition), ["db.example"]);
    }

    #[test]
    fn the_weight_of_which_nothing_is_said_is_that_of_all_others() {
        let weight = |body: &Value| {
            let service = registered(body, BTreeMap::new());
            instance(&service, service.definition.weights.passing).unwrap().weight
        };
        assert_eq!(weight(&json!({"Name": "web", "Port": 80})), limits::WEIGHT_DEFAULT);
        for (there, here, again) in [
            (1, 100, 1),
            (3, 300, 3),
            (655, 65_500, 655),
            (656, 65_535, 655),
            (65_535, 65_535, 655),
        ] {
            let weights = json!({"Passing": there, "Warning": 1});
            let body = json!({"Name": "web", "Port": 80, "Weights": weights});
            assert_eq!((weight(&body), weight_there(here)), (here, again), "{there}");
        }
        for (here, there) in [(0, 0), (1, 1), (149, 1), (150, 2)] {
            assert_eq!(weight_there(here), there, "{here}");
        }
    }

    #[test]
    fn what_keeps_a_service_out_of_answers_is_known() {
        for (body, why) in [
            (json!({"Name": "web", "Port": 80}), None),
            (json!({"Name": "web"}), Some("without a Port")),
            (json!({"Name": "web", "Port": 80, "Address": "db.example"}), Some("not resolve")),
            (json!({"Name": "web", "Port": 80, "Address": "224.0.0.1"}), Some("not resolve")),
            (
                json!({"Name": "web", "TaggedAddresses": {"grpc": {"Address": "grpc://10.0.0.8:9000"}}}),
                None,
            ),
        ] {
            let service = registered(&body, BTreeMap::new());
            let said = absence(&service);
            assert_eq!(said.is_some(), why.is_some(), "{body}");
            assert!(said.unwrap_or_default().contains(why.unwrap_or_default()), "{body}");
            assert_eq!(instance(&service, 1).is_none(), said.is_some(), "{body}");
        }
    }

    #[test]
    fn what_registrator_go_micro_and_kratos_tell_beside_is_read() {
        // registrator, of a container that listens on UDP.
        let body = json!({"ID": "node1:dns.0:53:udp", "Name": "dns", "Port": 53, "Tags": ["udp"]});
        let is = "dns node1-dns-0-53-udp 10.0.0.9 _dns._udp:53 #udp";
        assert_eq!(told(&body, BTreeMap::new()), is);
        let version = "v-789c32d433d13302040000ffff02dc00f4";
        let grpc = "t-789caa562a28ca2fc94fcecf51b2524a2f2a4856aa05040000ffff468306d9";
        let body = json!({"ID": "greeter-6f1a0c6e", "Name": "greeter", "Tags": [grpc, version],
            "Port": 41233, "Address": "10.0.0.12"});
        let is = "greeter greeter-6f1a0c6e 10.0.0.12 _grpc._tcp:41233 protocol=grpc version=1.4.2";
        assert_eq!(told(&body, BTreeMap::new()), is);
        let body = json!({"ID": "a", "Name": "b", "Tags": ["t={\"server\":\"rpc\",\"transport\":\"quic\"}"],
            "Port": 1});
        let is = "b a 10.0.0.9 _mucp._udp:1 server=rpc transport=quic";
        assert_eq!(told(&body, BTreeMap::new()), is);
        let kratos = |grpc: &str| {
            json!({"ID": "h1", "Name": "helloworld", "Tags": ["version=v1.2"], "Meta": {"region": "a"},
            "TaggedAddresses": {
                "grpc": {"Address": grpc, "Port": 9000},
                "http": {"Address": "http://10.0.0.8:8000?isSecure=false", "Port": 8000},
            }, "Address": "10.0.0.8", "Port": 8000})
        };
        assert_eq!(
            told(&kratos("grpc://10.0.0.8:9000?x=y&isSecure=true"), BTreeMap::new()),
            "helloworld h1 10.0.0.8 _grpc._tcp:9000 _http._tcp:8000 grpc.isSecure=true http.isSecure=false region=a version=v1.2"
        );
        assert_eq!(
            told(&kratos("grpc://h8.example:9000"), resolved("h8.example", &["fd00::8"])),
            "helloworld h1 fd00::8 _grpc._tcp:9000 _http._tcp:8000@10.0.0.8 http.isSecure=false region=a version=v1.2"
        );
        // Until its name resolves it offers what is left.
        assert_eq!(
            told(&kratos("grpc://h8.example:9000"), BTreeMap::new()),
            "helloworld h1 10.0.0.8 _http._tcp:8000 http.isSecure=false region=a version=v1.2"
        );
        assert_eq!(
            host_names(
                &definition::service(kratos("grpc://h8.example:9000").to_string().as_bytes())
                    .unwrap()
                    .0
            ),
            ["h8.example"]
        );
    }
}
