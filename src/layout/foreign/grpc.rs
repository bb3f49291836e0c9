//! gRPC naming of etcd's own client (etcd-io/etcd, client/v3/naming/endpoints/endpoints_impl.go): `{target}/{anything}`, by
//! habit the address, holds `{"Op":0,"Addr":"10.0.0.5:9000","Metadata":…}`.
//!
//! Its readers take whatever stands there for an addition, so `Op` is not looked at. `Metadata` is the application's own:
//! what of an object are texts, numbers and truth values is meta. A `weight` among them is no rule of this system, whose
//! clients take it or leave it; it is shown as meta, and the instance gets the same share as all others.
//!
//! Knows nothing of targets of several parts: which folder is the target's first, keys don't tell. The prefix is all of it,
//! or all but its last part, which names the app.

use serde::Deserialize;
use serde_json::Value;

use super::found::Found;
use super::place::Place;
use super::{Read, Record};

/// What is spoken there.
const PROTOCOL: &str = "grpc";

/// What a key holds.
#[derive(Deserialize)]
struct Update {
    #[serde(rename = "Addr", default)]
    address: String,
    #[serde(rename = "Metadata", default)]
    metadata: Value,
}

pub(super) fn read(record: Record<'_>) -> Result<Read, String> {
    let (app, id) = record.app_and_id()?;
    let Update { address, metadata } = record.json()?;
    // grpc/grpc, doc/naming.md.
    if address.starts_with("unix:") || address.starts_with("unix-abstract:") {
        return Err(format!(
            "Addr {address:?} is a socket of its own host: DNS can lead nobody there"
        ));
    }
    let place = Place::new(&address).map_err(|why| format!("Addr: {why}"))?;
    let mut found = Found::new(app, id, PROTOCOL, place);
    if let Value::Object(pairs) = metadata {
        found.meta =
            pairs.into_iter().filter_map(|(key, value)| Some((key, text(value)?))).collect();
    }
    Ok(Read::Instance(Box::new(found)))
}

/// A value that one pair of a TXT record can tell.
fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::layout::foreign::System;
    use crate::layout::foreign::tests::told;

    const KEY: &str = "services/greeter/10.0.0.5:9000";

    #[test]
    fn an_address_below_a_target_is_an_instance_of_it() {
        let told = |value: &str| told(System::Grpc, "services/", KEY, value);
        for (value, is) in [
            // Meta, and not the weight that would stand in front of that.
            (
                r#"{"Op":0,"Addr":"10.0.0.5:9000","Metadata":{"weight":10}}"#,
                "greeter 10.0.0.5:9000 10.0.0.5 _grpc._tcp:9000 weight=10",
            ),
            // A stored value is an addition, whatever it says.
            (
                r#"{"Op":1,"Addr":"[fd00::5]:9000","Metadata":null}"#,
                "greeter 10.0.0.5:9000 fd00::5 _grpc._tcp:9000",
            ),
            (
                r#"{"Addr":"greeter-0.example.org:9000"}"#,
                "greeter 10.0.0.5:9000 greeter-0.example.org _grpc._tcp:9000",
            ),
            (
                r#"{"Op":0,"Addr":"10.0.0.5:9000","Metadata":{"zone":"a","hot":true,"load":0.5,"none":null,"list":[1],"deep":{"x":1}}}"#,
                "greeter 10.0.0.5:9000 10.0.0.5 _grpc._tcp:9000 hot=true load=0.5 zone=a",
            ),
            (
                r#"{"Op":0,"Addr":"10.0.0.5:9000","Metadata":"v1"}"#,
                "greeter 10.0.0.5:9000 10.0.0.5 _grpc._tcp:9000",
            ),
        ] {
            assert_eq!(told(value), is, "{value}");
        }
    }

    #[test]
    fn what_can_not_be_reached_or_read_is_rejected() {
        let told = |value: &str| told(System::Grpc, "services/", KEY, value);
        for (value, why) in [
            (
                r#"{"Addr":"unix:///run/greeter.sock"}"#,
                "Addr \"unix:///run/greeter.sock\" is a socket of its own host: DNS can lead nobody there",
            ),
            (
                r#"{"Addr":"unix-abstract:greeter:1"}"#,
                "Addr \"unix-abstract:greeter:1\" is a socket of its own host: DNS can lead nobody there",
            ),
            (r#"{"Op":0,"Addr":"","Metadata":null}"#, "Addr: \"\" has no port"),
            (r#"{"Addr":"10.0.0.5"}"#, "Addr: \"10.0.0.5\" has no port"),
            (
                r#"{"Addr":"0.0.0.0:1"}"#,
                "Addr: 0.0.0.0 stands for every address of its host, and names none",
            ),
        ] {
            assert_eq!(told(value), format!("rejected: {why}"), "{value}");
        }
        assert!(told(r#"{"Addr":1}"#).starts_with("rejected: Addr is not readable: "));
        assert!(told("10.0.0.5:9000").starts_with("rejected: value is not readable: "));
        assert!(
            told(r#"{"Addr":"10.0.0.5:9000"} x"#).starts_with("rejected: value is not readable: ")
        );
        assert!(told(r#"["10.0.0.5:9000",null]"#).ends_with("an array, not an object"));
    }
}
