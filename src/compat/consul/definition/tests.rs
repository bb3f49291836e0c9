//! What is read of bodies, and what is said to those that can't be.

use serde_json::{Value, json};

use super::*;

fn registered(body: &Value) -> (ServiceDefinition, Vec<CheckDefinition>) {
    service(body.to_string().as_bytes()).unwrap()
}

fn refused(body: &Value) -> String {
    service(body.to_string().as_bytes()).unwrap_err()
}

#[test]
fn what_go_micro_sends_is_read() {
    // formats 4.3, as its client encodes it.
    let body = json!({"ID": "greeter-6f1a0c6e", "Name": "greeter", "Tags": ["t-78", "v-78"], "Port": 41233,
        "Address": "10.0.0.12", "Check": {"TTL": "1m0s", "DeregisterCriticalServiceAfter": "1m5s"},
        "Checks": null});
    let (service, checks) = registered(&body);
    assert_eq!((service.id.as_str(), service.name.as_str()), ("greeter-6f1a0c6e", "greeter"));
    assert_eq!((service.port, service.address.as_str()), (41_233, "10.0.0.12"));
    assert_eq!(service.weights, Weights { passing: 1, warning: 1 });
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].kind, Kind::Ttl(Duration::from_secs(60)));
    assert_eq!(checks[0].deregister_after, Some(Duration::from_secs(65)));
    assert_eq!((checks[0].status, checks[0].id.clone()), (Status::Critical, None));
    assert_eq!(checks[0].name, "Service 'greeter' check");
}

#[test]
fn keys_have_no_case_and_may_be_in_snake_case() {
    let long = json!({"ID": "a", "Name": "web", "Port": 80, "EnableTagOverride": true,
        "TaggedAddresses": {"lan": {"Address": "10.0.0.1", "Port": 81}},
        "Weights": {"Passing": 10, "Warning": 2}, "Meta": {"Some_Key": "V"},
        "Check": {"CheckID": "c", "HTTP": "http://127.0.0.1/x", "Interval": "10s", "Timeout": "2s",
            "Header": {"X-Some": ["1", "2"]}, "SuccessBeforePassing": 2}});
    let snake = json!({"id": "a", "name": "web", "port": 80, "enable_tag_override": true,
        "tagged_addresses": {"lan": {"address": "10.0.0.1", "port": 81}},
        "weights": {"passing": 10, "warning": 2}, "meta": {"Some_Key": "V"}, "unknown": [1, {}],
        "checks": [{"check_id": "c", "http": "http://127.0.0.1/x", "interval": 10_000_000_000_u64,
            "timeout": "2s", "header": {"X-Some": ["1", "2"]}, "success_before_passing": 2, "ttl": ""}]});
    let (service, checks) = registered(&long);
    assert_eq!((service.clone(), checks.clone()), registered(&snake));
    assert!(service.enable_tag_override);
    assert_eq!(service.weights, Weights { passing: 10, warning: 2 });
    let lan = TaggedAddress { address: "10.0.0.1".to_owned(), port: 81 };
    assert_eq!(service.tagged_addresses, [("lan".to_owned(), lan)].into());
    assert_eq!(service.meta["Some_Key"], "V");
    let Kind::Http(check, pace) = &checks[0].kind else { panic!("{checks:?}") };
    assert_eq!(check.header["X-Some"], ["1", "2"]);
    assert_eq!((pace.interval, pace.timeout), (Duration::from_secs(10), Duration::from_secs(2)));
}

#[test]
fn what_is_refused_is_refused_in_consuls_words() {
    for (body, why) in [
        (json!([]), "Request decode failed"),
        (json!({}), "Missing service name"),
        (json!({"Name": ""}), "Missing service name"),
        (json!({"Name": "a", "Port": "80"}), "Request decode failed: port: invalid type"),
        (json!({"Name": "a", "Tags": "x"}), "Request decode failed: tags"),
        (json!({"Name": "a", "Address": "0.0.0.0"}), "Invalid service address"),
        (json!({"Name": "a", "Address": "::"}), "Invalid service address"),
        (json!({"Name": "a", "Address": "[::]"}), "Invalid service address"),
        (json!({"Name": "a", "Port": 70_000}), "Validation failed: Port must be 0 to 65535"),
        (json!({"Name": "a", "Port": -1}), "Validation failed: Port must be 0 to 65535"),
        (json!({"Name": "a\nb"}), "Validation failed: Name"),
        (json!({"Name": "a", "ID": "x".repeat(300)}), "Validation failed: ID"),
        (
            json!({"Name": "a", "Weights": {"Passing": 0}}),
            "Invalid Weights: Passing must be greater than 0",
        ),
        (
            json!({"Name": "a", "Weights": {"Passing": 1, "Warning": -1}}),
            "Invalid Weights: Warning",
        ),
        (
            json!({"Name": "a", "Weights": {"Passing": 70_000}}),
            "Invalid Weights: DNS Weight must be",
        ),
        (
            json!({"Name": "a", "Meta": {"a b": ""}}),
            "Invalid Service Meta: Couldn't load metadata pair ('a b'",
        ),
        (json!({"Name": "a", "Meta": {"": ""}}), "Key cannot be blank"),
        (json!({"Name": "a", "Meta": {"consul-x": ""}}), "is reserved"),
        (json!({"Name": "a", "Meta": {"a": "x".repeat(513)}}), "Value is too long"),
        (json!({"Name": "a", "Meta": {"x".repeat(129): ""}}), "Key is too long"),
        (
            json!({"Name": "a", "Meta": (0..65).map(|n| (n.to_string(), json!(""))).collect::<Map<_, _>>()}),
            "cannot contain more than 64",
        ),
        (json!({"Name": "a", "Check": 7}), "Request decode failed: a check must be an object"),
        (
            json!({"Name": "a", "Check": {"TTL": "10"}}),
            "Request decode failed: ttl: a duration must have a unit",
        ),
        (json!({"Name": "a", "Check": {"Status": "passing"}}), "Invalid check: TTL must be > 0"),
        (
            json!({"Name": "a", "Check": {"TTL": "10s", "Status": "good"}}),
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        (
            json!({"Name": "a", "Check": {"TTL": "10s", "Interval": "1s"}}),
            "Invalid check: Interval and TTL cannot both be specified",
        ),
        (
            json!({"Name": "a", "Check": {"HTTP": "http://10.0.0.1/"}}),
            "Invalid check: Interval must be > 0",
        ),
        (
            json!({"Name": "a", "Check": {"HTTP": "10.0.0.1", "Interval": "1s"}}),
            "is no URL with http:// or https://",
        ),
        (
            json!({"Name": "a", "Check": {"HTTP": "http://a/", "Interval": "1s", "Header": {"a b": ["c"]}}}),
            "is not legal in HTTP",
        ),
        (json!({"Name": "a", "Check": {"TCP": "10.0.0.1", "Interval": "1s"}}), "is not host:port"),
        (
            json!({"Name": "a", "Check": {"ScriptArgs": ["true"], "Interval": "1s"}}),
            "Scripts are disabled",
        ),
        (
            json!({"Name": "a", "Check": {"Args": ["true"], "Interval": "1s"}}),
            "Scripts are disabled",
        ),
        (
            json!({"Name": "a", "Check": {"script": "true", "interval": "1s"}}),
            "Scripts are disabled",
        ),
        (
            json!({"Name": "a", "Check": {"AliasService": "b"}}),
            "AliasService checks are not run here",
        ),
        (
            json!({"Name": "a", "Check": {"UDP": "a:1", "Interval": "1s"}}),
            "UDP checks are not run here",
        ),
        (json!({"Name": "a", "Checks": vec![json!({"TTL": "1s"}); 17]}), "at most 16"),
    ] {
        let said = refused(&body);
        assert!(said.contains(why), "{body}: {said}");
    }
    for body in [&b""[..], b"{", b"{}x", b"\xff", b"null", b"{\"Name\": \"a\", \"Tags\": [1]}"] {
        let said = service(body).unwrap_err();
        assert!(said.starts_with("Request decode failed"), "{body:?}: {said}");
    }
}

#[test]
fn checks_are_read_as_they_are_meant() {
    let one =
        |check: Value| registered(&json!({"Name": "web", "Checks": [{}, null, check]})).1.remove(0);
    let pace = |interval, timeout| Pace {
        interval: Duration::from_millis(interval),
        timeout: Duration::from_millis(timeout),
    };
    let tcp = |target: &str, instead_of: Option<&str>, pace| {
        let (target, instead_of) = (target.to_owned(), instead_of.map(str::to_owned));
        Kind::Tcp { target, instead_of, pace }
    };
    for (check, is) in [
        (json!({"TTL": "15s"}), Kind::Ttl(Duration::from_secs(15))),
        (
            json!({"TCP": "10.0.0.1:80", "Interval": "10s"}),
            tcp("10.0.0.1:80", None, pace(10_000, 10_000)),
        ),
        (
            json!({"TCP": "[::1]:80", "Interval": "5ms", "Timeout": "5ms"}),
            tcp("[::1]:80", None, pace(1_000, 5)),
        ),
        (
            json!({"GRPC": "10.0.0.1:80/service", "GRPCUseTLS": true, "Interval": "10s"}),
            tcp("10.0.0.1:80", Some("gRPC"), pace(10_000, 10_000)),
        ),
        (
            json!({"H2PING": "web:80", "Interval": "10s"}),
            tcp("web:80", Some("H2PING"), pace(10_000, 10_000)),
        ),
    ] {
        assert_eq!(one(check.clone()).kind, is, "{check}");
    }
    let check =
        one(json!({"TTL": "1s", "DeregisterCriticalServiceAfter": "1s", "Status": "warning"}));
    assert_eq!(check.deregister_after, Some(Duration::from_secs(60)), "one minute at least");
    assert_eq!(check.status, Status::Warning);
    let check = one(json!({"HTTP": "https://10.0.0.1/", "Interval": "1s", "TLSSkipVerify": true,
        "TLSServerName": "web.example"}));
    let Kind::Http(check, _) = check.kind else { panic!("{check:?}") };
    assert_eq!((check.skip_verify, check.server_name.as_str()), (true, "web.example"));
    // A clock can be added to it.
    assert_eq!(
        one(json!({"TTL": "2562047h"})).kind,
        Kind::Ttl(Duration::from_secs(10 * 365 * 24 * 3_600))
    );
}

#[test]
fn checks_and_their_news_are_read_alone() {
    let read = check(br#"{"name": "c", "ttl": "10s", "service_id": "web", "status": "passing"}"#);
    let read = read.unwrap();
    assert_eq!((read.id.as_deref(), read.service_id.as_deref()), (Some("c"), Some("web")));
    let one = check(br#"{"ID": "i", "Name": "c", "TTL": "10s"}"#).unwrap();
    assert_eq!((one.id.as_deref(), one.service_id), (Some("i"), None));
    for (body, why) in [
        ("{}", "Missing check name"),
        (r#"{"Name": "c", "TTL": "10s", "Status": "x"}"#, "Bad check status"),
        (r#"{"Name": "c"}"#, "Invalid check: TTL must be > 0"),
        ("[]", "Request decode failed"),
    ] {
        let said = check(body.as_bytes()).unwrap_err();
        assert!(said.starts_with(why), "{body}: {said}");
    }
    let news = update(br#"{"Status": "passing", "Output": "well"}"#);
    assert_eq!(news, Ok((Status::Passing, "well".to_owned())));
    assert_eq!(update(b"{}").unwrap_err(), "Invalid check status: ''");
    assert!(update(b"7").unwrap_err().starts_with("Request decode failed"));
}
