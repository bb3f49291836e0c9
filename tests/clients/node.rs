//! Node.js, whose `dns.resolve*` (c-ares) asks DNS itself while `dns.lookup` asks glibc.

use serde_json::{Value, json};

use crate::program::{example, printed};
use crate::space::Space;
use crate::support::server::Home;
use crate::world::{PORT_53, many, two};

/// What a call of `dns.promises` gives, or the code of its error.
async fn call(call: &str) -> Value {
    let script = format!(
        "require('dns').promises.{call}.then(found => found, error => error.code)
            .then(found => console.log(JSON.stringify(found)))"
    );
    serde_json::from_str(&printed("node", &["-e", &script]).await).unwrap()
}

#[tokio::test]
async fn with_node_services_and_hosts_are_found_and_errors_have_their_codes() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let _server = two(&PORT_53).await;
    let mut found = call("resolveSrv('_nova._tcp.app.svc')").await;
    let records = found.as_array_mut().unwrap();
    records.sort_by_key(|record| record["name"].to_string());
    assert_eq!(
        found,
        json!([
            {"name": "i-1.app.svc", "port": 8001, "priority": 10, "weight": 100},
            {"name": "i-2.app.svc", "port": 8002, "priority": 10, "weight": 100},
        ])
    );
    assert_eq!(call("resolve4('i-2.app.svc')").await, json!(["10.9.0.2"]));
    assert_eq!(call("lookup('i-2.app')").await, json!({"address": "10.9.0.2", "family": 4}));
    assert_eq!(call("resolve6('i-2.app.svc')").await, "ENODATA");
    assert_eq!(call("resolveSrv('_nova._tcp.nope.svc')").await, "ENOTFOUND");
    assert_eq!(call("resolve4('www.example.net')").await, "EREFUSED");
    let any = call("resolveAny('app.svc')").await;
    assert!(any.as_array().is_some_and(|records| !records.is_empty()), "{any}");
}

#[tokio::test]
async fn with_node_forty_instances_come_over_tcp() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let server = Home::new().start(&PORT_53).await;
    many(&server, "app", 40).await;
    let found = call("resolveSrv('_nova._tcp.app.svc')").await;
    assert_eq!(found.as_array().map(Vec::len), Some(40), "{found}");
}
