//! The whole server as a host has it: what is configured, refused and counted, and a real resolver upstream.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use tokio::net::{TcpStream, UdpSocket};

use crate::program::program;
use crate::support::ask::try_ask;
use crate::support::server::{Home, run};
use crate::support::{soon, until};
use crate::upstream::Upstream;
use crate::world::{Connection, answers, ask_at, ask_tcp_at, query};

/// Attempts to find a port that is free, and still is when somebody takes it.
const ATTEMPTS: usize = 20;

/// A port that is free now.
fn free_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_flag_is_all_it_takes() {
    let upstream = Upstream::with_one_address().await;
    let home = Home::new();
    let to = upstream.address.to_string();
    let server = home.start(&["--forward", &to]).await;
    let body = serde_json::json!({"address": "10.0.0.7", "port": 9000});
    server.register("greeter", "i-1", body).await;
    let expected = ["www.example. 60 A 192.0.2.1"];
    let dns = server.dns[0];
    assert_eq!(answers(&ask_at(dns, "www.example", "A", &[]).await), expected);
    let again = ask_tcp_at(dns, "www.example", "A", &[]).await;
    assert!(answers(&again)[0].ends_with(" A 192.0.2.1"), "{again:?}");
    assert_eq!(server.addresses("greeter.svc").await, ["greeter.svc. A 10.0.0.7"]);
    assert_eq!(upstream.names(), ["www.example."]);
    let metrics = server.get("/metrics").await.body.to_string().replace("\\\"", "\"");
    for line in [
        "rollcall_forward_requests_total{outcome=\"answered\"} 2",
        "rollcall_forward_requests_total{outcome=\"overloaded\"} 0",
        "rollcall_forward_cache_total{result=\"hit\"} 1",
        "rollcall_forward_cache_total{result=\"miss\"} 1",
        "rollcall_forward_upstream_queries_total 1",
        "rollcall_forward_upstream_errors_total{error=\"timeout\"} 0",
        "rollcall_forward_waiting 0",
        "rollcall_forward_in_flight 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn who_would_ask_himself_does_not_start() {
    for listen in ["127.0.0.1", "0.0.0.0"] {
        let mut attempts = ATTEMPTS;
        let (address, refused) = loop {
            let port = free_port();
            let (listen, address) = (format!("{listen}:{port}"), format!("127.0.0.1:{port}"));
            let refused = Home::new().refuse(&["--dns", &listen, "--forward", &address]).await;
            attempts -= 1;
            if attempts == 0 || !refused.said.contains("address in use") {
                break (address, refused);
            }
        };
        assert_eq!(refused.code, 1);
        let said = format!("{address} is an address of this server, which would ask itself");
        assert!(refused.said.contains(&said), "{}", refused.said);
    }
}

#[tokio::test]
async fn the_servers_of_the_host_are_followed() {
    let home =
        Home::with_config("[forward]\nupstreams = \"system\"\nresolv_conf = \"resolv.conf\"\n");
    home.write("resolv.conf", "search example\nnameserver 127.0.0.1\n");
    let server = home.start(&[]).await;
    // Port 53 of loopback is not ours here, and nobody's that could answer for these names.
    home.write("resolv.conf", "nameserver 192.0.2.1\nnameserver 192.0.2.2\n");
    until("the file is read again", async || server.log().contains("[192.0.2.1:53, 192.0.2.2:53]"))
        .await;
    assert!(server.log().contains("[127.0.0.1:53]"), "and was read before");
    // As whoever writes the file may leave it for a while.
    home.write("resolv.conf", "");
    let kept = "going on with those that it named before";
    until("it names nobody", async || server.log().contains(kept)).await;
    home.write("resolv.conf", "nameserver 192.0.2.3\n");
    until("it names somebody", async || server.log().contains("[192.0.2.3:53]")).await;
    assert_eq!(server.log().matches(kept).count(), 1, "{}", server.log());
}

#[tokio::test]
async fn what_is_no_file_keeps_nobody_waiting() {
    let home =
        Home::with_config("[forward]\nupstreams = \"system\"\nresolv_conf = \"resolv.conf\"\n");
    let made = Command::new("mkfifo").arg(home.path("resolv.conf")).status().unwrap();
    assert!(made.success());
    let server = home.start(&[]).await;
    assert!(server.log().contains("cannot read the file"), "{}", server.log());
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn look_ups_leave_descriptors_to_connections() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let upstream = silent.local_addr().unwrap();
    let home = Home::with_config(&format!("[forward]\nupstreams = [\"{upstream}\"]\n"));
    let server = home.spawn_limited("-n 256").await;
    let body = serde_json::json!({"address": "10.0.0.7", "port": 9000, "ttl": 3600});
    server.register("greeter", "i-1", body).await;
    let flood = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    flood.connect(server.dns[0]).await.unwrap();
    for at in 0..300 {
        flood.send(&query(&format!("n-{at}.example"), "A", &[])).await.unwrap();
    }
    soon("a question", silent.recv(&mut [0; 512])).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..50 {
        let stream = soon("a connection", TcpStream::connect(server.dns[0])).await.unwrap();
        let mut connection = Connection(stream);
        connection.send(&query("greeter.svc", "A", &[])).await;
        assert_eq!(connection.hear().await[7], 1, "one answer");
        held.push(connection);
    }
    let log = server.log();
    // 64 descriptors, and three for each of them.
    assert!(
        log.contains("the limit of open files is too low") && log.contains("look_ups=21"),
        "{log}"
    );
    assert!(!log.contains("cannot accept"), "{log}");
    let metrics = server.get("/metrics").await.body.to_string().replace("\\\"", "\"");
    let overloaded = "rollcall_forward_requests_total{outcome=\"overloaded\"} ";
    let count: u64 = metrics
        .split_once(overloaded)
        .and_then(|(_, rest)| rest.split("\\n").next())
        .and_then(|count| count.parse().ok())
        .unwrap();
    assert!(count > 0, "there was no place for all of them");
    assert_eq!(server.stop().await, 0);
}

/// unbound, with names of its own; gone with its value.
struct Unbound {
    process: Child,
    address: SocketAddr,
    _home: tempfile::TempDir,
}

impl Unbound {
    async fn start() -> Self {
        for _ in 0..ATTEMPTS {
            if let Some(unbound) = Self::try_start().await {
                return unbound;
            }
        }
        panic!("unbound does not start");
    }

    /// None where its port was taken meanwhile.
    async fn try_start() -> Option<Self> {
        let home = tempfile::TempDir::new().unwrap();
        let (port, path) = (free_port(), home.path().display());
        let many: String = (1..=100)
            .map(|last| format!("  local-data: \"many.example. 60 A 192.0.2.{last}\"\n"))
            .collect();
        let text = format!(
            "server:\n  interface: 127.0.0.1\n  port: {port}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  \
             directory: \"{path}\"\n  pidfile: \"\"\n  use-syslog: no\n  module-config: \"iterator\"\n  \
             local-zone: \"example.\" static\n  \
             local-data: \"example. 60 SOA ns.example. who.example. 1 2 3 4 30\"\n  \
             local-data: \"www.example. 60 A 192.0.2.80\"\n{many}  \
             local-data: \"odd.example. 60 TYPE65280 \\# 3 c00c01\"\n\
             remote-control:\n  control-enable: no\n"
        );
        let file = home.path().join("unbound.conf");
        std::fs::write(&file, text).unwrap();
        let mut command = program("unbound");
        command.arg("-d").arg("-c").arg(&file).stdin(Stdio::null());
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unbound is there: apt-get install unbound");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut ended = false;
        until("unbound answers", async || {
            ended = process.try_wait().unwrap().is_some();
            ended || try_ask(address, "www.example", RecordType::A).await.is_some()
        })
        .await;
        (!ended).then_some(Self { process, address, _home: home })
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn names_come_from_a_real_resolver_with_unbound() {
    let unbound = Unbound::start().await;
    let server = Home::new().start(&["--forward", &unbound.address.to_string()]).await;
    let dns = server.dns[0];
    for _ in 0..2 {
        let reply = ask_at(dns, "www.example", "A", &[]).await;
        assert!(answers(&reply)[0].ends_with(" A 192.0.2.80"), "{reply:?}");
    }
    for (name, code) in
        [("no.example", ResponseCode::NXDomain), ("www.example", ResponseCode::NoError)]
    {
        let nothing = ask_at(dns, name, "AAAA", &[]).await;
        let said = (nothing.metadata.response_code, nothing.authorities.len());
        assert_eq!(said, (code, 1), "{name}");
    }
    // Its datagrams do not hold them all: it says so, and is asked over TCP.
    let many = ask_tcp_at(dns, "many.example", "A", &[]).await;
    assert_eq!(many.answers.len(), 100);
    let cut = ask_at(dns, "many.example", "A", &[]).await;
    assert!(cut.metadata.truncation && cut.answers.len() > 50);
    let odd = ask_at(dns, "odd.example", "TYPE65280", &[]).await;
    assert_eq!(odd.answers.len(), 1);
    let metrics = server.get("/metrics").await.body.to_string().replace("\\\"", "\"");
    assert!(metrics.contains("rollcall_forward_upstream_queries_total 5"), "{metrics}");
}

/// Two servers in a network of their own, one of which asks the other; then the C library, which knows of nothing but
/// `nameserver 127.0.0.1`. The second waits for the first with a deadline, both end with the script.
const HOST: &str = r#"
ip link set lo up
# The C library asks for addresses of a kind only where the host has one besides those of loopback.
ip address add 192.0.2.200/32 dev lo
echo "nameserver 127.0.0.1" >resolv.conf
echo "hosts: dns" >nsswitch.conf
mount --bind resolv.conf /etc/resolv.conf
mount --bind nsswitch.conf /etc/nsswitch.conf
rollcall serve --config other.toml --dns 127.0.0.1:5300 --http 127.0.0.1:9000 --data other 2>other.log &
other=$!
rollcall serve --config own.toml --dns 127.0.0.1:53 --http 127.0.0.1:8053 --data own 2>own.log &
own=$!
trap 'kill $other $own; wait' EXIT
for name in www.example host.svc; do
    tries=0
    until getent ahostsv4 "$name"; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || { cat own.log other.log >&2; exit 1; }
        sleep 0.1
    done
done
getent ahostsv4 alias.svc
getent ahostsv4 nothing.example || echo "nothing: $?"
"#;

#[tokio::test]
async fn a_nameserver_line_is_all_a_host_needs_with_unshare() {
    let zone = |records: &str| {
        format!("@ 60 IN SOA ns who 1 2 3 4 5\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\n{records}")
    };
    let home = Home::new();
    home.write("other.zone", &zone("www 60 IN A 192.0.2.80\n"));
    home.write("own.zone", &zone("host 60 IN A 192.0.2.7\nalias 60 IN CNAME www.example.\n"));
    let config = |zone: &str, file: &str| {
        format!(
            "version = 1\nzones = \".\"\n[[zone]]\nname = \"{zone}\"\nnamespace = \"\"\nfile = \"{file}\"\n"
        )
    };
    home.write("other.toml", &config("example.", "other.zone"));
    let forward = "[forward]\nupstreams = [\"127.0.0.1:5300\"]\n";
    home.write("own.toml", &(config("svc.", "own.zone") + forward));
    let mut host = Command::new("unshare");
    host.args(["-rnmp", "-f", "--kill-child", "sh", "-ec", HOST]).current_dir(home.path("."));
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_rollcall")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    host.env("PATH", format!("{}:{path}", bin.display()));
    let said = run(host).await.done();
    let addresses: Vec<_> = said
        .lines()
        .filter(|line| line.contains("STREAM") || line.starts_with("nothing"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "192.0.2.80 STREAM www.example",
        "192.0.2.7 STREAM host.svc",
        "192.0.2.80 STREAM www.example",
        "nothing: 2",
    ];
    assert_eq!(addresses, expected);
}
