//! go-micro: `{prefix}{service}/{node id}` holds a JSON object of the service, with that node in it. The prefix is
//! `/micro/registry/` (micro/go-micro @v1.18.0 and later, registry/etcd/etcd.go) or `/micro-registry/`
//! (micro/go-plugins before @16a3b85, registry/etcdv3/etcdv3.go).
//!
//! It knows no weight, and nothing that takes a node out. A key without a lease is a node like others: up to v1.10 a
//! server has no TTL unless it is told one.
//!
//! Knows nothing of go-micro's other registries.

use serde::Deserialize;
use serde_json::Value;

use super::found::Found;
use super::place::{Host, Place, Port};
use super::{Read, Record};
use crate::model::Transport;

/// What a server speaks that does not say (server/rpc_server.go).
const PROTOCOL_DEFAULT: &str = "mucp";

/// The value. Its name is the key's, where clients look; endpoints and their types are nothing that DNS can tell.
#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    version: Value,
    #[serde(default)]
    metadata: Value,
    /// Go writes a list of none as null.
    nodes: Option<Vec<Node>>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    id: String,
    #[serde(default)]
    address: String,
    /// Up to v1.7; from v1.8 on it is in the address (registry/service.go).
    port: Option<i64>,
    #[serde(default)]
    metadata: Value,
}

pub(super) fn read(record: Record<'_>) -> Result<Read, String> {
    if record.path.is_empty() || record.path.ends_with('/') {
        // The service's folder, which the oldest plugin makes (registry/etcd/etcd.go).
        return Ok(Read::Nothing);
    }
    let (app, id) = record.app_and_id()?;
    let service: Service = record.json()?;
    let nodes = service.nodes.unwrap_or_default();
    let node = own(&nodes, id)?;
    let mut found = Found::new(app, id, node.protocol(), node.place()?);
    found.offers[0].transport = node.transport();
    let pairs = [&service.metadata, &node.metadata].into_iter().filter_map(Value::as_object);
    let pairs = pairs.flatten().map(|(key, value)| (key.as_str(), value));
    for (key, value) in pairs.chain([("version", &service.version)]) {
        if let Some(value) = value.as_str() {
            found.meta.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(Read::Instance(Box::new(found)))
}

/// The node that the key is for: a registration of several makes a key of each, and where a writer puts all of them in
/// every value, each has its own key still.
fn own<'a>(nodes: &'a [Node], id: &str) -> Result<&'a Node, String> {
    match nodes {
        [] => Err("it has no node".to_owned()),
        [node] => Ok(node),
        nodes => nodes
            .iter()
            // In keys a node's id has no slash.
            .find(|node| node.id.replace('/', "-") == id)
            .ok_or_else(|| format!("none of its {} nodes has the id {id:?}", nodes.len())),
    }
}

impl Node {
    /// A pair of its metadata; one without a value says nothing.
    fn told(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).and_then(Value::as_str).filter(|value| !value.is_empty())
    }

    /// What it speaks. The gRPC server had no word for that up to v1.7 but its own name (micro/go-plugins,
    /// server/grpc/grpc.go).
    fn protocol(&self) -> &str {
        let server = self.told("server").filter(|server| *server == "grpc");
        self.told("protocol").or(server).unwrap_or(PROTOCOL_DEFAULT)
    }

    /// What carries it: TCP, unless it says QUIC (transport/quic/quic.go).
    fn transport(&self) -> Transport {
        match self.told("transport") {
            Some("quic") => Transport::Udp,
            _ => Transport::Tcp,
        }
    }

    /// Where it is, in the form of its version.
    fn place(&self) -> Result<Place, String> {
        let port = self.port.filter(|port| *port != 0);
        let place = match (port, self.address.rsplit_once(':')) {
            (Some(port), _) => port
                .to_string()
                .parse::<Port>()
                .and_then(|Port(port)| Ok(Place { host: Host::new(&self.address)?, port })),
            // Servers on a message queue have its name for an address; a port of 0 is how some versions wrote none.
            (_, None | Some((_, "" | "0"))) => {
                let transport = self.told("transport").unwrap_or("unknown");
                Err(format!(
                    "{:?} has no port: a queue's name, of transport {transport:?}",
                    self.address
                ))
            }
            (_, Some(_)) => Place::new(&self.address),
        };
        place.map_err(|why| format!("address of the node: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::layout::foreign::System;
    use crate::layout::foreign::tests::{spoil, told, told_as};

    const PREFIX: &str = "/micro/registry/";
    const KEY: &str = "/micro/registry/go.micro.srv.greeter/go.micro.srv.greeter-6f1a0c6e-2b0f-4a51-9a2e-1d7c5b1f7f10";
    /// As v1.18 writes it.
    const VALUE: &str = r#"{"name":"go.micro.srv.greeter","version":"1.4.2","metadata":null,
        "endpoints":[{"name":"Say.Hello","request":{"name":"Request","type":"Request","values":[{"name":"name","type":"string","values":null}]},"response":{"name":"Response","type":"Response","values":null},"metadata":{"stream":"false"}}],
        "nodes":[{"id":"go.micro.srv.greeter-6f1a0c6e-2b0f-4a51-9a2e-1d7c5b1f7f10","address":"10.0.0.12:41233","metadata":{"broker":"http","protocol":"grpc","registry":"etcd","server":"grpc","transport":"grpc"}}]}"#;

    /// What a node of `greeter` is read as, its app and id left out.
    fn node(node: &Value) -> String {
        let value = json!({ "name": "greeter", "nodes": [node] }).to_string();
        let told = told(System::GoMicro, PREFIX, "/micro/registry/greeter/greeter-1", &value);
        told.strip_prefix("greeter greeter-1 ").unwrap_or(&told).to_owned()
    }

    #[test]
    fn what_go_micro_writes_is_an_instance() {
        let greeter = "go.micro.srv.greeter \
                       go.micro.srv.greeter-6f1a0c6e-2b0f-4a51-9a2e-1d7c5b1f7f10 10.0.0.12 \
                       _grpc._tcp:41233 broker=http protocol=grpc registry=etcd server=grpc \
                       transport=grpc version=1.4.2";
        assert_eq!(told(System::GoMicro, PREFIX, KEY, VALUE), greeter);
        let old = KEY.replace("/micro/registry/", "/micro-registry/");
        assert_eq!(told(System::GoMicro, "/micro-registry/", &old, VALUE), greeter);
        // With a TTL of 0 there is no lease, and the node is no less there.
        assert_eq!(told_as(System::GoMicro, PREFIX, KEY, VALUE, false), greeter);
    }

    #[test]
    fn the_port_is_beside_the_address_or_in_it() {
        for (written, read) in [
            (json!({"address": "10.0.0.12", "port": 41233}), "10.0.0.12 _mucp._tcp:41233"),
            (json!({"address": "10.0.0.12:41233"}), "10.0.0.12 _mucp._tcp:41233"),
            (json!({"address": "10.0.0.12:41233", "port": 0}), "10.0.0.12 _mucp._tcp:41233"),
            (json!({"address": "fd00::c", "port": 41233}), "fd00::c _mucp._tcp:41233"),
            (json!({"address": "[fd00::c]:41233"}), "fd00::c _mucp._tcp:41233"),
            // v1.8, which put no brackets.
            (json!({"address": "fd00::c:41233"}), "fd00::c _mucp._tcp:41233"),
            (json!({"address": "Web-1.example.org:80"}), "web-1.example.org _mucp._tcp:80"),
        ] {
            assert_eq!(node(&written), read, "{written}");
        }
    }

    #[test]
    fn a_node_that_nobody_can_reach_is_rejected() {
        let queue = |address: &str| {
            format!(
                "rejected: address of the node: {address:?} has no port: a queue's name, of transport \"nats\""
            )
        };
        let nats = json!({"transport": "nats"});
        for address in ["_INBOX.7fXpQZ", "_INBOX.7fXpQZ:0", "[fd00::c]:", ""] {
            let told = node(&json!({"address": address, "metadata": nats}));
            assert_eq!(told, queue(address));
        }
        assert!(node(&json!({"address": "queue", "port": 0})).contains("of transport \"unknown\""));
        for (written, why) in [
            (json!({"address": "0.0.0.0:80"}), "0.0.0.0 stands for every address"),
            (json!({"address": "[::]:80"}), "[::] stands for every address"),
            (json!({"address": "10.0.0.1", "port": 65536}), "got \"65536\""),
            (json!({"address": "10.0.0.1", "port": -1}), "got \"-1\""),
            (json!({"address": "10.0.0.1:80", "port": 80}), "is no address and no host name"),
            (json!({"address": "", "port": 80}), "no host is given"),
            (json!({"address": "a b:80"}), "is no address and no host name"),
        ] {
            let told = node(&written);
            assert!(told.starts_with("rejected: address of the node: "), "{told}");
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn the_protocol_is_what_the_node_says_it_speaks() {
        for (metadata, service) in [
            (json!({"protocol": "grpc"}), "_grpc._tcp"),
            (json!({"protocol": "mucp", "server": "grpc"}), "_mucp._tcp"),
            (json!({"protocol": "http"}), "_http._tcp"),
            (json!({"protocol": "", "server": "rpc"}), "_mucp._tcp"),
            (json!({"server": "grpc"}), "_grpc._tcp"),
            (json!({"transport": "quic"}), "_mucp._udp"),
            (json!({"transport": "grpc"}), "_mucp._tcp"),
            (json!(null), "_mucp._tcp"),
            (json!([]), "_mucp._tcp"),
        ] {
            let told = node(&json!({"address": "10.0.0.1:80", "metadata": metadata}));
            assert_eq!(told.split([' ', ':']).nth(1), Some(service), "{metadata}");
        }
    }

    #[test]
    fn of_several_nodes_the_keys_own_counts() {
        let told = |id: &str, nodes: Value| {
            let value = json!({ "name": "greeter", "nodes": nodes }).to_string();
            told(System::GoMicro, PREFIX, &format!("/micro/registry/greeter/{id}"), &value)
        };
        let nodes = json!([
            {"id": "greeter-1", "address": "10.0.0.1:80"},
            {"id": "greeter/2", "address": "10.0.0.2:80"},
        ]);
        assert_eq!(told("greeter-1", nodes.clone()), "greeter greeter-1 10.0.0.1 _mucp._tcp:80");
        assert_eq!(told("greeter-2", nodes.clone()), "greeter greeter-2 10.0.0.2 _mucp._tcp:80");
        assert_eq!(
            told("greeter-3", nodes),
            "rejected: none of its 2 nodes has the id \"greeter-3\""
        );
        let one = json!([{"id": "other", "address": "10.0.0.1:80"}]);
        assert_eq!(told("greeter-3", one), "greeter greeter-3 10.0.0.1 _mucp._tcp:80");
        assert_eq!(told("greeter-1", json!([])), "rejected: it has no node");
        assert_eq!(told("greeter-1", Value::Null), "rejected: it has no node");
    }

    #[test]
    fn a_services_words_are_its_nodes_too_and_the_node_is_nearer() {
        let value = json!({
            "version": "2020.01.02.15.04",
            "metadata": {"owner": "pay", "zone": "a", "version": "x"},
            "nodes": [{"address": "10.0.0.1:80", "metadata": {"zone": "b", "count": 1}}],
        });
        assert_eq!(
            told(System::GoMicro, PREFIX, "/micro/registry/pay/pay-1", &value.to_string()),
            "pay pay-1 10.0.0.1 _mucp._tcp:80 owner=pay version=2020.01.02.15.04 zone=b"
        );
    }

    #[test]
    fn folders_are_nothing_and_what_is_no_service_is_rejected() {
        let told = |key: &str, value: &str| told(System::GoMicro, PREFIX, key, value);
        assert_eq!(told("/micro/registry/", ""), "nothing");
        assert_eq!(told("/micro/registry/greeter/", ""), "nothing");
        for value in ["", "null", "{}x", "[null,null,[]]"] {
            let told = told(KEY, value);
            assert!(told.starts_with("rejected: value is not readable: "), "{told}");
        }
        assert!(told(KEY, "{\"nodes\":[1]}").starts_with("rejected: nodes[0] is not readable: "));
    }

    #[test]
    fn spoilt_records_are_read_or_rejected() {
        spoil(System::GoMicro, PREFIX, KEY, VALUE);
    }
}
