//! What its clients ask of Consul's DNS, of what was registered by its calls.

use serde_json::{Value, json};

use super::{CONFIG, World};
use crate::support::server::Home;
use crate::support::until;

const ZONES: &str = "[[zone]]\nname = \"svc.\"\n[[zone]]\nname = \"consul.\"\nnames = \"consul\"\n\
                     datacenter = \"eu-1\"\n";

#[tokio::test]
async fn services_have_consuls_names_while_they_pass() {
    let world = World::start(Home::with_config(&format!("{ZONES}{CONFIG}")), &[]).await;
    for (id, tag) in [("web-1", "blue"), ("web-2", "green")] {
        world
            .register(json!({"ID": id, "Name": "web", "Tags": [tag], "Port": 8080,
                "Address": format!("10.0.0.{}", &id[4..]), "Check": {"TTL": "30s"}}))
            .await;
        world.put(&format!("/v1/agent/check/pass/service:{id}"), Value::Null).await;
    }
    world.has("web.service.consul", 2).await;
    let srv = |name: &str, ids: &[&str]| -> Vec<String> {
        ids.iter().map(|id| format!("{name}. SRV 10 100 8080 {id}.web.service.consul.")).collect()
    };
    for (name, ids) in [
        ("web.service.consul", &["web-1", "web-2"][..]),
        ("_web._tcp.service.eu-1.consul", &["web-1", "web-2"]),
        ("_web._blue.service.consul", &["web-1"]),
        ("green.web.service.eu-1.dc.consul", &["web-2"]),
        ("web.service.dc1.consul", &[]),
    ] {
        assert_eq!(world.srv(name).await, srv(name, ids), "{name}");
    }
    let name = "web-1.web.service.consul";
    assert_eq!(world.a(name).await, [format!("{name}. A 10.0.0.1")], "where SRV records point to");
    // One that fails is left out, and one that leaves too.
    world.put("/v1/agent/check/fail/service:web-1", Value::Null).await;
    until("web-1 is left out", async || {
        let name = "_web._tcp.service.consul";
        world.srv(name).await == srv(name, &["web-2"])
    })
    .await;
    assert_eq!(world.a("blue.web.service.consul").await, [""; 0]);
    world.put("/v1/agent/service/deregister/web-2", Value::Null).await;
    world.has("web.service.consul", 0).await;
}
