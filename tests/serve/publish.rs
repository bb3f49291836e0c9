//! `examples/publish`, run as its README says.

use hickory_proto::rr::RecordType::A;
use serde_json::json;

use crate::support::server::{Home, run};

const OFFLINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/publish/offline.sh");
const ONLINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/publish/online.sh");

#[tokio::test]
async fn a_host_leaves_answers_for_a_deploy_and_comes_back() {
    let home = Home::with_config(
        "[[zone]]\nname = \"svc.\"\nnamespace = \"default\"\nttl = \"1s\"\nnegative_ttl = \"1s\"\n",
    );
    let server = home.start(&[]).await;
    server.register("greeter", "here", json!({ "address": "127.0.0.1", "port": 9000 })).await;
    server.register("greeter", "there", json!({ "address": "192.0.2.1", "port": 9000 })).await;

    let ran = run(server.shell(&format!("{OFFLINE} greeter --reason deploy"), None)).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("greeter on this host is in nobody's cache any more"), "{}", ran.out);
    assert_eq!(server.addresses("greeter.svc").await, ["greeter.svc. A 192.0.2.1"]);

    let ran = run(server.shell(&format!("{ONLINE} greeter"), None)).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(server.ask("greeter.svc", A).await.records().len(), 2);

    // The last one goes by force alone.
    server.delete("/v1/apps/greeter/instances/there").await;
    let ran = run(server.shell(&format!("{OFFLINE} greeter"), None)).await;
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.err.contains("nothing of greeter would be left online"), "{}", ran.err);
    assert_eq!(server.addresses("greeter.svc").await, ["greeter.svc. A 127.0.0.1"]);
    let ran = run(server.shell(&format!("{OFFLINE} greeter --force"), None)).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(server.addresses("greeter.svc").await.is_empty());
}
