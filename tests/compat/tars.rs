//! Servers of Tars, which tell the node of their host that they live.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::SRV;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::listeners::address;
use crate::support::etcd::Etcd;
use crate::support::library::node;
use crate::support::server::{Home, Server, run};
use crate::support::{soon, until};

const TARS: &str = r#"
[compat.tars]
listen = "127.0.0.1:0"
timeout = "2s"
[[compat.tars.adapter]]
object = "TestApp.HelloServer.HelloObj"
endpoints = "tcp -h 10.0.0.1 -p 17890 -t 60000"
[[compat.tars.adapter]]
object = "TestApp.HelloServer.OtherObj"
endpoints = "udp -p 18000 -h 127.0.0.1 -w 30 -v 1:udp -h 10.0.0.2 -p 18000"
[[compat.tars.adapter]]
object = "TestApp.FarServer.FarObj"
endpoints = "tcp -h 10.0.0.1 -p 1:tcp -h 10.0.0.2 -p 1"
"#;
const HELLO: &str = "_helloobj._tcp.helloserver.testapp.svc";
const OTHER: &str = "_otherobj._udp.helloserver.testapp.svc";

/// Octets with a length, as Tars writes a short text (type 6) and a list of octets (type 13) with a tag.
fn text(tag: u8, text: &str) -> Vec<u8> {
    [&[tag << 4 | 6, text.len().try_into().unwrap()], text.as_bytes()].concat()
}

fn octets(tag: u8, octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(octets.len()).unwrap().to_be_bytes();
    [&[tag << 4 | 13, 0, 1][..], &length, octets].concat()
}

fn frame(packet: &[u8]) -> Vec<u8> {
    [&u32::try_from(packet.len() + 4).unwrap().to_be_bytes()[..], packet].concat()
}

/// The structure ServerInfo, with a tag.
fn info(tag: u8, server: &str, pid: i16, adapter: &str) -> Vec<u8> {
    let begin = [tag << 4 | 10];
    let pid = [&[0x21][..], &pid.to_be_bytes()].concat();
    [&begin[..], &text(0, "TestApp"), &text(1, server), &pid, &text(3, adapter), &[0x0b]].concat()
}

/// A call as TarsPHP sends it: version 3, one named argument.
pub(crate) fn php(function: &str, server: &str, pid: i16, adapter: &str) -> Vec<u8> {
    let named =
        [&[0x08, 0, 1][..], &text(0, "serverInfo"), &octets(1, &info(0, server, pid, adapter))];
    let packet = [
        &b"\x10\x03\x2c\x3c\x40\x01"[..],
        &text(5, "tars.tarsnode.ServerObj"),
        &text(6, function),
        &octets(7, &named.concat()),
        b"\x81\x07\xd0\x98\x0c\xa8\x0c",
    ];
    frame(&packet.concat())
}

/// A call as generated clients send it: version 1, arguments by their place; one way.
fn cpp_one_way(function: &str, server: &str, pid: i16, adapter: &str) -> Vec<u8> {
    let packet = [
        &b"\x10\x01\x20\x01\x3c\x40\x01"[..],
        &text(5, "tars.tarsnode.ServerObj"),
        &text(6, function),
        &octets(7, &info(1, server, pid, adapter)),
        b"\x81\x07\xd0\x98\x0c\xa8\x0c",
    ];
    frame(&packet.concat())
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(address(server, "tars")).await.unwrap()
}

/// Sends a call and gives the packet of the reply.
async fn call(stream: &mut TcpStream, frame: &[u8]) -> Vec<u8> {
    stream.write_all(frame).await.unwrap();
    let length = soon("a reply", stream.read_u32()).await.unwrap();
    let mut packet = vec![0; length as usize - 4];
    soon("the reply", stream.read_exact(&mut packet)).await.unwrap();
    packet
}

/// What the reply of version 3 returns: the named result that has no name.
fn returns(packet: &[u8], value: &[u8]) -> bool {
    let length = u8::try_from(value.len()).unwrap();
    let result = [b"\x08\x00\x01\x06\x00\x1d\x00\x00", &[length][..], value].concat();
    packet.windows(result.len()).any(|octets| octets == result)
}

const ZERO: &[u8] = b"\x0c";
const MINUS_ONE: &[u8] = b"\x00\xff";

async fn shows(server: &Server, service: &str, record: &str) {
    let expected = [format!("{service}. SRV 10 {record}.helloserver.testapp.svc.")];
    until("answers show it", async || server.ask(service, SRV).await.records() == expected).await;
}

async fn is_gone(server: &Server, service: &str) -> bool {
    server.ask(service, SRV).await.status() == ResponseCode::NXDomain
}

#[tokio::test]
async fn a_server_answers_for_as_long_as_its_keep_alives_come() {
    let server = Home::with_config(TARS).start(&[]).await;
    let mut stream = connect(&server).await;
    let beat = php("keepAlive", "HelloServer", 12033, "TestApp.HelloServer.HelloObjAdapter");
    assert!(returns(&call(&mut stream, &beat).await, ZERO));
    shows(&server, HELLO, "100 17890 10-0-0-1-17890").await;
    assert!(is_gone(&server, OTHER).await);
    let told = server.get("/v1/apps/helloserver.testapp").await.body;
    assert_eq!(told["instances"][0]["meta"]["timeout"], "60000", "{told}");
    // Every second, and sometimes on a connection of its own: it never flaps, and nothing is written anew.
    let serial = server.serial("svc").await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        if began.elapsed().as_secs().is_multiple_of(2) {
            stream = connect(&server).await;
        }
        assert!(returns(&call(&mut stream, &beat).await, ZERO));
        for _ in 0..10 {
            sleep(Duration::from_millis(100)).await;
            assert!(!is_gone(&server, HELLO).await);
        }
    }
    assert_eq!(server.serial("svc").await, serial);
    // That of administration says nothing of it, nor does a server that is starting.
    let silent = Instant::now();
    until("it is gone", async || {
        let admin = php("keepAlive", "HelloServer", 12033, "AdminAdapter");
        assert!(returns(&call(&mut stream, &admin).await, ZERO));
        let starting =
            php("keepActiving", "HelloServer", 12033, "TestApp.HelloServer.HelloObjAdapter");
        assert!(returns(&call(&mut stream, &starting).await, ZERO));
        is_gone(&server, HELLO).await
    })
    .await;
    assert!(silent.elapsed() < Duration::from_secs(5), "{:?}", silent.elapsed());
    assert!(returns(&call(&mut stream, &beat).await, ZERO));
    shows(&server, HELLO, "100 17890 10-0-0-1-17890").await;
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_whole_server_may_speak_and_no_reply_be_wanted() {
    let server = Home::with_config(TARS).start(&[]).await;
    let mut stream = connect(&server).await;
    // Two calls in one write, and one in two.
    let whole = cpp_one_way("keepAlive", "HelloServer", 7, "");
    stream.write_all(&[&whole[..], &whole[..9]].concat()).await.unwrap();
    shows(&server, HELLO, "100 17890 10-0-0-1-17890").await;
    shows(&server, OTHER, "30 18000 127-0-0-1-18000-udp").await;
    let ping = php("tars_ping", "", 0, "");
    let reply = call(&mut stream, &[&whole[9..], &ping].concat()).await;
    assert!(returns(&reply, ZERO), "the first reply is that to the ping: {reply:02x?}");
}

#[tokio::test]
async fn who_is_not_known_gets_minus_one_and_registers_nothing() {
    let server = Home::with_config(TARS).start(&[]).await;
    let mut stream = connect(&server).await;
    for (name, pid, adapter) in [
        ("NoServer", 1, ""),
        ("HelloServer", 0, ""),
        ("HelloServer", -1, "TestApp.HelloServer.HelloObjAdapter"),
        // At two hosts, and neither is this one: whose call is it?
        ("FarServer", 1, ""),
    ] {
        let reply = call(&mut stream, &php("keepAlive", name, pid, adapter)).await;
        assert!(returns(&reply, MINUS_ONE), "{name} {pid}: {reply:02x?}");
    }
    let reply = call(&mut stream, &php("noFunction", "HelloServer", 1, "")).await;
    assert!(reply.windows(2).any(|octets| octets == b"-3"), "{reply:02x?}");
    assert_eq!(server.get("/v1/apps").await.body["apps"], serde_json::json!([]));
}

#[tokio::test]
async fn what_is_no_frame_closes_its_connection_and_no_other() {
    let server = Home::with_config(TARS).start(&[]).await;
    let mut good = connect(&server).await;
    let beat = php("keepAlive", "HelloServer", 1, "TestApp.HelloServer.HelloObjAdapter");
    let revision = server.get("/v1/apps").await.body["revision"].clone();
    for i in 0..1_000_usize {
        let mut stream = connect(&server).await;
        let sent = match i % 5 {
            0 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            1 => vec![0xff; 64],
            2 => frame(&vec![0x1a; 5_000]),
            // Cut before the end of its arguments.
            3 => frame(&beat[4..4 + i % (beat.len() - 12)]),
            _ => frame(b""),
        };
        // It may close before all of it is sent.
        let _ = stream.write_all(&sent).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = soon("its end", stream.read_to_end(&mut rest)).await;
    }
    assert_eq!(server.get("/v1/apps").await.body["revision"], revision);
    assert_eq!(server.log().lines().filter(|line| line.contains("WARN")).count(), 0);
    // Half a frame is waited for, and not for ever.
    let mut half = connect(&server).await;
    half.write_all(&beat[..20]).await.unwrap();
    let began = Instant::now();
    let mut rest = Vec::new();
    let _ = soon("its end", half.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    let took = began.elapsed();
    assert!((9..15).contains(&took.as_secs()), "{took:?}");
    assert!(returns(&call(&mut good, &beat).await, ZERO));
    shows(&server, HELLO, "100 17890 10-0-0-1-17890").await;
}

/// A client of Tars itself, with a proxy as tars2node makes it of NodeF.tars.
const NODE: &str = r#"
    const Tars = require("@tars/rpc"), Stream = require("@tars/stream");
    class ServerInfo {
        constructor(fields) { Object.assign(this, fields); }
        _writeTo(os) {
            os.writeString(0, this.application);
            os.writeString(1, this.serverName);
            os.writeInt32(2, this.pid);
            os.writeString(3, this.adapter);
        }
    }
    class ServerFProxy {
        keepAlive(info) {
            const os = new Stream.TarsOutputStream();
            os.writeStruct(1, info);
            const decode = ({ response }) =>
                new Stream.TarsInputStream(response.sBuffer).readInt32(0, true, 0);
            return this._worker.tars_invoke("keepAlive", os.getBinBuffer(), [{}]).then(decode);
        }
    }
    ServerFProxy._classname = "tars.ServerF";
    const [host, port] = process.argv[1].split(":");
    const at = `tars.tarsnode.ServerObj@tcp -h ${host} -p ${port} -t 60000`;
    const node = Tars.client.stringToProxy(ServerFProxy, at);
    const call = serverName => node.keepAlive(new ServerInfo({
        application: "TestApp", serverName, pid: process.pid, adapter: `TestApp.${serverName}.HelloObjAdapter`,
    }));
    Promise.all([call("HelloServer"), call("NoServer")]).then(
        codes => { console.log(JSON.stringify(codes)); process.exit(0); },
        error => { console.error(error); process.exit(1); });
"#;

#[tokio::test]
async fn with_node_tars_keep_alives_are_answered() {
    let server = Home::with_config(&TARS.replace("\"2s\"", "\"20s\"")).start(&[]).await;
    let mut program = node(NODE);
    program.arg(address(&server, "tars").to_string());
    assert_eq!(run(program).await.done().trim(), "[0,-1]");
    shows(&server, HELLO, "100 17890 10-0-0-1-17890").await;
}

#[tokio::test]
async fn leases_end_with_a_server_that_is_gone_and_not_before_it_is_back() {
    let etcd = Etcd::start().await;
    let home = Home::with_config(&TARS.replace("\"2s\"", "\"6s\""));
    let flags = ["--etcd", &*etcd.url()];
    let other = Home::new().start(&flags).await;
    let node = home.start(&flags).await;
    let beat = php("keepAlive", "HelloServer", 1, "TestApp.HelloServer.HelloObjAdapter");
    assert!(returns(&call(&mut connect(&node).await, &beat).await, ZERO));
    shows(&other, HELLO, "100 17890 10-0-0-1-17890").await;
    let serial = other.serial("svc").await;
    node.kill().await;
    // Back before the time-out, and heard of again: nobody noticed.
    let node = home.start(&flags).await;
    assert!(returns(&call(&mut connect(&node).await, &beat).await, ZERO));
    assert_eq!(other.serial("svc").await, serial);
    node.kill().await;
    until("its lease ends", async || is_gone(&other, HELLO).await).await;
}
