//! The same requests to an etcd that still has the v2 API, and to us: both must answer alike.

use std::net::SocketAddr;

use serde_json::{Map, Value};

use super::client::{Reply, ask};
use super::lives::ready;
use super::start;
use crate::support::etcd::Etcd;
use crate::support::until;

/// A request: method, path with its query, form. `@` is the last `modifiedIndex` that was told.
type Step = (&'static str, &'static str, &'static str);

const KEY: &str = "/v2/keys/nova:com.x/app/10.9.8.7:8100";

/// What Zan, yeqown's and registrator's clients do, and what can go wrong with it.
const SCRIPT: &[Step] = &[
    ("GET", "/v2/keys", ""),
    ("GET", "/v2/keys/", ""),
    ("GET", "/v2/keys/?recursive=true", ""),
    ("GET", "/v2/keys/nope", ""),
    ("HEAD", "/v2/keys/", ""),
    // A server comes, beats, and is seen.
    ("PUT", KEY, "value=%7B%22Status%22%3A1%7D&ttl=30"),
    ("GET", "/v2/keys/nova:com.x/app?wait=1&recursive=1&waitIndex=@", ""),
    ("GET", "/v2/keys/nova:com.x/app", ""),
    ("GET", "/v2/keys/nova:com.x/app/", ""),
    ("GET", "/v2/keys/nova:com.x", ""),
    ("GET", "/v2/keys/nova:com.x?recursive=1&sorted=true&quorum=true", ""),
    ("GET", "/v2/keys/?recursive=1", ""),
    ("GET", KEY, ""),
    ("PUT", KEY, "ttl=30&refresh=1&prevExist=1"),
    ("PUT", KEY, "ttl=90&refresh=true&prevExist=true"),
    ("GET", KEY, ""),
    ("PUT", KEY, "ttl=30&refresh=1"),
    ("PUT", "/v2/keys/nova:com.x/app/none", "ttl=30&refresh=1&prevExist=1"),
    ("PUT", "/v2/keys/nova:com.x/app/none", "ttl=30&refresh=1"),
    ("PUT", KEY, "ttl=30&refresh=1&value=x"),
    ("PUT", KEY, "refresh=1"),
    // yeqown's and registrator's beat: the same once more.
    ("PUT", KEY, "value=%7B%22Status%22%3A1%7D&ttl=30"),
    ("GET", "/v2/keys/nova:com.x/app?wait=1&recursive=1&waitIndex=@", ""),
    // Preconditions.
    ("PUT", KEY, "value=a&prevExist=false"),
    ("PUT", KEY, "value=a&prevValue=x"),
    ("PUT", KEY, "value=a&prevIndex=1"),
    ("PUT", KEY, "value=a&prevIndex=1&prevValue=x"),
    ("PUT", KEY, "value=b&prevValue=%7B%22Status%22%3A1%7D"),
    ("GET", "/v2/keys/nova:com.x/app?wait=1&recursive=1&waitIndex=@", ""),
    ("PUT", KEY, "value=c&prevIndex=@"),
    ("PUT", KEY, "value=d&prevExist=true&ttl=40"),
    ("GET", "/v2/keys/nova:com.x/app?wait=1&recursive=1&waitIndex=@", ""),
    ("PUT", KEY, "value=e&ttl="),
    ("PUT", KEY, "value=f&prevIndex=0"),
    ("PUT", KEY, ""),
    ("PUT", "/v2/keys/nova:com.x/app/2?value=query&ttl=30", "value=body"),
    ("PUT", "/v2/keys/nova:com.x/app/3?value=query", ""),
    ("PUT", "/v2/keys/nova:com.x/app/4", "value=new&prevExist=false"),
    ("GET", "/v2/keys/nova:com.x/app?wait=1&recursive=1&waitIndex=@", ""),
    ("PUT", "/v2/keys/nova:com.x/app/5", "value=new&noValueOnSuccess=true"),
    ("PUT", "/v2/keys/a%2Fb", "value=slash"),
    ("GET", "/v2/keys/a/b", ""),
    ("PUT", "/v2/keys/a/%C3%BC", "value=%C3%BC+%22%0A"),
    ("GET", "/v2/keys/a?sorted=true", ""),
    ("PUT", "/v2/keys/_hidden/x", "value=h"),
    ("GET", "/v2/keys/?recursive=1", ""),
    ("GET", "/v2/keys/_hidden", ""),
    // Malformed.
    ("PUT", KEY, "value=c&ttl=-1"),
    ("PUT", KEY, "value=c&ttl=x"),
    ("PUT", KEY, "value=c&prevExist=maybe"),
    ("PUT", KEY, "value=c&prevIndex=x"),
    ("PUT", KEY, "value=c&prevValue="),
    ("PUT", KEY, "value=%zz"),
    ("PUT", "/v2/keys/a?wait=1", ""),
    ("GET", "/v2/keys/a?wait=x", ""),
    ("GET", "/v2/keys/a?recursive=x", ""),
    ("GET", "/v2/keys/a?waitIndex=x", ""),
    ("PATCH", KEY, "value=x"),
    ("GET", "/v2/keysx", ""),
    ("GET", "/v2/", ""),
    // Folders in the way of keys, and keys of folders.
    ("PUT", "/v2/keys/nova:com.x/app", "value=c"),
    ("PUT", "/v2/keys/nova:com.x/app", "value=c&prevValue=x"),
    ("PUT", "/v2/keys/nova:com.x/app", "value=c&prevExist=true"),
    ("PUT", "/v2/keys/nova:com.x/app", "value=c&prevExist=false"),
    ("PUT", "/v2/keys/nova:com.x/app/10.9.8.7:8100/x", "value=c"),
    ("GET", "/v2/keys/nova:com.x/app/10.9.8.7:8100/x", ""),
    ("DELETE", "/v2/keys/nova:com.x/app/10.9.8.7:8100/x", ""),
    ("PUT", "/v2/keys/", "value=c"),
    ("DELETE", "/v2/keys/", ""),
    ("DELETE", "/v2/keys/?recursive=true", ""),
    ("DELETE", "/v2/keys/nova:com.x/app", ""),
    ("DELETE", "/v2/keys/nova:com.x/app?dir=true", ""),
    ("DELETE", "/v2/keys/nova:com.x/app?prevValue=x", ""),
    ("PUT", "/v2/keys/made", "dir=true"),
    ("PUT", "/v2/keys/made", "dir=true"),
    ("PUT", "/v2/keys/made", "value=x"),
    ("GET", "/v2/keys/made", ""),
    ("DELETE", "/v2/keys/made", ""),
    ("DELETE", "/v2/keys/made?dir=true", ""),
    ("GET", "/v2/keys/made", ""),
    // Going.
    ("DELETE", "/v2/keys/nova:com.x/app/2?prevValue=zz", ""),
    ("DELETE", "/v2/keys/nova:com.x/app/2?prevIndex=1", ""),
    ("DELETE", "/v2/keys/nova:com.x/app/2?prevValue=", ""),
    ("DELETE", "/v2/keys/nova:com.x/app/2?prevValue=body", ""),
    ("GET", "/v2/keys/nova:com.x/app?wait=1&recursive=1&waitIndex=@", ""),
    ("DELETE", "/v2/keys/nova:com.x/app/2", ""),
    ("DELETE", "/v2/keys/nova:com.x/app/3?prevIndex=0&prevExist=true", ""),
    ("GET", "/v2/keys/nova:com.x/app?wait=1&recursive=1&waitIndex=@", ""),
    ("DELETE", "/v2/keys/nova:com.x/app/4?dir=true", ""),
    ("DELETE", "/v2/keys/nova:com.x/app/5?recursive=true", ""),
    ("PUT", KEY, "value=%7B%22Status%22%3A1%7D&ttl=30"),
    // Zan's way to go offline: it is told, and is over.
    ("PUT", KEY, "value=%7B%22Status%22%3A3%7D&ttl=0"),
    ("GET", "/v2/keys/nova:com.x/app?wait=1&recursive=1&waitIndex=@", ""),
    ("over", KEY, ""),
    ("GET", "/v2/keys/nova:com.x/app", ""),
    ("GET", "/v2/keys/nova:com.x", ""),
    ("DELETE", "/v2/keys/nova:com.x/app", ""),
    ("DELETE", "/v2/keys/nova:com.x/app?dir=true", ""),
    ("PUT", "/v2/keys/nova:com.x/b/1", "value=1"),
    ("PUT", "/v2/keys/nova:com.x/b/2", "value=2"),
    ("DELETE", "/v2/keys/nova:com.x?recursive=true", ""),
    ("DELETE", "/v2/keys/nova:com.x?recursive=true", ""),
    ("GET", "/v2/keys/?recursive=true", ""),
    ("GET", "/version", ""),
    ("GET", "/health", ""),
    ("GET", "/v2/machines", ""),
    ("GET", "/v2/members", ""),
];

#[tokio::test]
async fn with_etcd_v2_both_answer_alike() {
    let etcd = Etcd::start_with_v2().await;
    let (_server, ours) = start("[[layout]]\nkind = \"nova\"\nprefix = \"/\"").await;
    ready(ours).await;
    let theirs = SocketAddr::from(([127, 0, 0, 1], etcd.client_port()));
    let (mut their_index, mut our_index) = (1, 1);
    let mut different = String::new();
    for step in SCRIPT {
        let (_, path, form) = *step;
        let expected = run(theirs, step, &mut their_index).await;
        let got = run(ours, step, &mut our_index).await;
        let path = path.strip_prefix("/v2/keys").unwrap_or(path);
        if let Err(why) = compare(&expected, &got) {
            different += &format!(
                "{} {path} {form}: {why}\n  etcd:     {} {}\n  rollcall: {} {}\n",
                step.0,
                expected.status,
                expected.text.trim(),
                got.status,
                got.text.trim()
            );
        }
    }
    assert!(different.is_empty(), "{different}");
}

async fn run(at: SocketAddr, step: &Step, index: &mut u64) -> Reply {
    let (method, path, form) = *step;
    let filled = |text: &str| text.replace('@', &index.to_string());
    let (path, form) = (filled(path), filled(form));
    if method == "over" {
        until("the key is over", async || ask(at, "GET", &path, "").await.status == 404).await;
    }
    let method = if method == "over" { "GET" } else { method };
    let reply = ask(at, method, &path, &form).await;
    if let Some(told) = reply.json()["node"]["modifiedIndex"].as_u64() {
        *index = told;
    }
    reply
}

fn compare(expected: &Reply, got: &Reply) -> Result<(), String> {
    if expected.status != got.status {
        return Err("status".to_owned());
    }
    for header in ["content-type", "allow"] {
        if expected.text.is_empty() || expected.text.contains("not found") {
            continue;
        }
        // That of /health is another since etcd sniffs it.
        let (expected, got) = (expected.headers.get(header), got.headers.get(header));
        let text = |kind: Option<&String>| kind.is_some_and(|kind| kind.starts_with("text/plain"));
        if expected != got && !text(expected) {
            return Err(format!("{header}: {expected:?} {got:?}"));
        }
    }
    for header in ["x-etcd-index", "x-raft-index", "x-raft-term", "x-etcd-cluster-id"] {
        let [theirs, ours] = [expected, got].map(|reply| reply.headers.contains_key(header));
        if theirs && !ours {
            return Err(format!("{header} is missing"));
        }
    }
    match (expected.json(), got.json()) {
        (Value::Null, Value::Null) => Ok(()),
        (expected, got) => alike("", &expected, &got),
    }
}

/// Equal, save for what depends on the server and the time.
fn alike(name: &str, expected: &Value, got: &Value) -> Result<(), String> {
    let same = match (name, expected, got) {
        ("modifiedIndex" | "createdIndex" | "expiration" | "etcdserver" | "etcdcluster", _, _) => {
            !expected.is_null() && !got.is_null()
        }
        ("index", Value::Number(expected), Value::Number(got)) => {
            (expected.as_u64() == Some(0)) == (got.as_u64() == Some(0))
        }
        ("ttl", Value::Number(expected), Value::Number(got)) => {
            expected.as_u64().unwrap().abs_diff(got.as_u64().unwrap()) <= 1
        }
        ("cause", Value::String(expected), Value::String(got)) => blurred(expected) == blurred(got),
        ("members", ..) => {
            got[0]["clientURLs"][0].as_str().is_some_and(|url| url.starts_with("http:"))
        }
        (_, Value::Object(expected), Value::Object(got)) => {
            let absent = Value::Null;
            let names = |one: &Map<String, Value>| one.keys().cloned().collect::<Vec<_>>();
            for name in names(expected).iter().chain(&names(got)) {
                let of = |one: &Map<String, Value>| one.get(name).unwrap_or(&absent).clone();
                alike(name, &of(expected), &of(got))?;
            }
            true
        }
        (_, Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            // etcd's order is any, unless it is asked to sort.
            let sorted = |nodes: &[Value]| {
                let mut nodes = nodes.to_vec();
                nodes.sort_by_key(|node| node["key"].to_string());
                nodes
            };
            for (expected, got) in sorted(expected).iter().zip(sorted(got)) {
                alike("", expected, &got)?;
            }
            true
        }
        _ => expected == got,
    };
    if same { Ok(()) } else { Err(format!("{name}: {expected} and {got}")) }
}

/// A cause without its indexes: `[3 != 5]`.
fn blurred(cause: &str) -> String {
    if !cause.starts_with('[') {
        return cause.to_owned();
    }
    cause
        .chars()
        .map(|c| if c.is_ascii_digit() { '#' } else { c })
        .collect::<String>()
        .replace("##", "#")
}
