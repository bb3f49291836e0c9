//! Kratos (go-kratos/kratos, contrib/registry/etcd/registry.go, registry/registry.go): `/microservices/{name}/{id}` holds
//! the service as JSON, with what it offers as URLs:
//!
//! ```text
//! {"id":"h1","name":"helloworld","version":"v1.2","metadata":{"region":"a"},
//!  "endpoints":["http://10.0.0.8:8000?isSecure=false","grpc://10.0.0.8:9000?isSecure=false"]}
//! ```
//!
//! Each scheme is a protocol. Whether an endpoint speaks TLS is told by newer servers in the scheme (`https`, `grpcs`), by
//! older ones in `isSecure`, which is shown as meta `{scheme}.isSecure`. A whole number in the metadata's `weight` is the
//! weight, 100 if there is none (selector/default_node.go, selector/node/direct/direct.go).
//!
//! Knows nothing of the form in which Kratos writes to Consul.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::found::{Found, Offer};
use super::{Read, Record, url};
use crate::model::Transport;

/// What a key holds. Go writes null for a map and a list that nobody made.
#[derive(Deserialize)]
struct Service {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    endpoints: Option<Vec<String>>,
}

pub(super) fn read(record: Record<'_>) -> Result<Read, String> {
    let (_, id) = record.folder_and_id()?;
    let Service { name, version, metadata, endpoints } = record.json()?;
    if !is_folder(record, &name) {
        return Err(format!("name {name:?} is not that of the folder its key is in"));
    }
    let mut meta = metadata.unwrap_or_default();
    let weight = meta.get("weight").and_then(|weight| weight.parse().ok());
    if !version.is_empty() {
        meta.insert("version".to_owned(), version);
    }
    let mut offers = Vec::new();
    for endpoint in endpoints.unwrap_or_default() {
        let (protocol, place) =
            url::parts(&endpoint).map_err(|why| format!("endpoint {endpoint:?}: {why}"))?;
        if let Some((_, secure)) = url::parameters(&endpoint).find(|(key, _)| key == "isSecure") {
            meta.insert(format!("{protocol}.isSecure"), secure.into_owned());
        }
        offers.push(Offer { protocol, transport: Transport::Tcp, place });
    }
    let (id, disabled, tags) = (id.to_owned(), false, Vec::new());
    let mut found = Found { app: name, id, offers, weight: None, disabled, tags, meta };
    if let Some(weight) = weight {
        found.weigh(weight);
    }
    Ok(Read::Instance(Box::new(found)))
}

/// Whether the key's folder has that name. A name may have slashes of its own.
///
/// Its clients ask for all keys that begin with a name, and so get those of longer names too: they leave out what has
/// not the name that they asked for, and would never find what lies in another's folder.
fn is_folder(record: Record<'_>, name: &str) -> bool {
    let key = format!("{}{}", record.prefix, record.path);
    let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
    folder.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use crate::layout::foreign::System;
    use crate::layout::foreign::tests::told;

    fn microservice(key: &str, value: &str) -> String {
        told(System::Kratos, "/microservices/", &format!("/microservices/{key}"), value)
    }

    #[test]
    fn a_service_is_an_instance_with_all_its_endpoints() {
        for (value, is) in [
            (
                r#"{"id":"h1","name":"helloworld","version":"v1.2","metadata":{"region":"a"},
                    "endpoints":["http://10.0.0.8:8000?isSecure=false","grpc://10.0.0.8:9000?isSecure=false"]}"#,
                "helloworld h1 10.0.0.8 _http._tcp:8000 _grpc._tcp:9000 grpc.isSecure=false http.isSecure=false region=a version=v1.2",
            ),
            (
                r#"{"id":"h1","name":"helloworld","version":"","metadata":null,"endpoints":["grpcs://[fd00::8]:9000"]}"#,
                "helloworld h1 fd00::8 _grpcs._tcp:9000",
            ),
            (
                r#"{"name":"helloworld","endpoints":["grpc://10.0.0.8:9000?isSecure=true","grpc://10.0.0.9:9000"]}"#,
                "helloworld h1 10.0.0.8 _grpc._tcp:9000@10.0.0.8@10.0.0.9 grpc.isSecure=true",
            ),
            (
                r#"{"name":"helloworld","endpoints":["http://hello.example.org:8000"]}"#,
                "helloworld h1 hello.example.org _http._tcp:8000",
            ),
            // Some of it by name, some by address: what is at an address is told.
            (
                r#"{"name":"helloworld","endpoints":["http://hello.example.org:8000","grpc://10.0.0.8:9000"]}"#,
                "helloworld h1 10.0.0.8 _grpc._tcp:9000",
            ),
            (
                r#"{"name":"helloworld","endpoints":["http://a.example.org:8000","grpc://b.example.org:9000"]}"#,
                "helloworld h1 a.example.org _http._tcp:8000",
            ),
            // What runs on one machine alone is led to there.
            (
                r#"{"name":"helloworld","endpoints":["grpc://127.0.0.1:9000"]}"#,
                "helloworld h1 127.0.0.1 _grpc._tcp:9000",
            ),
        ] {
            assert_eq!(microservice("helloworld/h1", value), is, "{value}");
        }
    }

    #[test]
    fn a_whole_number_in_its_metadata_is_its_weight() {
        for (weight, is) in [
            ("\"250\"", " weight=250 weight=250"),
            ("\"0\"", " weight=0 weight=0"),
            ("\"-1\"", " weight=0 weight=-1"),
            ("\"70000\"", " weight=65535 weight=70000"),
            // The reader of Kratos leaves out what is no number.
            ("\"x\"", " weight=x"),
        ] {
            let value = format!(
                r#"{{"name":"a","metadata":{{"weight":{weight}}},"endpoints":["grpc://10.0.0.8:9000"]}}"#
            );
            let told = microservice("a/h1", &value);
            assert_eq!(told, format!("a h1 10.0.0.8 _grpc._tcp:9000{is}"), "{weight}");
        }
    }

    #[test]
    fn the_version_is_the_services_own() {
        let value = r#"{"name":"a","version":"v2","metadata":{"version":"v1"},"endpoints":["grpc://10.0.0.8:9000"]}"#;
        assert_eq!(microservice("a/h1", value), "a h1 10.0.0.8 _grpc._tcp:9000 version=v2");
    }

    #[test]
    fn names_are_those_of_folders() {
        let value =
            |name: &str| format!(r#"{{"name":"{name}","endpoints":["grpc://10.0.0.8:9000"]}}"#);
        for (key, name, app) in [
            ("foo/h1", "foo", Some("foo")),
            ("foobar/h1", "foo", None),
            ("foobar/h1", "bar", None),
            ("foo/h1", "foobar", None),
            ("foo/h1", "", None),
            ("team/User.API_v1/h1", "team/User.API_v1", Some("team-user.api-v1")),
            ("User.API/h1", "User.API", Some("user.api")),
        ] {
            let told = microservice(key, &value(name));
            let is = match app {
                Some(app) => format!("{app} h1 10.0.0.8 _grpc._tcp:9000"),
                None => format!("rejected: name {name:?} is not that of the folder its key is in"),
            };
            assert_eq!(told, is, "{key} {name}");
        }
        let told =
            told(System::Kratos, "/microservices/foo/", "/microservices/foo/h1", &value("foo"));
        assert_eq!(told, "foo h1 10.0.0.8 _grpc._tcp:9000");
    }

    #[test]
    fn what_can_not_be_read_in_full_is_rejected() {
        for (value, why) in [
            (r#"{"name":"a","endpoints":[]}"#, "it offers nothing that can be reached"),
            (r#"{"name":"a","endpoints":null}"#, "it offers nothing that can be reached"),
            (
                r#"{"name":"a","endpoints":["http://10.0.0.8:8000","grpc://[::]:9000"]}"#,
                "endpoint \"grpc://[::]:9000\": [::] stands for every address of its host, and names none",
            ),
            (
                r#"{"name":"a","endpoints":["grpc://224.0.0.5:9000","http://255.255.255.255:1"]}"#,
                "endpoint \"grpc://224.0.0.5:9000\": 224.0.0.5 is a multicast address: no client can connect to it",
            ),
            (
                r#"{"name":"a","endpoints":["grpc://127.0.0.1:9000","http://[fe80::1%25eth0]:80"]}"#,
                "endpoint \"http://[fe80::1%25eth0]:80\": [fe80::1%25eth0] means something on its own host alone",
            ),
            (
                r#"{"name":"a","endpoints":["10.0.0.8:9000"]}"#,
                "endpoint \"10.0.0.8:9000\": \"10.0.0.8:9000\" is no URL",
            ),
            (
                r#"{"name":"a","endpoints":["grpc://10.0.0.8"]}"#,
                "endpoint \"grpc://10.0.0.8\": \"10.0.0.8\" has no port, and grpc has none of its own",
            ),
        ] {
            assert_eq!(microservice("a/h1", value), format!("rejected: {why}"), "{value}");
        }
        assert!(microservice("a/h1", "{}").contains("missing field `name`"));
        let told = microservice("a/h1", r#"{"name":"a","endpoints":["grpc://10.0.0.8:1",2]}"#);
        assert!(told.starts_with("rejected: endpoints[1] is not readable: "), "{told}");
        assert_eq!(microservice("a/", "{}"), "rejected: key ends where an id should be");
    }
}
