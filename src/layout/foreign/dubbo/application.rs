//! One process of an application, as the JSON below `/services` says (apache/dubbo-go, registry/etcdv3/service_discovery.go,
//! registry/service_instance.go): the names of Go's fields, or Java's own with a small letter in front (apache/dubbo,
//! DefaultServiceInstance.java).
//!
//! One that is not enabled or not healthy is out. A weight of 0 or less is none, and means the default. The further ports
//! of a process, and which protocol is spoken on each, stand in its metadata, as JSON in a text; where they don't say
//! what the process's own port speaks, it is Dubbo's own protocol.
//!
//! Knows nothing of the interfaces that the process provides: its clients ask it for them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::TAG;
use crate::layout::foreign::found::{Found, Offer};
use crate::layout::foreign::place::{Host, Place, Port};
use crate::layout::foreign::{Read, Record};
use crate::model::Transport;

/// What is spoken where nothing else is said.
const PROTOCOL: &str = "dubbo";
/// What of its metadata holds the further ports.
const ENDPOINTS: &str = "dubbo.endpoints";
/// What other metadata of Dubbo's own begins with: nobody but its clients can do anything with it.
const OWN: &str = "dubbo.";

/// What a key holds.
#[derive(Deserialize)]
struct Process {
    #[serde(rename = "Host", alias = "host")]
    host: String,
    #[serde(rename = "Port", alias = "port")]
    port: Port,
    #[serde(rename = "Weight", alias = "weight", default)]
    weight: i64,
    #[serde(rename = "Enable", alias = "enabled", default = "yes")]
    enabled: bool,
    #[serde(rename = "Healthy", alias = "healthy", default = "yes")]
    healthy: bool,
    #[serde(rename = "Metadata", alias = "metadata", default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(rename = "GroupName", default)]
    group: String,
    #[serde(rename = "Tag", default)]
    tag: String,
}

/// Only what says that it is out is out.
fn yes() -> bool {
    true
}

/// A port, and what is spoken there.
#[derive(Deserialize)]
struct Endpoint {
    port: Port,
    protocol: String,
}

pub(super) fn read(record: Record<'_>, app: &str, id: &str) -> Result<Read, String> {
    let process: Process = record.json()?;
    let host = Host::new(&process.host)?;
    let mut metadata = process.metadata.unwrap_or_default();
    let endpoints = endpoints(metadata.get(ENDPOINTS).map(String::as_str))?;
    let own = endpoints.iter().find(|endpoint| endpoint.port == process.port);
    let protocol = own.map_or(PROTOCOL, |own| own.protocol.as_str());
    let place = Place { host: host.clone(), port: process.port.0 };
    let mut found = Found::new(app, id, protocol, place);
    for Endpoint { port, protocol } in endpoints {
        let place = Place { host: host.clone(), port: port.0 };
        found.offers.push(Offer { protocol, transport: Transport::Tcp, place });
    }
    found.disabled = !(process.enabled && process.healthy);
    if process.weight > 0 {
        found.weigh(process.weight);
    }
    let tag = Some(process.tag).filter(|tag| !tag.is_empty());
    found.tags.extend(tag.or_else(|| metadata.remove(TAG)));
    metadata.retain(|key, _| !key.starts_with(OWN));
    if !process.group.is_empty() {
        metadata.insert("group".to_owned(), process.group);
    }
    found.meta = metadata;
    Ok(Read::Instance(Box::new(found)))
}

/// The ports that metadata tells of.
fn endpoints(json: Option<&str>) -> Result<Vec<Endpoint>, String> {
    match json {
        Some(json) if !json.is_empty() => serde_json::from_str(json).map_err(|error| {
            format!("{ENDPOINTS} of its metadata {json:?} is not readable: {error}")
        }),
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::layout::foreign::System;
    use crate::layout::foreign::tests::told;

    const KEY: &str = "/services/user-srv/10.0.0.5:20000";

    /// What Go writes.
    fn process() -> Value {
        json!({
            "ID": "10.0.0.5:20000",
            "ServiceName": "user-srv",
            "Host": "10.0.0.5",
            "Port": 20000,
            "Weight": 0,
            "Enable": true,
            "Healthy": true,
            "Metadata": {
                "dubbo.endpoints": "[{\"port\":20000,\"protocol\":\"dubbo\"},{\"port\":50051,\"protocol\":\"tri\"}]",
                "dubbo.metadata-service.url-params": "{\"port\":\"20005\",\"protocol\":\"dubbo\"}",
                "dubbo.metadata.revision": "7e0b5dcf",
                "dubbo.metadata.storage-type": "local",
                "region": "a",
            },
            "ServiceMetadata": null,
            "Address": "10.0.0.5:20000",
            "GroupName": "",
            "Tag": "",
        })
    }

    /// What is told of that process with one field changed.
    fn changed(field: &str, value: Value) -> String {
        let mut process = process();
        process[field] = value;
        told(System::Dubbo, "/services/", KEY, &process.to_string())
    }

    #[test]
    fn a_process_is_an_instance_with_all_its_ports() {
        let is = "user-srv 10.0.0.5:20000 10.0.0.5 _dubbo._tcp:20000 _tri._tcp:50051";
        let go = process().to_string();
        for prefix in ["/services/", "/", "/services/user-srv/"] {
            assert_eq!(told(System::Dubbo, prefix, KEY, &go), format!("{is} region=a"), "{prefix}");
        }
        let java = r#"{"id":"10.0.0.5:20000","serviceName":"user-srv","host":"10.0.0.5","port":20000,"enabled":true,"healthy":true,
            "metadata":{"dubbo.endpoints":"[{\"port\":20000,\"protocol\":\"dubbo\"},{\"port\":50051,\"protocol\":\"tri\"}]"}}"#;
        assert_eq!(told(System::Dubbo, "/services/", KEY, java), is);
    }

    #[test]
    fn what_its_port_speaks_stands_in_its_metadata_or_is_dubbo() {
        for (endpoints, offers) in [
            (Value::Null, "_dubbo._tcp:20000"),
            (json!({}), "_dubbo._tcp:20000"),
            (json!({"dubbo.endpoints": ""}), "_dubbo._tcp:20000"),
            (json!({"dubbo.endpoints": r#"[{"port":20000,"protocol":"tri"}]"#}), "_tri._tcp:20000"),
            (
                json!({"dubbo.endpoints": r#"[{"port":1,"protocol":"rest"}]"#}),
                "_dubbo._tcp:20000 _rest._tcp:1",
            ),
            // One port can speak several protocols.
            (
                json!({"dubbo.endpoints": r#"[{"port":20000,"protocol":"tri"},{"port":20000,"protocol":"dubbo"}]"#}),
                "_tri._tcp:20000 _dubbo._tcp:20000",
            ),
        ] {
            let told = changed("Metadata", endpoints.clone());
            assert_eq!(told, format!("user-srv 10.0.0.5:20000 10.0.0.5 {offers}"), "{endpoints}");
        }
    }

    #[test]
    fn its_fields_say_how_it_takes_part() {
        for (field, value, is) in [
            ("Enable", json!(false), " region=a disabled"),
            ("Healthy", json!(false), " region=a disabled"),
            ("Weight", json!(-1), " region=a"),
            ("Weight", json!(30), " weight=30 region=a"),
            ("Weight", json!(100_000), " weight=65535 region=a"),
            ("Tag", json!("gray"), " #gray region=a"),
            ("GroupName", json!("blue"), " group=blue region=a"),
            (
                "Metadata",
                json!({"dubbo.tag": "gray", "dubbo.endpoints": r#"[{"port":50051,"protocol":"tri"}]"#}),
                " #gray",
            ),
        ] {
            let told = changed(field, value.clone());
            let front = "user-srv 10.0.0.5:20000 10.0.0.5 _dubbo._tcp:20000 _tri._tcp:50051";
            assert_eq!(told, format!("{front}{is}"), "{field} {value}");
        }
        for (field, value) in [("enabled", false), ("healthy", false)] {
            let value = json!({"host": "10.0.0.5", "port": 20000, field: value}).to_string();
            let told = told(System::Dubbo, "/services/", KEY, &value);
            assert!(told.ends_with(" disabled"), "{value}: {told}");
        }
        let bare = r#"{"Host":"10.0.0.5","Port":20000}"#;
        assert_eq!(
            told(System::Dubbo, "/services/", KEY, bare),
            "user-srv 10.0.0.5:20000 10.0.0.5 _dubbo._tcp:20000"
        );
    }

    #[test]
    fn hosts_are_addresses_of_both_kinds_or_names() {
        let ports = "_dubbo._tcp:20000 _tri._tcp:50051 region=a";
        for (host, is) in [
            ("fd00::5", "fd00::5"),
            ("[fd00::5]", "fd00::5"),
            ("srv.example.org", "srv.example.org"),
        ] {
            let told = changed("Host", json!(host));
            assert_eq!(told, format!("user-srv 10.0.0.5:20000 {is} {ports}"), "{host}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_rejected() {
        for (field, value, why) in [
            ("Host", json!(""), "no host is given"),
            (
                "Host",
                json!("0.0.0.0"),
                "0.0.0.0 stands for every address of its host, and names none",
            ),
            ("Port", json!(0), "Port is not readable: port must be 1 to 65535, got \"0\""),
            ("Enable", json!("yes"), "Enable is not readable: "),
            ("Metadata", json!({"a": 1}), "Metadata.a is not readable: "),
            (
                "Metadata",
                json!({"dubbo.endpoints": "x"}),
                "dubbo.endpoints of its metadata \"x\" is not readable: ",
            ),
            (
                "Metadata",
                json!({"dubbo.endpoints": r#"[{"protocol":"tri"}]"#}),
                "missing field `port`",
            ),
        ] {
            let told = changed(field, value.clone());
            assert!(
                told.starts_with("rejected: ") && told.contains(why),
                "{field} {value}: {told}"
            );
        }
        let told = |value: &str| told(System::Dubbo, "/services/", KEY, value);
        assert!(told("").starts_with("rejected: value is not readable: "));
        assert!(told("1234").starts_with("rejected: value is not readable: "));
    }
}
