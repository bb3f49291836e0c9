//! What was registered by Consul's calls is found by Consul's names.

use serde_json::json;

use super::{CONFIG, World};
use crate::support::server::Home;

#[tokio::test]
async fn what_was_registered_with_the_agent_is_found_by_consuls_names() {
    let zone = "[[zone]]\nname = \"consul.\"\nnames = \"consul\"\n";
    let world = World::start(Home::with_config(&format!("{zone}{CONFIG}")), &[]).await;
    let register = |id: &str, address: &str, tags: &[&str], status: &str| {
        json!({"ID": id, "Name": "redis", "Tags": tags, "Address": address, "Port": 8000,
            "Check": {"TTL": "30s", "Status": status}})
    };
    world.register(register("redis1", "10.1.10.12", &["primary"], "passing")).await;
    world.register(register("redis2", "10.1.10.13", &[], "passing")).await;
    // Whoever fails its check is in no answer.
    world.register(register("redis3", "10.1.10.14", &["primary"], "critical")).await;
    world.has("redis.service.consul", 2).await;
    assert_eq!(
        world.srv("_redis._tcp.service.consul").await,
        [
            "_redis._tcp.service.consul. SRV 10 1 8000 redis1.redis.service.consul.",
            "_redis._tcp.service.consul. SRV 10 1 8000 redis2.redis.service.consul.",
        ]
    );
    for name in ["redis.service.dc1.consul", "Redis.Service.Consul"] {
        assert_eq!(world.a(name).await.len(), 2, "{name}");
    }
    let primary = ["primary.redis.service.consul. A 10.1.10.12"];
    assert_eq!(world.a("primary.redis.service.consul").await, primary);
    let srv = world.srv("_redis._primary.service.consul").await;
    assert_eq!(srv.len(), 1, "{srv:?}");
    assert_eq!(world.a("redis1.redis.service.consul").await.len(), 1);
    world.put("/v1/agent/check/fail/service:redis1", json!(null)).await;
    world.has("primary.redis.service.consul", 0).await;
    world.has("redis.service.consul", 1).await;
}
