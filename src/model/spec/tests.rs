use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn resolve(body: &Value) -> Result<Instance, FieldError> {
    serde_json::from_value::<Spec>(body.clone()).unwrap().resolve(None)
}

/// A registration with one more field.
fn with(field: &str, value: Value) -> Value {
    let mut body = json!({"address": "10.0.0.7", "port": 9000});
    body[field] = value;
    body
}

fn endpoint(field: &str, value: Value) -> Value {
    let mut endpoint = json!({"port": 9000});
    endpoint[field] = value;
    json!({"address": "10.0.0.7", "endpoints": [{"port": 1}, endpoint]})
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("t{i}")).collect()
}

fn addresses(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("10.0.0.{i}")).collect()
}

fn endpoints(count: usize) -> Vec<Value> {
    (1..=count).map(|port| json!({"port": port})).collect()
}

fn pairs(count: usize, octets: usize) -> Value {
    // A key of three octets, and the equals sign.
    (0..count).map(|i| (format!("k{i:02}"), Value::from("x".repeat(octets - 4)))).collect()
}

#[test]
fn every_refusal_names_the_field_and_the_rule() {
    let beside = "stands beside 'endpoints': give it in each endpoint";
    let no_address = "\"ten\" is not an IPv4 or IPv6 address";
    let connect = |what: &str| format!("{what}: give one that clients can connect to");
    let cases = [
        (json!({"port": 1}), "address", "is missing"),
        (json!({"address": "10.0.0.7"}), "port", "is missing"),
        (with("addresses", json!([])), "addresses", "stands beside 'address': give one of the two"),
        (json!({"addresses": [], "port": 1}), "addresses", "must hold 1 to 16, got 0"),
        (json!({"addresses": addresses(17), "port": 1}), "addresses", "must hold 1 to 16, got 17"),
        (json!({"addresses": ["10.0.0.7", "ten"], "port": 1}), "addresses[1]", no_address),
        (with("address", json!("ten")), "address", no_address),
        (
            with("address", json!("10.0.0.7:80")),
            "address",
            "\"10.0.0.7:80\" is not an IPv4 or IPv6 address",
        ),
        (
            with("address", json!("0.0.0.0")),
            "address",
            &connect("0.0.0.0 is the unspecified address"),
        ),
        (with("address", json!("::")), "address", &connect(":: is the unspecified address")),
        (
            with("address", json!("224.0.0.1")),
            "address",
            &connect("224.0.0.1 is a multicast address"),
        ),
        (with("address", json!("ff02::1")), "address", &connect("ff02::1 is a multicast address")),
        (
            with("address", json!("255.255.255.255")),
            "address",
            &connect("255.255.255.255 is the broadcast address"),
        ),
        (
            with("address", json!("::ffff:0.0.0.0")),
            "address",
            &connect("0.0.0.0 is the unspecified address"),
        ),
        (with("port", json!(0)), "port", "must be 1 to 65535, got 0"),
        (with("port", json!(-1)), "port", "must be 1 to 65535, got -1"),
        (with("port", json!(65_536)), "port", "must be 1 to 65535, got 65536"),
        (with("protocol", json!("12")), "protocol", "needs at least one letter"),
        (
            with("transport", json!("tls")),
            "transport",
            "is \"tls\", only tcp, udp and sctp are known",
        ),
        (with("weight", json!(-1)), "weight", "must be 0 to 65535, got -1"),
        (with("weight", json!(65_536)), "weight", "must be 0 to 65535, got 65536"),
        (with("priority", json!(65_536)), "priority", "must be 0 to 65535, got 65536"),
        (with("ttl", json!(1)), "ttl", "must be 2 to 3600 seconds, got 1"),
        (with("ttl", json!(3_601)), "ttl", "must be 2 to 3600 seconds, got 3601"),
        (with("ttl", json!(-30)), "ttl", "must be 2 to 3600 seconds, got -30"),
        (with("tags", json!(texts(17))), "tags", "must hold at most 16, got 17"),
        (
            with("tags", json!(["a", "b_c"])),
            "tags[1]",
            "has '_', only a-z, 0-9 and inner '-' are allowed",
        ),
        (with("meta", pairs(33, 10)), "meta", "must hold at most 32 pairs, got 33"),
        (
            with("meta", pairs(1, 256)),
            "meta.k00",
            "is 256 octets as key=value, at most 255 are allowed",
        ),
        (with("meta", pairs(32, 41)), "meta", "is 1312 octets in all, at most 1300 are allowed"),
        (
            with("meta", json!({"": "x"})),
            "meta.",
            "has a key that is not printable ASCII without '=' (RFC 6763 section 6.4)",
        ),
        (
            with("meta", json!({"a=b": "x"})),
            "meta.a=b",
            "has a key that is not printable ASCII without '=' (RFC 6763 section 6.4)",
        ),
        (
            with("meta", json!({"é": "x"})),
            "meta.\\u{e9}",
            "has a key that is not printable ASCII without '=' (RFC 6763 section 6.4)",
        ),
        (with("meta", json!({"a": "x\0"})), "meta.a", "has a NUL character"),
        (with("endpoints", json!([])), "port", beside),
        (json!({"address": "10.0.0.7", "protocol": "a", "endpoints": []}), "protocol", beside),
        (json!({"address": "10.0.0.7", "transport": "tcp", "endpoints": []}), "transport", beside),
        (json!({"address": "10.0.0.7", "endpoints": []}), "endpoints", "must hold 1 to 16, got 0"),
        (
            json!({"address": "10.0.0.7", "endpoints": endpoints(17)}),
            "endpoints",
            "must hold 1 to 16, got 17",
        ),
        (endpoint("port", json!(0)), "endpoints[1].port", "must be 1 to 65535, got 0"),
        (endpoint("port", Value::Null), "endpoints[1].port", "is missing"),
        (endpoint("protocol", json!("a--b")), "endpoints[1].protocol", "has two hyphens together"),
        (
            endpoint("transport", json!("")),
            "endpoints[1].transport",
            "is \"\", only tcp, udp and sctp are known",
        ),
        (endpoint("weight", json!(70_000)), "endpoints[1].weight", "must be 0 to 65535, got 70000"),
        (endpoint("addresses", json!([])), "endpoints[1].addresses", "must hold 1 to 16, got 0"),
        (
            endpoint("addresses", json!(["::"])),
            "endpoints[1].addresses[0]",
            &connect(":: is the unspecified address"),
        ),
        (endpoint("port", json!(1)), "endpoints[1]", "is there twice"),
    ];
    for (body, field, message) in cases {
        let error = resolve(&body).expect_err(field);
        assert_eq!((&*error.field, &*error.message), (field, message), "{body}");
        assert_eq!(error.to_string(), format!("{field}: {message}"));
    }
}

#[test]
fn the_short_form_takes_defaults() {
    let instance = resolve(&json!({"address": "10.0.0.7", "port": 9000})).unwrap();
    let endpoint = Endpoint {
        protocol: Protocol::new("nova").unwrap(),
        transport: Transport::Tcp,
        port: 9000,
        addresses: Vec::new(),
        weight: None,
    };
    let expected = Instance {
        addresses: vec!["10.0.0.7".parse().unwrap()],
        host: None,
        endpoints: vec![endpoint],
        weight: 100,
        priority: 10,
        tags: Vec::new(),
        meta: BTreeMap::new(),
        ttl: None,
    };
    assert_eq!(instance, expected);
}

#[test]
fn both_forms_say_the_same() {
    let short = resolve(
        &json!({"address": "10.0.0.7", "protocol": "_HTTP", "transport": "udp", "port": 80}),
    )
    .unwrap();
    let long = resolve(&json!({
        "addresses": ["10.0.0.7"],
        "endpoints": [{"protocol": "http", "transport": "_udp", "port": 80}],
    }));
    assert_eq!(long, Ok(short));
}

#[test]
fn limits_themselves_are_allowed() {
    let body = json!({
        "addresses": addresses(17)[1..],
        "endpoints": endpoints(16),
        "weight": 0,
        "priority": 65_535,
        "tags": texts(16),
        "meta": pairs(32, 40),
        "ttl": 3_600,
    });
    let instance = resolve(&body).unwrap();
    assert_eq!((instance.addresses.len(), instance.endpoints.len()), (16, 16));
    assert_eq!((instance.tags.len(), instance.meta.len()), (16, 32));
    assert_eq!((instance.weight, instance.priority, instance.ttl), (0, 65_535, Some(3_600)));
    let meta = resolve(&with("meta", pairs(5, 255))).unwrap().meta;
    assert_eq!(meta.len(), 5);
    assert_eq!(resolve(&with("ttl", json!(2))).unwrap().ttl, Some(2));
    assert_eq!(resolve(&with("weight", json!(65_535))).unwrap().weight, 65_535);
    assert_eq!(resolve(&with("port", json!(65_535))).unwrap().endpoints[0].port, 65_535);
}

#[test]
fn what_is_said_twice_counts_once() {
    let body = json!({
        "addresses": ["10.0.0.7", "::ffff:10.0.0.7", "fd00::7", "FD00:0::7"],
        "port": 1,
        "tags": ["v2", "V2"],
    });
    let instance = resolve(&body).unwrap();
    let addresses: [IpAddr; 2] = ["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()];
    assert_eq!(instance.addresses, addresses);
    assert_eq!(instance.tags, [Label::new("v2").unwrap()]);
}

#[test]
fn the_default_address_stands_in_only_where_none_is_written() {
    let resolve = |body: &str, default: &str| {
        let spec: Spec = serde_json::from_str(body).unwrap();
        spec.resolve(Some(default.parse().unwrap())).map(|instance| instance.addresses)
    };
    let one = |address: &str| Ok(vec![address.parse().unwrap()]);
    assert_eq!(resolve(r#"{"port":1}"#, "10.0.0.9"), one("10.0.0.9"));
    assert_eq!(resolve(r#"{"port":1}"#, "::ffff:10.0.0.9"), one("10.0.0.9"));
    assert_eq!(resolve(r#"{"port":1,"address":"10.0.0.7"}"#, "10.0.0.9"), one("10.0.0.7"));
    assert_eq!(resolve(r#"{"port":1,"addresses":[]}"#, "10.0.0.9").unwrap_err().field, "addresses");
    assert_eq!(resolve(r#"{"port":1}"#, "224.0.0.1").unwrap_err().field, "address");
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    for (body, why) in [
        (r#"{"port":1,"meta":{"a":"b","a":"b"}}"#, "key \"a\" is there twice"),
        (r#"{"port":1,"port":2}"#, "duplicate field `port`"),
        (r#"{"endpoints":[{"port":1,"port":1}]}"#, "duplicate field `port`"),
        (r#"{"port":1,"meta":["a"]}"#, "expected an object of texts"),
    ] {
        let error = serde_json::from_str::<Spec>(body).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let number =
        prop_oneof![Just(None), (-2..70_000_i64).prop_map(Some), any::<i64>().prop_map(Some)];
    let text = "[ -~]{0,20}|10\\.0\\.0\\.[0-9]{1,3}|fd00::[0-9a-f]{0,4}|[a-z]{1,15}";
    let list = || proptest::option::of(proptest::collection::vec(text, 0..20));
    let endpoint = (
        proptest::option::of(text),
        proptest::option::of("tcp|udp|_sctp|x"),
        number.clone(),
        list(),
        number.clone(),
    )
        .prop_map(|(protocol, transport, port, addresses, weight)| EndpointSpec {
            protocol,
            transport,
            port,
            addresses,
            weight,
        });
    let endpoints = proptest::option::of(proptest::collection::vec(endpoint, 0..18));
    let meta =
        proptest::option::of(proptest::collection::btree_map("\\PC{0,9}", "\\PC{0,90}", 0..40));
    let numbers = [number.clone(), number.clone(), number.clone(), number];
    (proptest::option::of(text), list(), endpoints, numbers, list(), meta).prop_map(
        |(address, addresses, endpoints, [port, weight, priority, ttl], tags, meta)| Spec {
            address,
            addresses,
            endpoints,
            port,
            weight,
            priority,
            ttl,
            tags,
            meta,
            ..Spec::default()
        },
    )
}

proptest! {
    #[test]
    fn any_registration_is_within_its_limits_or_refused(spec in any_spec()) {
        match spec.resolve(None) {
            Ok(instance) => {
                prop_assert!((1..=16).contains(&instance.addresses.len()));
                prop_assert!((1..=16).contains(&instance.endpoints.len()));
                prop_assert!(instance.tags.len() <= 16 && instance.meta.len() <= 32);
                prop_assert!(instance.endpoints.iter().all(|endpoint| endpoint.port > 0));
                // Written down and read again it is the same.
                prop_assert_eq!(Spec::from(&instance).resolve(None), Ok(instance));
            }
            Err(error) => {
                prop_assert!(!error.message.is_empty());
                prop_assert!(!error.to_string().contains('\n'), "{}", error);
            }
        }
    }
}
