//! The README's tour, command by command, with the real programs: curl, dig, python3, etcdctl and our own.
//!
//! Tests that need a program which may be missing carry it in their name; `./dev test` skips them by that.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, SRV};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::etcd::Etcd;
use support::running::Running;
use support::server::{Home, Server, run};
use support::until;
use tempfile::TempDir;

const APP: &str = "scrm-customer-base";
/// A machine of these tests may have no address but loopback, which a shared registry does not take.
const ADDRESS: [&str; 2] = ["--address", "192.0.2.7"];

// ---- programs ------------------------------------------------------------------------------------

async fn sh(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    run(command).await.done()
}

/// Runs dig against a server and gives its output, white space made single.
async fn dig(dns: SocketAddr, question: &[&str]) -> String {
    let (at, port) = (format!("@{}", dns.ip()), dns.port().to_string());
    let said = sh("dig", &[&[&at[..], "-p", &port], question].concat()).await;
    single_spaced(&said)
}

/// A port that nothing listens on at this moment.
fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

// ---- the tour ------------------------------------------------------------------------------------

/// The indented lines of the README's tour: commands without their comments, and what they show.
fn readme() -> Vec<String> {
    let readme = include_str!("../README.md");
    let (_, tour) = readme.split_once("\n## Five minutes\n").expect("the tour");
    let (tour, _) = tour.split_once("\n## ").expect("what follows it");
    let lines = tour.lines().filter_map(|line| line.strip_prefix("    "));
    lines.map(|line| line.split(" # ").next().unwrap().trim().to_owned()).collect()
}

/// Runs the README's commands as they stand there, with this server's ports in the place of theirs.
async fn follow_the_readme(server: &Server, etcd: Option<&Etcd>) {
    let port = free_port().to_string();
    let (http, dns) = (server.http.to_string(), server.dns[0].port().to_string());
    let run_flags = if etcd.is_some() { ADDRESS.join(" ") + " -- " } else { "-- ".to_owned() };
    let ours = |line: &str| {
        let line = line.replace("127.0.0.1:8053", &http).replace("-p 1053", &format!("-p {dns}"));
        line.replace("8080", &port).replace("-- ", &run_flags)
    };
    let mut shown = String::new();
    let mut script = String::new();
    let lines = readme();
    for line in &lines {
        let shell = |script: &str| server.shell(script, etcd.map(Etcd::url).as_deref());
        let words: Vec<_> = line.split_whitespace().take(2).collect();
        match words[..] {
            // How the server of this test was built and started.
            ["cargo", "install"] | ["rollcall", "serve"] => {}
            ["curl" | "dig", ..] | ["rollcall", "ls" | "offline" | "online" | "query"] => {
                shown += &single_spaced(&run(shell(&ours(line))).await.done());
            }
            ["rollcall", "run"] => {
                run_until_it_ends(server, shell(&format!("exec {}", ours(line)))).await;
            }
            ["rollcall", "watch"] => watch_goes_on(server, shell("exec rollcall watch")).await,
            [first, ..] if first.starts_with("lease=") => script = format!("{line}\n"),
            ["etcdctl", "put"] if etcd.is_some() => {
                run(shell(&format!("{script}{line}"))).await.done();
                until("the written key is answered", async || {
                    server.addresses("greeter.svc").await == ["greeter.svc. A 10.0.0.9"]
                })
                .await;
            }
            ["etcdctl", "put"] => {}
            // What the command above shows.
            _ => assert!(shown.contains(&single_spaced(line)), "{line:?} is not in\n{shown}"),
        }
    }
    assert!(lines.len() >= 15 && shown.contains("i-1"), "{lines:?}");
}

fn single_spaced(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

/// `rollcall watch` tells of a change.
async fn watch_goes_on(server: &Server, command: Command) {
    let mut watch = Running::start(command);
    until("a change is told", async || {
        let mark = format!("/v1/apps/{APP}/instances/i-1/offline");
        assert_eq!(server.put(&mark, json!({})).await.status, 200);
        let mark = format!("/v1/apps/{APP}/instances/i-1/online");
        assert_eq!(server.put(&mark, json!({})).await.status, 200);
        assert!(watch.runs(), "{}", watch.err());
        watch.out().contains(&format!(" online {APP} i-1"))
    })
    .await;
}

#[tokio::test]
async fn the_readme_on_embedded_with_curl_and_with_python3() {
    let server = Home::new().start(&[]).await;
    follow_the_readme(&server, None).await;
}

#[tokio::test]
async fn the_readme_on_etcd_with_curl_and_with_python3() {
    let etcd = Etcd::start().await;
    let server = Home::new().start(&["--etcd", &etcd.url()]).await;
    follow_the_readme(&server, Some(&etcd)).await;
}

/// What the README shows between `rollcall serve` and the demo app.
async fn register_and_dig(server: &Server) {
    let url = format!("{}/v1/apps/{APP}/instances/i-1", server.http);
    let body = r#"{"address":"10.0.0.7","port":9000,"ttl":3600}"#;
    let put = ["-sS", "-X", "PUT", &url, "-H", "content-type: application/json", "-d", body];
    let reply: Value = serde_json::from_str(&sh("curl", &put).await).unwrap();
    assert_eq!((&reply["id"], &reply["ttl"]), (&"i-1".into(), &3600.into()), "{reply}");
    assert_eq!(reply["visible"], true, "{reply}");

    let service = format!("_nova._tcp.{APP}.svc");
    let said = dig(server.dns[0], &["SRV", &service]).await;
    for line in [
        "status: NOERROR",
        "flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 2",
        &format!("\n{service}. 5 IN SRV 10 100 9000 i-1.{APP}.svc.\n"),
        &format!("\ni-1.{APP}.svc. 5 IN A 10.0.0.7\n"),
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    let said = dig(server.dns[0], &["A", &format!("{APP}.svc")]).await;
    assert!(said.contains(&format!("\n{APP}.svc. 5 IN A 10.0.0.7\n")), "{said}");

    // A refusal names the field and leaves the connection usable: curl uses it again.
    let bad = r#"{"address":"10.0.0.7","port":0}"#;
    let twice = ["-sS", "-X", "PUT", &url, &url, "-H", "content-type: application/json", "-d", bad];
    let refused =
        sh("curl", &[&twice[..], &["-w", "%{http_code} %{num_connects}\n"]].concat()).await;
    assert!(refused.contains("\"field\":\"port\""), "{refused}");
    assert!(refused.contains("422 1\n") && refused.contains("422 0\n"), "{refused}");
}

/// The table, and the operator's marks.
async fn list_and_mark(server: &Server) {
    let table = server.cli(&["ls"]).await.done();
    let row = table.lines().find(|line| line.contains(APP)).expect("a row");
    assert_eq!(
        row.split('|').map(str::trim).collect::<Vec<_>>(),
        ["", APP, "1", "1", "online", ""]
    );
    let one = server.cli(&["ls", APP]).await.done();
    assert!(one.contains("i-1") && one.contains("nova/tcp 10.0.0.7:9000"), "{one}");

    let last = server.cli(&["offline", APP, "i-1"]).await;
    assert_eq!(last.code, 1, "{last:?}");
    assert!(last.err.contains("--force"), "{last:?}");
    let marked = server.cli(&["offline", APP, "i-1", "--force", "--reason", "disk"]).await.done();
    assert!(marked.contains("offline"), "{marked}");
    let name = format!("{APP}.svc");
    assert_eq!(server.ask(&name, A).await.status(), ResponseCode::NXDomain);
    let one = server.cli(&["ls", APP]).await.done();
    assert!(one.contains("offline") && one.contains("disk"), "{one}");
    // A mark survives a registration anew.
    let body = json!({"address": "10.0.0.7", "port": 9001, "ttl": 3600});
    let path = format!("/v1/apps/{APP}/instances/i-1?incarnation=new");
    assert_eq!(server.put(&path, body).await.status, 200);
    assert_eq!(server.ask(&name, A).await.status(), ResponseCode::NXDomain);
    server.cli(&["online", APP, "i-1"]).await.done();
    assert_eq!(server.addresses(&name).await, [format!("{name}. A 10.0.0.7")]);
    let asked = server.cli(&["query", &format!("_nova._tcp.{name}")]).await.done();
    assert!(asked.contains(&format!("SRV 10 100 9001 i-1.{name}.")), "{asked}");
    let none = server.cli(&["query", "none.svc"]).await;
    assert_eq!(none.code, 1, "{none:?}");
}

#[tokio::test]
async fn the_tour_on_embedded_with_curl() {
    let server = Home::new().start(&[]).await;
    register_and_dig(&server).await;
    list_and_mark(&server).await;
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn the_tour_on_etcd_with_curl() {
    let etcd = Etcd::start().await;
    let server = Home::new().start(&["--etcd", &etcd.url()]).await;
    register_and_dig(&server).await;
    list_and_mark(&server).await;
    let keys = etcd.keys("/rollcall/v1/default/").await;
    let key = format!("/rollcall/v1/default/instances/{APP}/i-1");
    assert_eq!(keys.keys().collect::<Vec<_>>(), [&key], "no mark is left");
    assert_eq!(server.stop().await, 0);
}

/// `rollcall run greeter --port P -- python3 -m http.server P`, from its start to the end of the program after
/// a signal.
async fn run_a_program(server: &Server, flags: &[&str]) {
    let port = free_port().to_string();
    let log = TempDir::new().unwrap();
    let ended = log.path().join("ended");
    // The program says when it got the signal, and has an exit code of its own.
    let script = format!(
        "import http.server, signal, sys\n\
         def end(*_):\n    open({ended:?}, 'w').write('SIGTERM'); sys.exit(7)\n\
         signal.signal(signal.SIGTERM, end)\n\
         http.server.ThreadingHTTPServer(('', {port}), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
    );
    let arguments = ["run", "greeter", "--port", &port, "--drain", "1s"];
    let program = ["--", "python3", "-c", &script];
    let command = server.command(&[&arguments[..], flags, &program].concat());
    let mut running = Running::start(command);
    let service = "_nova._tcp.greeter.svc";
    until("it is registered", async || {
        assert!(running.runs(), "{}", running.err());
        server.ask(service, SRV).await.status() == ResponseCode::NoError
    })
    .await;
    let srv = server.ask(service, SRV).await.records();
    assert_eq!(srv.len(), 1);
    assert!(srv[0].starts_with(&format!("{service}. SRV 10 100 {port} ")), "{srv:?}");
    let listed = server.get("/v1/apps/greeter").await.body;
    assert_eq!(listed["instances"][0]["ttl"], 30, "{listed}");

    running.signal(Signal::SIGTERM);
    until("it is deregistered", async || {
        server.ask(service, SRV).await.status() == ResponseCode::NXDomain
    })
    .await;
    // Deregistered first, then time for clients to forget the address, then the signal.
    assert!(running.runs() && !ended.exists(), "{}", running.err());
    assert_eq!(running.ended().await, 7, "the program's own exit code: {}", running.err());
    assert_eq!(std::fs::read_to_string(ended).unwrap(), "SIGTERM");
}

/// A program that is registered while it runs, and ends by itself.
async fn run_until_it_ends(server: &Server, command: Command) {
    let mut running = Running::start(command);
    let ready = async || server.ask("greeter.svc", A).await.status() == ResponseCode::NoError;
    until("it is registered", async || {
        assert!(running.runs(), "{}", running.err());
        ready().await
    })
    .await;
    let children = format!("/proc/{0}/task/{0}/children", running.id());
    let child = std::fs::read_to_string(children).unwrap();
    kill(Pid::from_raw(child.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(running.ended().await, 128 + 9, "{}", running.err());
    assert!(!ready().await, "gone before the command ended: {}", running.err());
}

#[tokio::test]
async fn a_program_is_registered_while_it_lives_on_embedded_with_python3() {
    let server = Home::new().start(&[]).await;
    run_a_program(&server, &[]).await;
}

#[tokio::test]
async fn a_program_is_registered_while_it_lives_on_etcd_with_python3() {
    let etcd = Etcd::start().await;
    let server = Home::new().start(&["--etcd", &etcd.url()]).await;
    run_a_program(&server, &ADDRESS).await;
}
