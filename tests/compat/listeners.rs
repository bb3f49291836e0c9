//! What all listeners have in common: where they are, who is let in, and what keeps a server from starting.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::http::{Http, raw};
use crate::support::server::{Home, Server};
use crate::support::soon;
use crate::tars::php;

/// Where a listener is.
pub(crate) fn address(server: &Server, listener: &str) -> SocketAddr {
    let address = server.listening("compat")[listener].clone();
    serde_json::from_value(address).unwrap_or_else(|why| panic!("no {listener} listener: {why}"))
}

#[tokio::test]
async fn a_listener_is_there_only_where_it_is_configured() {
    let none = Home::new().start(&[]).await;
    assert_eq!(none.listening("compat"), &serde_json::json!({}));
    let home = Home::with_config(
        "[compat.haunt]\nlisten = \"127.0.0.1:0\"\n[compat.tars]\nlisten = \"127.0.0.1:0\"",
    );
    let server = home.start(&[]).await;
    let listed = server.listening("compat").as_object().unwrap();
    assert_eq!(listed.keys().collect::<Vec<_>>(), ["haunt", "tars"]);
    let mut open = Vec::new();
    for listener in ["haunt", "tars"] {
        let address = address(&server, listener);
        assert!(address.port() != 0 && address.ip().is_loopback());
        open.push(TcpStream::connect(address).await.unwrap());
    }
    // Connections that say nothing keep nobody from ending.
    assert_eq!(server.stop().await, 0);
    let log = std::fs::read_to_string(home.path("log")).unwrap();
    assert!(log.contains("stopped") && !log.contains("cut"), "{log}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap();
    let home = Home::with_config(&format!("[compat.consul]\nlisten = \"{listen}\""));
    let refused = home.refuse(&[]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let advice = "address in use: stop the program that listens there or choose another port";
    let why = format!("cannot bind consul listener {listen}: {advice}");
    assert!(refused.said.contains(&why), "{refused:?}");
}

#[tokio::test]
async fn strangers_are_not_let_in_by_oversight() {
    let open = "[compat.haunt]\nlisten = \"0.0.0.0:0\"\n";
    let refused = Home::with_config(open).refuse(&[]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let why = "rollcall.toml:3: compat.haunt.listen: 0.0.0.0:0 is beyond loopback, and these calls know no tokens";
    assert!(refused.said.contains(why), "{refused:?}");
    // What is allowed is allowed besides loopback.
    let server = Home::with_config(&format!("{open}allow = [\"10.0.0.0/8\"]")).start(&[]).await;
    let port = address(&server, "haunt").port();
    let mut http = Http::connect(([127, 0, 0, 1], port).into()).await.unwrap();
    assert_eq!(http.send("GET", "/", None).await.unwrap().status, 404);
}

#[tokio::test]
async fn pages_in_browsers_are_sent_away() {
    let home = Home::with_config("[compat.haunt]\nlisten = \"127.0.0.1:0\"");
    let server = home.start(&[]).await;
    let address = address(&server, "haunt");
    for header in ["Origin: https://example.org", "Sec-Fetch-Site: cross-site"] {
        let request = format!(
            "POST /register HTTP/1.1\r\nhost: {address}\r\n{header}\r\nconnection: close\r\n\
             content-type: text/plain\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let reply = raw(address, request).await;
        assert!(reply.starts_with("HTTP/1.1 403 "), "{header}: {reply}");
    }
}

#[tokio::test]
async fn pages_that_lead_a_name_of_theirs_here_are_sent_away() {
    let config = "[compat.haunt]\nlisten = \"127.0.0.1:0\"\n[compat.consul]\nlisten = \"127.0.0.1:0\"\n\
                  [http]\nhosts = [\"sd.example\"]";
    let server = Home::with_config(config).start(&[]).await;
    let own = nix::unistd::gethostname().unwrap().into_string().unwrap();
    for listener in ["haunt", "consul"] {
        let address = address(&server, listener);
        let port = address.port();
        let status = async |request: String| {
            let reply = raw(address, request).await;
            reply.split(' ').nth(1).unwrap().to_owned()
        };
        let get = async |target: &str, host: &str| {
            status(format!("GET {target} HTTP/1.1\r\n{host}connection: close\r\n\r\n")).await
        };
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example"] {
            let at_port = format!("host: {host}:{port}\r\n");
            assert_eq!(get("/none", &at_port).await, "421", "{listener} {host}");
            assert_eq!(
                get("/none", &format!("host: {host}\r\n")).await,
                "421",
                "{listener} {host}"
            );
            let absolute = format!("http://{host}/none");
            assert_eq!(get(&absolute, "host: localhost\r\n").await, "421", "{listener} {host}");
        }
        let twice = "host: localhost\r\nhost: localhost\r\n";
        assert_eq!(get("/none", twice).await, "400");
        for host in
            ["127.0.0.1", "10.0.0.7", "[::1]", "localhost", "LOCALHOST.", "sd.example", &own]
        {
            for port in [String::new(), format!(":{port}")] {
                let header = format!("host: {host}{port}\r\n");
                assert_eq!(get("/none", &header).await, "404", "{listener} {host}{port}");
            }
        }
        // What is older than HTTP/1.1 need not say it, and no browser is.
        assert_eq!(status("GET /none HTTP/1.0\r\n\r\n".to_owned()).await, "404");
    }
}

#[tokio::test]
async fn connections_that_say_nothing_shut_nobody_out() {
    let config =
        "[compat.haunt]\nlisten = \"127.0.0.1:0\"\n[compat.tars]\nlisten = \"127.0.0.1:0\"";
    let server = Home::with_config(config).start(&[]).await;
    for listener in ["haunt", "tars"] {
        let address = address(&server, listener);
        let mut silent = Vec::new();
        for _ in 0..rollcall::compat::CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        let call = match listener {
            "haunt" => b"GET /none HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
            _ => php("tars_ping", "", 0, ""),
        };
        stream.write_all(&call).await.unwrap();
        let read = soon("a reply", stream.read(&mut [0; 64])).await.unwrap();
        assert!(read > 0, "{listener}");
        // Who came first went first.
        let gone = soon("an end", silent[0].read(&mut [0; 1])).await.unwrap();
        assert_eq!(gone, 0, "{listener}");
        let metrics = server.get("/metrics").await.body;
        let counted = format!("rollcall_compat_crowded_out_total{{listener=\"{listener}\"}} 1\n");
        assert!(metrics.as_str().unwrap().contains(&counted), "{metrics}");
    }
}

#[tokio::test]
async fn what_can_never_work_is_said_before_anything_runs() {
    for (config, why) in [
        ("[compat.haunt]\nlisten = \"127.0.0.1\"", "compat.haunt.listen: must be an IP address"),
        (
            "[compat.haunt]\nport = 1",
            "compat.haunt.port: there is no such setting, did you mean 'listen'?",
        ),
        ("[compat.hunt]", "compat.hunt: there is no such setting, did you mean 'haunt'?"),
        ("[compat.consul]\nallow = [\"x\"]", "compat.consul.allow[0]: is no network"),
        (
            "[compat.haunt]\nnamespace = \"other\"",
            "compat.haunt.namespace: no zone here serves namespace other: add a [[zone]]",
        ),
        (
            "[[zone]]\nname = \"svc.\"\nnamespace = \"other\"\n[compat.consul]",
            "compat.consul.namespace: no zone here serves namespace default",
        ),
        (
            "[compat.haunt]\nlisten = \"127.0.0.1:7\"\n[compat.tars]\nlisten = \"127.0.0.1:7\"",
            "compat.tars.listen: is compat.haunt.listen too: both want 127.0.0.1:7 over TCP",
        ),
        ("[compat.tars]\ntimeout = \"1s\"", "compat.tars.timeout: must be 2s to 40m"),
        (
            "[[compat.tars.adapter]]\nobject = \"A.B.C\"\nendpoints = \"tcp -h * -p 1\"",
            "compat.tars.adapter[0].endpoints: -h * stands for every address",
        ),
        (
            "[[compat.tars.adapter]]\nobject = \"A.B\"",
            "compat.tars.adapter[0].endpoints: is missing, for example: endpoints = \"tcp",
        ),
        (
            "[[compat.tars.adapter]]\nobject = \"A.B.C\"\nendpoints = \"tcp -h 10.0.0.1 -p 1\"\n\
             [[compat.tars.adapter]]\nobject = \"A.B.C\"\nendpoints = \"tcp -h 10.0.0.2 -p 1\"",
            "compat.tars.adapter[1].object: adapter A.B.CAdapter is declared twice",
        ),
    ] {
        let refused = Home::with_config(config).refuse(&[]).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.said.contains(why), "{config}: {}", refused.said);
    }
}
