//! SkyDNS, and what writes as it does: CoreDNS' etcd plugin, external-dns, registrator's `skydns2` backend.
//!
//! `/skydns/local/cluster/redis/r1` holds the record of `r1.redis.cluster.local` (coredns/coredns,
//! plugin/etcd/msg/path.go): the key's parts are the name's labels, last to first. Of the value (msg/service.go) these
//! are read, each of which may be missing:
//!
//! | field | what it says |
//! |---|---|
//! | `host` | an address: A or AAAA; a name: the target of SRV and MX, or, with no `port`, `text` and `mail`, a CNAME |
//! | `port` | an SRV record; 0 and below: none |
//! | `priority` | SRV priority, MX preference; 0 is the default, 10 |
//! | `weight` | SRV weight as written, not scaled to 100 in all; 0 is the default, 100 |
//! | `text` | TXT, in strings of 255 octets; external-dns' note of who owns the record gives way to a CNAME |
//! | `mail` | an MX record |
//! | `ttl` | time to live; a zone's own is the longest, which is shorter than any lease |
//! | `targetstrip` | SRV and MX leave out so many labels where they point to the record's own name |
//! | `group` | the names above show one group (`zone::plain`) |
//!
//! Upper case is folded. A part with characters that no name of theirs has (registrator's `node1:redis.0:6379`) is mapped
//! as all foreign names are: `node1-redis-0-6379`, or its derived label where another record has that name. A wildcard
//! is no name here, and `/skydns/config`, where SkyDNS has its own settings, no record.
//!
//! Knows nothing of zones.

use std::sync::Arc;

use serde::Deserialize;

use super::place::Host;
use super::{Read, Record};
use crate::layout::plain::{FullName, PlainRecord, is_label};
use crate::model::{Namespace, derived_label, limits, map_label};

/// SkyDNS' own settings (skynetservices/skydns, server/config.go).
const SETTINGS: &str = "config";
/// Octets of a text: with all else that a reply holds it fits any transport but the smallest datagram.
const TEXT_OCTETS_MAX: usize = 4_096;
/// What external-dns' notes begin with, in quotes of its own (kubernetes-sigs/external-dns, endpoint/labels.go). It writes
/// them into the record that they are about, which would then be no alias any more (its issue 4953, CoreDNS' 6110).
const NOTE: &str = "heritage=external-dns";
/// More labels than a name has.
const TARGET_STRIP_MAX: i64 = 127;

/// The value. Go takes `null` for what is missing.
#[derive(Debug, Deserialize)]
struct Message {
    host: Option<String>,
    port: Option<i64>,
    priority: Option<i64>,
    weight: Option<i64>,
    text: Option<String>,
    mail: Option<bool>,
    ttl: Option<i64>,
    targetstrip: Option<i64>,
    group: Option<String>,
}

pub(super) fn read(record: Record<'_>, namespace: &Namespace) -> Result<Read, String> {
    if record.path == SETTINGS {
        return Ok(Read::Nothing);
    }
    let (name, derived) = names(record.path)?;
    let message: Message = record.json()?;
    let text = message.text.filter(|text| !text.is_empty());
    let host = match message.host.as_deref().unwrap_or_default() {
        "" if text.is_none() => return Err("it has neither host nor text".to_owned()),
        "" => None,
        host => Some(Host::new(host)?),
    };
    if let Some(octets) = text.as_ref().map(String::len).filter(|len| *len > TEXT_OCTETS_MAX) {
        return Err(format!("text has {octets} octets, at most {TEXT_OCTETS_MAX} are allowed"));
    }
    let weight = match message.weight.unwrap_or_default() {
        0 => limits::WEIGHT_DEFAULT,
        1.. => message.weight.and_then(|weight| weight.try_into().ok()).unwrap_or(u16::MAX),
        weight => return Err(format!("weight must be 0 or more, got {weight}")),
    };
    Ok(Read::Plain(Box::new(PlainRecord {
        namespace: namespace.clone(),
        name,
        derived,
        host,
        // Other backends of theirs write -1 for a service without a port.
        port: Some(number("port", message.port.map(|port| port.max(0)))?).filter(|port| *port > 0),
        priority: match number("priority", message.priority)? {
            0 => limits::PRIORITY_DEFAULT,
            priority => priority,
        },
        weight,
        is_note: text.as_ref().is_some_and(|text| text.trim_start_matches('"').starts_with(NOTE)),
        text: text.map(Into::into),
        mail: message.mail.unwrap_or_default(),
        ttl_secs: match message.ttl.unwrap_or_default() {
            0 => None,
            1.. => Some(message.ttl.and_then(|ttl| ttl.try_into().ok()).unwrap_or(u32::MAX)),
            ttl => return Err(format!("ttl must be 0 or more, got {ttl}")),
        },
        // Clamped to what a usize holds.
        target_strip: message.targetstrip.unwrap_or_default().clamp(0, TARGET_STRIP_MAX) as usize,
        group: message.group.filter(|group| !group.is_empty()).map(Arc::from),
    })))
}

fn number(field: &str, value: Option<i64>) -> Result<u16, String> {
    let value = value.unwrap_or_default();
    value.try_into().map_err(|_| format!("{field} must be 0 to 65535, got {value}"))
}

/// The name that a key stands for, and another one where it is not the only key that does.
fn names(path: &str) -> Result<(FullName, Option<FullName>), String> {
    let (mut labels, mut derived, mut mapped) = (Vec::new(), Vec::new(), false);
    for part in path.rsplit('/') {
        let folded = part.to_ascii_lowercase();
        let (label, other) = match part {
            "" => return Err("key has an empty label".to_owned()),
            "*" => return Err("wildcards are not served".to_owned()),
            _ if is_label(&folded) => (folded.clone(), folded),
            raw => {
                mapped = true;
                let label =
                    map_label(raw.as_bytes()).map_err(|rule| format!("label {raw:?} {rule}"))?;
                let other = derived_label(label.as_str(), raw.as_bytes());
                (label.to_string(), other.to_string())
            }
        };
        labels.push(label);
        derived.push(other);
    }
    let name = FullName::new(labels.iter().map(String::as_str))?;
    // One that is too long has no other.
    let derived = FullName::new(derived.iter().map(String::as_str)).ok();
    Ok((name, derived.filter(|_| mapped)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{spoil, told};
    use super::super::{Foreign, System};
    use super::*;
    use crate::layout::Parsed;
    use crate::registry::{Entry, Origin};

    fn sky(path: &str, value: &str) -> String {
        told(System::Skydns, "/skydns/", &format!("/skydns/{path}"), value)
    }

    #[test]
    fn what_their_documentation_shows_is_read() {
        // CoreDNS' README, SkyDNS' README, registrator's docs/user/backends.md, external-dns.
        for (path, value, read) in [
            (
                "local/skydns/staging/web/rails1",
                r#"{"host":"10.0.0.12","port":8080,"priority":10,"weight":50,"ttl":60,"text":"zone=a","group":"g1"}"#,
                "rails1.web.staging.skydns.local 10.0.0.12:8080 10 50 ttl=60 \"zone=a\" group=g1",
            ),
            (
                "local/skydns/east/production/rails",
                r#"{"host":"service1.example.com","port":8080}"#,
                "rails.production.east.skydns.local service1.example.com:8080 10 100",
            ),
            (
                "local/cluster/redis/node1:redis.0:6379",
                r#"{"host":"192.168.1.102","port":10000}"#,
                "node1-redis-0-6379.redis.cluster.local 192.168.1.102:10000 10 100 or node1-redis-0-6379-mcvnf4.redis.cluster.local",
            ),
            (
                "arpa/in-addr/10/0/0/127",
                r#"{"host":"reverse.skydns.local"}"#,
                "127.0.0.10.in-addr.arpa reverse.skydns.local 10 100",
            ),
            (
                "local/skydns/dns/apex/x1",
                r#"{"host":"FD00::1","ttl":0}"#,
                "x1.apex.dns.skydns.local fd00::1 10 100",
            ),
            (
                "org/example/www/2f5e9a7c",
                r#"{"host":"lb.Example.com.","ttl":300,"targetstrip":1}"#,
                "2f5e9a7c.www.example.org lb.example.com 10 100 ttl=300 strip=1",
            ),
            (
                "local/skydns/x/mx",
                r#"{"host":"fd00::25","priority":5,"mail":true,"weight":null,"key":"ignored"}"#,
                "mx.x.skydns.local fd00::25 5 100 mail",
            ),
            (
                "local/skydns/T_1/_http",
                r#"{"text":"hello","port":-1,"weight":70000}"#,
                "_http.t_1.skydns.local - 10 65535 \"hello\"",
            ),
        ] {
            assert_eq!(sky(path, value), read, "{path}");
        }
        assert_eq!(sky("config", r#"{"dns_addr":"127.0.0.1:53"}"#), "nothing");
    }

    #[test]
    fn what_is_no_record_is_rejected() {
        let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(4_097));
        let deep = vec!["a"; 128].join("/");
        for (path, value, why) in [
            ("local/x", "{", "value is not readable: EOF while parsing an object"),
            ("local/x", "[]", "value is not readable: an array, not an object"),
            ("local/x", "{}", "it has neither host nor text"),
            ("local/x", r#"{"host":""}"#, "it has neither host nor text"),
            ("local/x", r#"{"host":"a b"}"#, "\"a b\" is no address and no host name"),
            ("local/x", r#"{"host":"0.0.0.0"}"#, "0.0.0.0 stands for every address"),
            ("local/x", r#"{"host":"a.b","port":70000}"#, "port must be 0 to 65535, got 70000"),
            ("local/x", r#"{"host":"a.b","weight":-1}"#, "weight must be 0 or more, got -1"),
            ("local/x", r#"{"host":"a.b","priority":-1}"#, "priority must be 0 to 65535, got -1"),
            ("local/x", r#"{"host":"a.b","ttl":-1}"#, "ttl must be 0 or more, got -1"),
            ("local/x", r#"{"host":"a.b","ttl":"60"}"#, "ttl is not readable: invalid type"),
            ("local/x", &long, "text has 4097 octets, at most 4096 are allowed"),
            ("local//x", r#"{"text":"x"}"#, "key has an empty label"),
            ("", r#"{"text":"x"}"#, "key has an empty label"),
            ("local/*", r#"{"text":"x"}"#, "wildcards are not served"),
            ("local/::", r#"{"text":"x"}"#, "label \"::\" must not be empty"),
            (&deep, r#"{"text":"x"}"#, "name has 255 octets"),
        ] {
            let told = sky(path, value);
            assert!(told.starts_with(&format!("rejected: {why}")), "{path} {value}: {told}");
        }
    }

    #[test]
    fn spoilt_records_are_read_or_rejected() {
        let value = r#"{"host":"10.0.0.12","port":8080,"text":"t","mail":true,"group":"g"}"#;
        spoil(System::Skydns, "/skydns/", "/skydns/local/skydns/web/rails1", value);
    }

    proptest! {
        #[test]
        fn names_are_the_labels_of_the_key_last_to_first(
            parts in proptest::collection::vec("[a-zA-Z0-9_:. -]{1,70}", 1..6),
        ) {
            let key = format!("/skydns/{}", parts.join("/"));
            let layout = Foreign {
                origin: Origin(1),
                system: System::Skydns,
                prefix: "/skydns/".into(),
                namespace: Namespace::default(),
            };
            let value = r#"{"text":"x"}"#.into();
            let entry = Entry { key: key.into(), value, revision: 1, lease: None };
            if let Parsed::Plain(record) = layout.parse(&entry) {
                let legal = |label: &str| is_label(&label.to_ascii_lowercase());
                prop_assert_eq!(record.name.labels().count(), parts.len());
                for (label, part) in record.name.labels().rev().zip(&parts) {
                    prop_assert!(!legal(part) || label == part.to_ascii_lowercase());
                }
                prop_assert!(record.derived.is_none() || parts.iter().any(|part| !legal(part)));
            }
        }
    }
}
