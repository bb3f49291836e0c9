use proptest::prelude::*;

use super::*;

const BODY: &str = r#"{"v":1,"address":"10.0.0.7","port":9000}"#;

fn parse(key: impl Into<Bytes>, value: &[u8]) -> Parsed {
    let value = Bytes::copy_from_slice(value);
    Keys::new("/r").parse(&Entry { key: key.into(), value, revision: 3, lease: None })
}

fn rejected(key: &str, value: &str) -> String {
    match parse(key.to_owned(), value.as_bytes()) {
        Parsed::Rejected(reason) => reason.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}

fn instance_of(value: &str) -> Instance {
    match parse("/r/default/instances/greeter/i-1", value.as_bytes()) {
        Parsed::Instance(registration) => registration.instance.clone(),
        other => panic!("{value} is {other:?}"),
    }
}

#[test]
fn a_key_that_is_not_ours_says_why() {
    let shape = "key is not {namespace}/{kind}/{app}/{id}";
    for (key, reason) in [
        ("/other/default/instances/greeter/i-1", "key is not under /r/"),
        ("/r", "key is not under /r/"),
        ("/r/", shape),
        ("/r/default", shape),
        ("/r/default/instances/greeter", shape),
        ("/r/default/instances/greeter/i-1/more", shape),
        (
            "/r/default/services/greeter/i-1",
            "kind \"services\" is not instances, departed or offline",
        ),
        ("/r/Default/instances/greeter/i-1", "namespace \"Default\" has upper case"),
        ("/r//instances/greeter/i-1", "namespace \"\" must not be empty"),
        ("/r/default/instances/Greeter/i-1", "app \"Greeter\" has upper case"),
        ("/r/default/instances/greeter./i-1", "app \"greeter.\" has an empty label"),
        ("/r/default/instances//i-1", "app \"\" must not be empty"),
        ("/r/default/instances/greeter/I-1", "instance id \"I-1\" has upper case"),
        ("/r/default/instances/greeter/", "instance id \"\" must not be empty"),
        ("/r/default/departed/greeter/", "instance id \"\" must not be empty"),
        (
            "/r/default/offline/greeter/i_1",
            "instance id \"i_1\" has '_', only a-z, 0-9 and inner '-' are allowed",
        ),
    ] {
        assert_eq!(rejected(key, BODY), reason, "{key}");
    }
    let Parsed::Rejected(reason) = parse(&b"/r/default/instances/x/\xff"[..], b"") else {
        panic!("taken for a name")
    };
    assert_eq!(&*reason, "key is not UTF-8");
}

#[test]
fn a_value_that_can_not_be_read_says_why() {
    let key = "/r/default/instances/greeter/i-1";
    for (value, reason) in [
        ("", "value is not readable: EOF while parsing a value at line 1 column 0"),
        ("nova", "value is not readable: expected ident at line 1 column 2"),
        (" [1]", "value is not readable: an array, not an object"),
        (r#"{"port":"9000","address":"10.0.0.7"}"#, "port is not readable: invalid type: string"),
        (
            r#"{"endpoints":[{"port":1},{"port":true}],"address":"10.0.0.7"}"#,
            "endpoints[1].port is not readable: invalid type: boolean",
        ),
        (r#"{"port":1,"port":2}"#, "value is not readable: duplicate field `port`"),
        (r#"{"v":"2"}"#, "value is not readable: invalid type: string"),
        ("{}", "address: is missing"),
        (r#"{"address":"10.0.0.7"}"#, "port: is missing"),
        (r#"{"address":"10.0.0.7","port":0}"#, "port: must be 1 to 65535, got 0"),
        (
            r#"{"v":2,"address":"10.0.0.7","port":1}"#,
            "value has version 2, this server reads up to 1",
        ),
        // Even where the newer form is not ours in other ways too.
        (r#"{"v":2,"port":"9000/nova"}"#, "value has version 2, this server reads up to 1"),
    ] {
        let got = rejected(key, value);
        assert!(got.starts_with(reason) && !got.contains('\n'), "{value}: {got}");
    }
    let invalid = parse(key, b"{\"port\":1,\"address\":\"\xff\"}");
    assert!(matches!(invalid, Parsed::Rejected(_)), "{invalid:?}");
    for kind in ["offline", "departed"] {
        let key = format!("/r/default/{kind}/greeter/i-1");
        assert_eq!(rejected(&key, r#"{"v":9}"#), "value has version 9, this server reads up to 1");
        assert!(rejected(&key, r#"{"by":7}"#).starts_with("by is not readable: invalid type"));
    }
}

#[test]
fn unknown_fields_are_ignored_and_absent_ones_defaulted() {
    let plain = instance_of(BODY);
    assert_eq!((plain.weight, plain.priority, plain.ttl), (100, 10, None));
    assert_eq!(plain.endpoints[0].protocol.as_str(), "nova");
    for value in [
        r#"{"address":"10.0.0.7","port":9000}"#,
        r#"{"v":0,"address":"10.0.0.7","port":9000}"#,
        r#"{"v":1,"address":"10.0.0.7","port":9000,"zone":{"deep":[1,2]},"weight":null}"#,
    ] {
        assert_eq!(instance_of(value), plain, "{value}");
    }
}

#[test]
fn marks_and_departures_are_read() {
    let (namespace, app) = (Namespace::default(), AppName::new("go.greeter").unwrap());
    let id = Label::new("i-1").unwrap();
    let keys = Keys::new("/r/");
    let note = Note { by: "ops".into(), at: "2024-01-01T00:00:00Z".into(), reason: "load".into() };
    let of = |id| OfflineMark {
        namespace: namespace.clone(),
        app: app.clone(),
        id,
        of: None,
        note: note.clone(),
    };
    let whole = parse(keys.offline(&namespace, &app, None), &note_value(&note));
    assert_eq!(whole, Parsed::Offline(Arc::new(of(None))));
    let one = parse(keys.offline(&namespace, &app, Some(&id)), &note_value(&note));
    assert_eq!(one, Parsed::Offline(Arc::new(of(Some(id.clone())))));
    // Other programs put such keys by hand, often without a value.
    for value in ["", "{}", r#"{"v":1,"ticket":4}"#] {
        let key = keys.departed(&namespace, &app, &id);
        let Parsed::Departed(departure) = parse(key, value.as_bytes()) else { panic!("{value}") };
        assert_eq!((&departure.app, &departure.id, &departure.note), (&app, &id, &Note::default()));
    }
    assert_eq!(keys.offline(&namespace, &app, None), "/r/default/offline/go.greeter/");
}

#[test]
fn what_servers_keep_for_themselves_is_no_registration() {
    for key in ["/r/_members/server-1", "/r/_", "/r/_members/instances/x/y"] {
        assert_eq!(parse(key, b"17"), Parsed::Bookkeeping, "{key}");
    }
}

#[test]
fn keys_are_found_again() {
    let keys = Keys::new("/r");
    assert_eq!(keys.prefix(), "/r/");
    let (namespace, app) = (Namespace::new("staging").unwrap(), AppName::new("a.b").unwrap());
    let id = Label::new("i").unwrap();
    assert_eq!(keys.instance(&namespace, &app, &id), "/r/staging/instances/a.b/i");
    assert_eq!(keys.instances(&namespace, &app), "/r/staging/instances/a.b/");
    assert_eq!(keys.departed(&namespace, &app, &id), "/r/staging/departed/a.b/i");
    assert_eq!(keys.app_of("/r/staging/instances/a.b/i"), Some(app.clone()));
    assert_eq!(keys.app_of("/r/staging/offline/a.b/"), Some(app));
    assert_eq!(keys.app_of("/s/staging/offline/a.b/"), None);
    assert_eq!(keys.app_of("/r/staging/offline"), None);
}

fn any_instance() -> impl Strategy<Value = Instance> {
    let address = any::<std::net::IpAddr>().prop_map(|address| address.to_string());
    let addresses = || proptest::collection::vec(address.clone(), 1..5);
    let endpoint = ("[a-z]{1,15}", "tcp|udp|sctp", 1..=u16::MAX, proptest::option::of(addresses()), proptest::option::of(any::<u16>()))
        .prop_map(|(protocol, transport, port, addresses, weight)| {
            serde_json::json!({"protocol": protocol, "transport": transport, "port": port, "addresses": addresses, "weight": weight})
        });
    let endpoints = proptest::collection::vec(endpoint, 1..5);
    let tags = proptest::collection::vec("[a-z0-9]{1,63}", 0..5);
    let meta = proptest::collection::btree_map("[a-z ]{1,9}", "[^\0]{0,30}", 0..5);
    let numbers = (any::<u16>(), any::<u16>(), proptest::option::of(2..=3_600_u32));
    (addresses(), endpoints, tags, meta, numbers).prop_filter_map(
        "an address, or an endpoint twice, that is refused",
        |(addresses, endpoints, tags, meta, (weight, priority, ttl))| {
            let body = serde_json::json!({
                "addresses": addresses, "endpoints": endpoints, "tags": tags, "meta": meta,
                "weight": weight, "priority": priority, "ttl": ttl,
            });
            serde_json::from_value::<Spec>(body).ok()?.resolve(None).ok()
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(instance in any_instance()) {
        let value = instance_value(&instance);
        let versioned = value.starts_with(b"{\"v\":1,");
        prop_assert!(versioned);
        let Parsed::Instance(registration) = parse("/r/default/instances/x/i", &value) else {
            return Err(TestCaseError::fail("not read"));
        };
        prop_assert_eq!(&registration.instance, &instance);
    }

    #[test]
    fn any_entry_is_read_or_rejected(key in proptest::collection::vec(any::<u8>(), 0..40), value in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Parsed::Rejected(reason) = parse([b"/r/", &key[..]].concat(), &value) {
            prop_assert!(!reason.is_empty() && !reason.contains('\n'), "{}", reason);
        }
    }
}

#[test]
fn a_copy_says_of_what_and_is_read_as_any_other() {
    let spec = Spec { address: Some("10.0.0.7".into()), port: Some(9000), ..Spec::default() };
    let instance = spec.resolve(None).unwrap();
    let from = "go-micro:/micro/registry/greeter/\"1\"";
    let value = imported_value(&instance, from);
    assert_eq!(imported_from(&value).as_deref(), Some(from));
    assert_eq!(super::instance(&value), Ok(instance.clone()));
    for other in [&*instance_value(&instance), b"", b"{}", b"[1]", br#"{"from":1}"#] {
        assert_eq!(imported_from(other), None);
    }
}
