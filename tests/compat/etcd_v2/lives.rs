//! Lives of instances as Zan PHP, yeqown's and registrator's clients lead them, request by request.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::client::{ask, begin};
use super::{start, start_on};
use crate::support::etcd::Etcd;
use crate::support::server::Server;
use crate::support::until;

const APP: &str = "/v2/keys/nova:com.youzan.service/scrm-customer-base";
const KEY: &str = "/v2/keys/nova:com.youzan.service/scrm-customer-base/10.9.42.107:8100";
/// As Zan's package writes it, form-encoded by PHP.
const VALUE: &str = "%7B%22DataCenter%22%3A%22bc%22%2C%22Namespace%22%3A%22com.youzan.service%22%2C%22SrvName%22%3A%22scrm-customer-base%22%2C%22IP%22%3A%2210.9.42.107%22%2C%22Port%22%3A8100%2C%22Protocol%22%3A%22nova%22%2C%22Status%22%3A1%2C%22Weight%22%3A100%2C%22ExtData%22%3A%22%5B%7B%5C%22language%5C%22%3A%5C%22php%5C%22%7D%5D%22%7D";
const ZAN: &str = "[[layout]]\nkind = \"nova\"\nprefix = \"/\"";

/// What Zan's own client lists: `youzan/zanphp`, ServerDiscovery.php.
fn listed_by_zan(folder: &Value) -> Vec<String> {
    let nodes = folder["node"]["nodes"].as_array().cloned().unwrap_or_default();
    let listed = nodes.iter().filter_map(|node| {
        let value: Value = serde_json::from_str(node["value"].as_str()?).ok()?;
        let is = node["ttl"].is_u64()
            && value["Status"] == 1
            && value["Namespace"] == "com.youzan.service";
        is.then(|| format!("{}:{}", value["IP"].as_str().unwrap_or_default(), value["Port"]))
    });
    listed.collect()
}

#[tokio::test]
async fn zan_registers_beats_is_found_and_goes_offline() {
    let (server, at) = start(ZAN).await;
    // `curl "http://host:port/v2/keys/nova:com.youzan.service/scrm-customer-base"`, before and after.
    let nobody = ask(at, "GET", APP, "").await;
    assert_eq!((nobody.status, &nobody.json()["errorCode"]), (404, &100.into()));
    let set = ask(at, "PUT", KEY, &format!("value={VALUE}&ttl=30")).await;
    assert_eq!(set.status, 201, "{}", set.text);
    let found = ask(at, "GET", APP, "").await;
    assert_eq!(listed_by_zan(&found.json()), ["10.9.42.107:8100"], "{}", found.text);
    let node = &found.json()["node"]["nodes"][0];
    assert_eq!(node["key"], "/nova:com.youzan.service/scrm-customer-base/10.9.42.107:8100");

    shown(&server, "scrm-customer-base.svc", Some("10.9.42.107")).await;

    // A client waits from the index behind what it read; a beat is none of its business.
    let from = node["modifiedIndex"].as_u64().unwrap() + 1;
    let wait = format!("{APP}?wait=1&recursive=1&waitIndex={from}");
    let mut waiting = begin(at, "GET", &wait, "").await;
    assert!(waiting.head().await.starts_with("HTTP/1.1 200 "));
    let beat = ask(at, "PUT", KEY, "ttl=30&refresh=1&prevExist=1").await;
    assert_eq!((beat.status, &beat.json()["action"]), (200, &"update".into()));

    let offline = VALUE.replace("Status%22%3A1", "Status%22%3A3");
    let offline = ask(at, "PUT", KEY, &format!("value={offline}&ttl=0")).await;
    assert_eq!((offline.status, &offline.json()["action"]), (200, &"set".into()));
    assert_eq!(offline.json()["node"]["ttl"], Value::Null);
    let told = waiting.reply().await.json();
    assert_eq!(told["action"], "set", "{told}");
    assert!(told["node"]["value"].as_str().unwrap().contains("\"Status\":3"));
    assert!(told["node"]["ttl"].is_null() && told["prevNode"]["ttl"].is_u64(), "{told}");
    let from = told["node"]["modifiedIndex"].as_u64().unwrap() + 1;
    let told = ask(at, "GET", &format!("{APP}?wait=1&recursive=1&waitIndex={from}"), "").await;
    let told = told.json();
    assert_eq!((&told["action"], &told["node"]["value"]), (&"expire".into(), &Value::Null));
    assert!(told["prevNode"]["value"].as_str().unwrap().contains("\"Status\":3"), "{told}");
    shown(&server, "scrm-customer-base.svc", None).await;
    // Its folder stays, with nobody in it.
    let empty = ask(at, "GET", APP, "").await;
    assert_eq!((empty.status, empty.json()["node"]["nodes"].is_null()), (200, true));
}

#[tokio::test]
async fn zan_lists_who_has_a_ttl_and_is_well() {
    let (_server, at) = start(ZAN).await;
    let value = |status: &str, namespace: &str| {
        format!(
            "value=%7B%22Namespace%22%3A%22{namespace}%22%2C%22Status%22%3A{status}%2C%22IP%22%3A%2210.0.0.1%22%2C%22Port%22%3A1%7D"
        )
    };
    for (ttl, status, namespace, listed) in [
        ("30", "1", "com.youzan.service", true),
        ("", "1", "com.youzan.service", false),
        ("30", "2", "com.youzan.service", false),
        ("30", "3", "com.youzan.service", false),
        ("30", "0", "com.youzan.service", false),
        ("30", "%221%22", "com.youzan.service", false),
        ("30", "1", "com.other", false),
    ] {
        let form = format!("{}&ttl={ttl}", value(status, namespace));
        assert!(ask(at, "PUT", KEY, &form).await.status < 300);
        let found = ask(at, "GET", APP, "").await;
        assert_eq!(!listed_by_zan(&found.json()).is_empty(), listed, "{form}: {}", found.text);
    }
}

#[tokio::test]
async fn who_does_not_beat_is_over_and_said_to_be() {
    let (server, at) = start(ZAN).await;
    let began = Instant::now();
    let set = ask(at, "PUT", KEY, &format!("value={VALUE}&ttl=2")).await;
    let from = set.index() + 1;
    let told = ask(at, "GET", &format!("{APP}?wait=1&recursive=1&waitIndex={from}"), "").await;
    assert!(began.elapsed() >= Duration::from_secs(2));
    let told = told.json();
    assert_eq!(told["action"], "expire", "{told}");
    assert!(told["prevNode"]["value"].is_string() && told["node"]["value"].is_null());
    shown(&server, "scrm-customer-base.svc", None).await;
    // What came too late is told so, upon which Zan stops or sets anew.
    let late = ask(at, "PUT", KEY, "ttl=2&refresh=1&prevExist=1").await;
    assert_eq!((late.status, &late.json()["errorCode"]), (404, &100.into()));
}

/// That its lease was heard of a moment before does not make it a deletion.
#[tokio::test]
async fn what_ends_while_it_is_looked_at_is_over() {
    let etcd = Etcd::start().await;
    let ((_one, one), (_two, two)) = (start_on(&etcd, ZAN).await, start_on(&etcd, ZAN).await);
    ready(one).await;
    ready(two).await;
    let set = ask(one, "PUT", KEY, &format!("value={VALUE}&ttl=3")).await;
    until("it is over", async || ask(one, "GET", KEY, "").await.status == 404).await;
    let wait = |from: u64| format!("{APP}?wait=1&recursive=1&waitIndex={from}");
    let told = ask(one, "GET", &wait(set.index() + 1), "").await.json();
    assert_eq!(told["action"], "expire", "{told}");
    // Written to end at once by the one server, told by the other.
    let set = ask(one, "PUT", KEY, &format!("value={VALUE}&ttl=0")).await;
    let told = ask(two, "GET", &wait(set.index()), "").await.json();
    assert_eq!(told["action"], "set", "{told}");
    let told = ask(two, "GET", &wait(set.index() + 1), "").await.json();
    assert_eq!(told["action"], "expire", "{told}");
}

#[tokio::test]
async fn beats_keep_a_key_on_etcd_and_write_nothing() {
    let etcd = Etcd::start().await;
    let (_server, at) = start_on(&etcd, ZAN).await;
    ask(at, "PUT", KEY, &format!("value={VALUE}&ttl=4")).await;
    let key = KEY.strip_prefix("/v2/keys").unwrap();
    let written = async || {
        let read = etcd.ctl(&["get", key, "-w", "json"]).await;
        let read: Value = serde_json::from_str(&read).unwrap();
        (read["kvs"][0]["mod_revision"].clone(), read["kvs"][0]["lease"].clone())
    };
    let before = written().await;
    assert!(before.0.is_u64() && before.1.is_i64(), "{before:?}");
    // Beyond its ttl, beat by beat.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        let beat = ask(at, "PUT", KEY, "ttl=4&refresh=1&prevExist=1").await;
        assert_eq!((beat.status, &beat.json()["node"]["ttl"]), (200, &4.into()), "{}", beat.text);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(written().await, before);
    // Another ttl takes another lease.
    let beat = ask(at, "PUT", KEY, "ttl=60&refresh=1&prevExist=1").await;
    assert_eq!(beat.json()["node"]["ttl"], 60);
    let after = written().await;
    assert!(after.0 != before.0 && after.1 != before.1, "{after:?}");
    // The same octets as the path.
    assert_eq!(etcd.keys("/nova:").await.keys().collect::<Vec<_>>(), [key]);
    until("no lease is left over", async || {
        etcd.ctl(&["lease", "list"]).await.lines().filter(|line| line.len() == 16).count() <= 2
    })
    .await;
}

#[tokio::test]
async fn yeqowns_beat_is_a_set_each_time_and_its_end_a_delete() {
    let (server, at) = start("[[layout]]\nkind = \"url\"\nprefix = \"/prefix/\"").await;
    let key = "/v2/keys/prefix/srv_3456";
    let beat = "value=http%3A%2F%2F10.0.0.1%3A3456";
    let first = ask(at, "PUT", &format!("{key}?ttl=20"), beat).await;
    assert_eq!(first.status, 201);
    // With an empty name before it, its own client writes two slashes.
    assert_eq!(ask(at, "GET", "/v2/keys//prefix//srv_3456", "").await.status, 200);
    shown(&server, "prefix.svc", Some("10.0.0.1")).await;
    // It waits from now on, without reading first.
    let mut waiting = begin(at, "GET", "/v2/keys/prefix?wait=true&recursive=true", "").await;
    waiting.head().await;
    let second = ask(at, "PUT", &format!("{key}?ttl=20"), beat).await;
    assert_eq!((second.status, &second.json()["action"]), (200, &"set".into()));
    let told = waiting.reply().await.json();
    assert_eq!((&told["action"], &told["node"]["ttl"]), (&"set".into(), &20.into()), "{told}");
    assert_eq!(told["node"]["modifiedIndex"], second.json()["node"]["modifiedIndex"]);
    let from = second.index() + 1;
    let wait = format!("/v2/keys/prefix?wait=true&recursive=true&waitIndex={from}");
    let waiting = begin(at, "GET", &wait, "").await;
    assert_eq!(ask(at, "DELETE", key, "").await.json()["action"], "delete");
    let told = waiting.reply().await.json();
    assert_eq!(
        (&told["action"], &told["node"]["key"]),
        (&"delete".into(), &"/prefix/srv_3456".into())
    );
    assert_eq!(told["prevNode"]["value"], "http://10.0.0.1:3456");
    shown(&server, "prefix.svc", None).await;
}

#[tokio::test]
async fn registrators_calls_are_answered() {
    let (server, at) = start("[[layout]]\nkind = \"registrator\"\nprefix = \"services/\"").await;
    // At its start: which etcd is it, and where are its members?
    let version = ask(at, "GET", "/version", "").await;
    assert!(!version.text.contains("0.4."), "{}", version.text);
    let here = format!("http://{at}");
    assert_eq!(ask(at, "GET", "/v2/machines", "").await.text, here);
    let members = ask(at, "GET", "/v2/members", "").await.json();
    assert_eq!(members["members"][0]["clientURLs"][0], here.as_str());
    // Without -ttl it sets no ttl.
    let key = "/v2/keys/services/redis/node1:redis.0:6379";
    let set = ask(at, "PUT", key, "value=192.168.1.102%3A10000").await;
    assert_eq!((set.status, &set.json()["node"]["ttl"]), (201, &Value::Null));
    let with_ttl = ask(at, "PUT", &format!("{key}?ttl=30"), "value=192.168.1.102%3A10000").await;
    assert_eq!(with_ttl.json()["node"]["ttl"], 30);
    shown(&server, "redis.svc", Some("192.168.1.102")).await;
    let all = ask(at, "GET", "/v2/keys/?recursive=true&sorted=true", "").await.json();
    let services = &all["node"]["nodes"][0];
    assert_eq!(services["key"], "/services");
    let redis = &services["nodes"][0]["nodes"][0];
    assert_eq!(redis["key"], "/services/redis/node1:redis.0:6379");
    assert_eq!(ask(at, "DELETE", key, "").await.status, 200);
    shown(&server, "redis.svc", None).await;
}

/// Zan's clients ask any of the nodes that they know.
#[tokio::test]
async fn servers_of_one_etcd_are_one_to_clients() {
    let etcd = Etcd::start().await;
    let ((_one, one), (_two, two)) = (start_on(&etcd, ZAN).await, start_on(&etcd, ZAN).await);
    ready(one).await;
    ready(two).await;
    let set = ask(one, "PUT", KEY, &format!("value={VALUE}&ttl=30")).await;
    let from = set.index() + 1;
    let wait = format!("{APP}?wait=1&recursive=1&waitIndex={from}");
    let (mut by_one, mut by_two) =
        (begin(one, "GET", &wait, "").await, begin(two, "GET", &wait, "").await);
    by_one.head().await;
    by_two.head().await;
    for at in [two, one, two] {
        let beat = ask(at, "PUT", KEY, "ttl=30&refresh=1&prevExist=1").await;
        assert_eq!((beat.status, beat.index()), (200, set.index()), "a beat writes nothing");
    }
    assert_eq!(listed_by_zan(&ask(two, "GET", APP, "").await.json()), ["10.9.42.107:8100"]);
    // What goes by the one is deleted to those who wait with the other, and has not ended.
    assert_eq!(ask(two, "DELETE", KEY, "").await.status, 200);
    for told in [by_one.reply().await.json(), by_two.reply().await.json()] {
        assert_eq!(told["action"], "delete", "{told}");
        assert!(told["prevNode"]["ttl"].as_u64().is_some_and(|ttl| ttl > 20), "{told}");
    }
}

/// go-micro's plugin `etcd` of before 2019-11: `micro/go-plugins @815852b`, registry/etcd/etcd.go.
#[tokio::test]
async fn go_micros_plugin_registers_and_leaves() {
    let layout = "[[layout]]\nkind = \"go-micro\"\nprefix = \"/micro-registry/\"";
    let (server, at) = start(layout).await;
    let folder = "/v2/keys/micro-registry/greeter";
    let value = "value=%7B%22name%22%3A%22greeter%22%2C%22version%22%3A%221%22%2C%22nodes%22%3A%5B%7B%22id%22%3A%22greeter-1%22%2C%22address%22%3A%2210.0.0.12%3A41233%22%7D%5D%7D";
    for status in [201, 403] {
        // That it is there already is no error to it.
        let made = ask(at, "PUT", &format!("{folder}?dir=true"), "ttl=60&value=").await;
        assert_eq!(made.status, status, "{}", made.text);
    }
    let key = format!("{folder}/greeter-1");
    assert_eq!(ask(at, "PUT", &key, &format!("{value}&ttl=60")).await.status, 201);
    shown(&server, "greeter.svc", Some("10.0.0.12")).await;
    let found =
        ask(at, "GET", &format!("{folder}?quorum=false&recursive=false&sorted=false"), "").await;
    assert_eq!(found.json()["node"]["nodes"][0]["ttl"], 60);
    assert_eq!(ask(at, "DELETE", &key, "").await.status, 200);
    shown(&server, "greeter.svc", None).await;
}

/// registrator's `skydns2` backend: skydns2/skydns2.go.
#[tokio::test]
async fn registrators_records_for_skydns_are_in_dns() {
    let (server, at) = start("[[layout]]\nkind = \"skydns\"\n[[zone]]\nname = \"svc.\"").await;
    let key = "/v2/keys/skydns/svc/redis/node1:redis.0:6379";
    let value = "value=%7B%22host%22%3A%22192.168.1.102%22%2C%22port%22%3A10000%7D&ttl=30";
    assert_eq!(ask(at, "PUT", key, value).await.status, 201);
    shown(&server, "redis.svc", Some("192.168.1.102")).await;
    assert_eq!(ask(at, "DELETE", key, "").await.status, 200);
    shown(&server, "redis.svc", None).await;
}

/// Waits until a name has that one address, or none.
async fn shown(server: &Server, name: &str, address: Option<&str>) {
    let expected: Vec<String> =
        address.iter().map(|address| format!("{name}. A {address}")).collect();
    until(&format!("{name} is {address:?}"), async || server.addresses(name).await == expected)
        .await;
}

/// Where it lies is what the layout's prefix says, with or without a slash.
#[tokio::test]
async fn keys_lie_where_the_layout_reads_them() {
    let etcd = Etcd::start().await;
    let layouts = "[[layout]]\nkind = \"registrator\"\nprefix = \"services/\"\n\
                   [[layout]]\nkind = \"url\"\nprefix = \"/urls/\"";
    let (_server, at) = start_on(&etcd, layouts).await;
    for key in ["/services/redis/1", "/urls/a"] {
        assert_eq!(
            ask(at, "PUT", &format!("/v2/keys{key}"), "value=10.0.0.1%3A80").await.status,
            201
        );
        assert_eq!(ask(at, "GET", &format!("/v2/keys{key}"), "").await.status, 200);
    }
    let all: Vec<String> = etcd.keys("").await.into_keys().collect();
    let written = |key: &&String| !key.starts_with("/rollcall/");
    assert_eq!(all.iter().filter(written).collect::<Vec<_>>(), ["/urls/a", "services/redis/1"]);
}

/// Waits for a listener's history to be there.
pub(super) async fn ready(at: SocketAddr) {
    until("history is known", async || {
        let asked = "/v2/keys/?wait=true&recursive=true&waitIndex=1";
        let mut waiting = begin(at, "GET", asked, "").await;
        !waiting.head().await.starts_with("HTTP/1.1 500 ")
    })
    .await;
}

/// Whoever compares writes over what it saw, and nobody else's.
#[tokio::test]
async fn of_many_who_compare_one_writes() {
    let etcd = Etcd::start().await;
    let (_server, at) = start_on(&etcd, ZAN).await;
    let set = ask(at, "PUT", "/v2/keys/a", "value=0").await;
    let form = |n: u32| format!("value={n}&prevIndex={}", set.index());
    let mut writers = tokio::task::JoinSet::new();
    for n in 1..=20 {
        let form = form(n);
        writers.spawn(async move { ask(at, "PUT", "/v2/keys/a", &form).await });
    }
    let written = writers.join_all().await;
    let winners: Vec<_> = written.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(winners.len(), 1, "{written:?}");
    assert!(written.iter().all(|reply| matches!(reply.status, 200 | 412)), "{written:?}");
    let now = ask(at, "GET", "/v2/keys/a", "").await.json();
    assert_eq!(now["node"]["value"], winners[0].json()["node"]["value"]);
}

#[tokio::test]
async fn all_who_set_one_key_have_set_it() {
    let etcd = Etcd::start().await;
    let (_server, at) = start_on(&etcd, ZAN).await;
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..40 {
        writers.spawn(async move { ask(at, "PUT", "/v2/keys/a", &format!("value={n}")).await });
    }
    for reply in writers.join_all().await {
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    }
}
