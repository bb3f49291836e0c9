//! A layout that can't be read takes no namespace along but its own.

use hickory_proto::rr::RecordType::A;
use serde_json::json;

use crate::support::etcd::Etcd;
use crate::support::http::Http;
use crate::support::server::{Home, Server};
use crate::support::until;

const CONFIG: &str = "\
[[zone]]
name = \"svc.\"
[[zone]]
name = \"zan.\"
namespace = \"zan\"
[[layout]]
kind = \"nova\"
prefix = \"/nova:\"
namespace = \"zan\"
[compat.consul]
listen = \"127.0.0.1:0\"
[http]
allow_loopback = true
";

async fn consul_says(server: &Server, path: &str) -> u16 {
    let address = serde_json::from_value(server.listening("compat")["consul"].clone()).unwrap();
    Http::connect(address).await.unwrap().send("GET", path, None).await.unwrap().status
}

#[tokio::test]
async fn a_layout_that_cannot_be_read_shuts_its_own_namespace_alone() {
    let mut etcd = Etcd::start().await;
    etcd.ctl(&["user", "add", "guest:guest-secret"]).await;
    etcd.ctl(&["role", "add", "guests"]).await;
    let grant = ["role", "grant-permission", "--prefix=true", "guests", "readwrite"];
    etcd.ctl(&[&grant[..], &["/rollcall/"]].concat()).await;
    etcd.ctl(&["user", "grant-role", "guest", "guests"]).await;
    etcd.enable_auth().await;
    let login = format!(
        "[etcd]\nendpoints = [{:?}]\nuser = \"guest\"\npassword_file = \"password\"\n",
        etcd.url()
    );
    let home = Home::with_config(&format!("{CONFIG}{login}"));
    home.write("password", "guest-secret");
    // Ready once it is known that the layout fails.
    let server = home.start(&[]).await;
    let ready = server.get("/readyz").await;
    let nova = &ready.body["sources"][1];
    assert_eq!((&nova["layout"], &nova["has_view"]), (&"nova".into(), &false.into()), "{ready:?}");
    assert!(nova["error"].as_str().unwrap().contains("permission denied"), "{ready:?}");
    let metrics = server.get("/metrics").await.body;
    let metrics = metrics.as_str().unwrap();
    for line in [
        "rollcall_ready 1.0",
        r#"rollcall_registry_has_view{layout="nova",prefix="/nova:"} 0.0"#,
        r#"rollcall_registry_has_view{layout="native",prefix="/rollcall/v1/"} 1.0"#,
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }

    let instance = json!({"address": "10.0.0.7", "port": 9000});
    let written = server.put("/v1/apps/x/instances/i", instance.clone()).await;
    assert_eq!((written.status, &written.body["visible"]), (201, &true.into()), "{written:?}");
    assert_eq!(server.addresses("x.svc").await, ["x.svc. A 10.0.0.7"]);
    for path in ["/v1/apps", "/v1/apps/x", "/v1/apps/x/instances/i", "/v1/rejected"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    assert_eq!(server.get("/v1/apps/none").await.status, 404);
    assert_eq!(consul_says(&server, "/v1/health/service/x").await, 200);

    // Of its own nothing is denied, nor said to be in answers.
    let unknown = server.ask("x.zan", A).await;
    assert_eq!(unknown.extended_error(), Some(14), "not ready");
    for path in ["/v1/apps", "/v1/apps/x", "/v1/rejected"] {
        let reply = server.get(&format!("{path}?namespace=zan")).await;
        let message = reply.body["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(reply.status, 503, "{path}: {reply:?}");
        assert!(message.contains("of namespace zan"), "{message}");
    }
    for (id, status) in [("i", 201), ("i", 200)] {
        let path = format!("/v1/apps/x/instances/{id}?namespace=zan");
        let written = server.put(&path, instance.clone()).await;
        let got = (written.status, &written.body["visible"]);
        assert_eq!(got, (status, &false.into()), "{written:?}");
    }

    etcd.ctl(&[&grant[..], &["/nova:"]].concat()).await;
    until("it is read", async || server.get("/v1/apps/x?namespace=zan").await.status == 200).await;
    assert_eq!(server.addresses("x.zan").await, ["x.zan. A 10.0.0.7"]);
}
