//! The README's tour, command by command, with the real programs: curl, dig, python3, etcdctl and our own.
//!
//! Tests that need a program which may be missing carry it in their name; `./dev test` skips them by that.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, SRV};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::ask::ask;
use support::etcd::Etcd;
use support::server::{Home, Server, run};
use support::until;
use tempfile::TempDir;

const APP: &str = "scrm-customer-base";

// ---- programs ------------------------------------------------------------------------------------

/// A program that runs beside the test, its output in files; told to end with its value.
struct Running {
    process: Child,
    files: TempDir,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let files = TempDir::new().unwrap();
        let file = |name: &str| std::fs::File::create(files.path().join(name)).unwrap();
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        Self { process: command.spawn().unwrap(), files }
    }

    fn out(&self) -> String {
        std::fs::read_to_string(self.files.path().join("out")).unwrap()
    }

    fn err(&self) -> String {
        std::fs::read_to_string(self.files.path().join("err")).unwrap()
    }

    fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end and gives its exit code.
    async fn ended(&mut self) -> i32 {
        until("the program's end", async || !self.runs()).await;
        self.process.wait().unwrap().code().expect("an exit code, not a signal")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.runs() {
            // Twice, so that `rollcall run` takes its program along without waiting.
            self.signal(Signal::SIGTERM);
            self.signal(Signal::SIGINT);
        }
    }
}

async fn sh(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    run(command).await.done()
}

/// Runs dig against a server and gives its output, white space made single.
async fn dig(dns: SocketAddr, question: &[&str]) -> String {
    let (at, port) = (format!("@{}", dns.ip()), dns.port().to_string());
    let said = sh("dig", &[&[&at[..], "-p", &port], question].concat()).await;
    said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

/// A port that nothing listens on at this moment.
fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

// ---- the tour ------------------------------------------------------------------------------------

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

/// The tour's very command, the program ending by itself.
async fn run_until_it_ends(server: &Server, flags: &[&str]) {
    let port = free_port().to_string();
    let program = ["--", "python3", "-m", "http.server", &port];
    let command =
        server.command(&[&["run", "greeter", "--port", &port][..], flags, &program].concat());
    let mut running = Running::start(command);
    let ready = async || server.ask("greeter.svc", A).await.status() == ResponseCode::NoError;
    until("it is registered", async || {
        assert!(running.runs(), "{}", running.err());
        ready().await
    })
    .await;
    let children = format!("/proc/{0}/task/{0}/children", running.process.id());
    let child = std::fs::read_to_string(children).unwrap();
    kill(Pid::from_raw(child.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(running.ended().await, 128 + 9, "{}", running.err());
    assert!(!ready().await, "gone before the command ended: {}", running.err());
}

#[tokio::test]
async fn a_program_is_registered_while_it_lives_on_embedded_with_python3() {
    let server = Home::new().start(&[]).await;
    run_a_program(&server, &[]).await;
    run_until_it_ends(&server, &[]).await;
}

#[tokio::test]
async fn a_program_is_registered_while_it_lives_on_etcd_with_python3() {
    let etcd = Etcd::start().await;
    let server = Home::new().start(&["--etcd", &etcd.url()]).await;
    // A machine of this test may have no address but loopback, which a shared registry does not take.
    let address = ["--address", "192.0.2.7"];
    run_a_program(&server, &address).await;
    run_until_it_ends(&server, &address).await;
}

// ---- several servers, other writers --------------------------------------------------------------

#[tokio::test]
async fn two_servers_on_one_etcd_agree() {
    let etcd = Etcd::start().await;
    let (home, other_home) = (Home::new(), Home::new());
    let one = home.start(&["--etcd", &etcd.url()]).await;
    let two = other_home.start(&["--etcd", &etcd.url()]).await;
    for (writer, id, address) in [(&one, "a", "10.0.0.7"), (&two, "b", "10.0.0.8")] {
        writer.register("greeter", id, json!({"address": address, "port": 9000})).await;
    }
    let expected = ["greeter.svc. A 10.0.0.7", "greeter.svc. A 10.0.0.8"];
    for server in [&one, &two] {
        until("both know both", async || server.addresses("greeter.svc").await == expected).await;
    }
    assert_eq!(one.serial("svc").await, two.serial("svc").await);
    // Renewed and taken away through the one that did not register it.
    let beat = two.put("/v1/apps/greeter/instances/a/heartbeat", json!({})).await;
    assert_eq!(beat.status, 200, "{beat:?}");
    assert_eq!(one.delete("/v1/apps/greeter/instances/b").await.status, 200);
    let marked = two.put("/v1/apps/greeter/instances/a/offline", json!({})).await;
    assert_eq!(marked.status, 200, "{marked:?}");
    for server in [&one, &two] {
        until("nothing is left in answers", async || {
            ask(server.dns[0], "greeter.svc", A).await.status() == ResponseCode::NXDomain
        })
        .await;
    }
}

/// Grants a lease and gives its id in hex.
async fn lease(etcd: &Etcd, secs: u32) -> String {
    let said = etcd.ctl(&["lease", "grant", &secs.to_string()]).await;
    said.split_whitespace().nth(1).expect("lease ID granted …").to_owned()
}

#[tokio::test]
async fn keys_of_other_writers_appear_and_go_with_their_lease() {
    let etcd = Etcd::start().await;
    let server = Home::new().start(&["--etcd", &etcd.url()]).await;
    let lease = lease(&etcd, 60).await;
    let key = format!("/rollcall/v1/default/instances/{APP}/php-1");
    let value = r#"{"address":"10.0.0.9","port":9000}"#;
    etcd.ctl(&["put", "--lease", &lease, &key, value]).await;
    let service = format!("_nova._tcp.{APP}.svc");
    let expected = [format!("{service}. SRV 10 100 9000 php-1.{APP}.svc.")];
    until("it appears", async || server.ask(&service, SRV).await.records() == expected).await;
    let glue = server.ask(&service, SRV).await.additional();
    assert_eq!(glue, [format!("php-1.{APP}.svc. A 10.0.0.9")]);
    let listed = server.get(&format!("/v1/apps/{APP}/instances/php-1")).await.body;
    assert_eq!(listed["incarnation"], *lease.trim_start_matches('0'), "{listed}");
    assert!((1..=60).contains(&listed["lease_left"].as_u64().unwrap()), "{listed}");

    etcd.ctl(&["lease", "revoke", &lease]).await;
    until("it goes", async || server.ask(&service, SRV).await.status() == ResponseCode::NXDomain)
        .await;
}

/// Six causes, as `rollcall watch` prints them.
async fn causes_are_told(server: &Server) {
    let mut watch = Running::start(server.command(&["watch", "greeter", "--json"]));
    // The watch begins somewhere; marks on what is not there yet would not do as a beacon, so registrations are.
    let told = |watch: &Running| -> Vec<Value> {
        watch.out().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let beacon = "/v1/apps/greeter/instances/beacon";
    let mut weight = 0;
    until("the watch is on", async || {
        weight += 1;
        let body = json!({"address": "10.0.0.1", "port": 1, "weight": weight, "ttl": 3600});
        server.put(beacon, body).await;
        assert!(watch.runs(), "{}", watch.err());
        !told(&watch).is_empty()
    })
    .await;

    let path = "/v1/apps/greeter/instances/i-1";
    let body = |port: u16| json!({"address": "10.0.0.7", "port": port, "ttl": 3600});
    assert_eq!(server.put(path, body(1)).await.status, 201);
    assert_eq!(server.put(path, body(2)).await.status, 200);
    assert_eq!(server.put(path, body(2)).await.status, 200, "unchanged: no event");
    server.cli(&["offline", "greeter", "i-1", "--reason", "disk is full"]).await.done();
    server.cli(&["online", "greeter", "i-1"]).await.done();
    server.cli(&["deregister", "greeter", "i-1"]).await.done();
    let brief = json!({"address": "10.0.0.8", "port": 1, "ttl": 2});
    assert_eq!(server.put("/v1/apps/greeter/instances/brief", brief).await.status, 201);

    let causes = || {
        let of = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
        let events = told(&watch).into_iter().filter(|event| event["id"] != "beacon");
        events.map(|event| (of(&event, "id"), of(&event, "cause"))).collect::<Vec<_>>()
    };
    let expected = [
        ("i-1", "registered"),
        ("i-1", "changed"),
        ("i-1", "offline"),
        ("i-1", "online"),
        ("i-1", "departed"),
        ("brief", "registered"),
        ("brief", "expired"),
    ];
    let expected = expected.map(|(id, cause)| (id.to_owned(), cause.to_owned()));
    until("the last cause is told", async || causes().len() >= expected.len()).await;
    assert_eq!(causes(), expected);
    let events = told(&watch);
    let event = |cause: &str| events.iter().find(|event| event["cause"] == cause).unwrap();
    assert_eq!(event("offline")["note"]["reason"], "disk is full");
    assert_eq!(event("changed")["app"], "greeter");
    let revisions: Vec<_> =
        events.iter().map(|event| event["revision"].as_u64().unwrap()).collect();
    assert!(revisions.is_sorted(), "{revisions:?}");
}

#[tokio::test]
async fn watch_tells_departures_from_expiries_on_embedded() {
    causes_are_told(&Home::new().start(&[]).await).await;
}

#[tokio::test]
async fn watch_tells_departures_from_expiries_on_etcd() {
    let etcd = Etcd::start().await;
    causes_are_told(&Home::new().start(&["--etcd", &etcd.url()]).await).await;
}
