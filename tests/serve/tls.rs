//! The real binary with certificates: all transports, files that change, other people's clients, the API.

use std::path::Path;
use std::process::Command;

use hickory_proto::rr::RecordType;
use serde_json::json;

use crate::encrypted::{self, World, read_message, write_messages};
use crate::support::certificates;
use crate::support::server::{Home, Ran, Server, run};
use crate::support::{soon, until};

/// A question for the address of `greeter.svc`.
const QUERY: &[u8] =
    b"\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07greeter\x03svc\x00\x00\x01\x00\x01";

/// A server with all encrypted transports of DNS, and one instance registered.
async fn start(world: &World, more: &str) -> Server {
    let folder = world.folder().display();
    let home = Home::with_config(&format!(
        "[tls]\ncert_file = \"{folder}/cert.pem\"\nkey_file = \"{folder}/key.pem\"\n\
         [dns.tls]\nlisten = [\"127.0.0.1:0\"]\n[dns.https]\nlisten = [\"127.0.0.1:0\"]\n\
         [dns.quic]\nlisten = [\"127.0.0.1:0\"]\n[dns.h3]\nlisten = [\"127.0.0.1:0\"]\n{more}"
    ));
    let server = home.start(&[]).await;
    server.register("greeter", "a", json!({"address": "10.0.0.1", "port": 9000})).await;
    server
}

#[tokio::test]
async fn certificates_are_followed_and_a_broken_one_is_not() {
    let world = World::new();
    let server = start(&world, "").await;
    let at = server.address_of("dns_tls");
    let mut old = soon("a handshake", world.connect(at, &["dot"])).await.unwrap();

    // Whoever is connected now trusts another authority, so that only a new certificate will do.
    certificates::make(world.folder(), encrypted::NAME);
    until("the new certificate is used", async || world.connect(at, &["dot"]).await.is_ok()).await;
    let https = server.address_of("dns_https");
    let reply = soon("an answer over HTTPS", world.get(https, QUERY)).await.unwrap();
    assert_eq!(reply[6..8], [0, 1]);
    write_messages(&mut old, &[QUERY]).await;
    let reply = soon("an answer on the old connection", read_message(&mut old)).await;
    assert_eq!(reply[6..8], [0, 1]);

    std::fs::write(world.folder().join("key.pem"), "no key\n").unwrap();
    let warned = "cannot use the new certificate: going on with the old one";
    until("a warning", async || server.log().contains(warned)).await;
    assert!(server.log().contains("key.pem: holds no private key"), "{}", server.log());
    // Whoever shares the files, and however often they are looked at.
    assert_eq!(server.log().matches(warned).count(), 1, "{}", server.log());
    assert!(world.connect(at, &["dot"]).await.is_ok());
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn an_expired_certificate_and_a_broken_key_can_be_alerted_on() {
    let home = Home::with_config(
        "[dns.tls]\nlisten = [\"127.0.0.1:0\"]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n",
    );
    let key = rcgen::KeyPair::generate().unwrap();
    let mut own = rcgen::CertificateParams::new(vec![encrypted::NAME.to_owned()]).unwrap();
    own.not_before = rcgen::date_time_ymd(2_020, 1, 1);
    own.not_after = rcgen::date_time_ymd(2_021, 1, 1);
    home.write("cert.pem", &own.self_signed(&key).unwrap().pem());
    home.write("key.pem", &key.serialize_pem());
    let server = home.start(&[]).await;
    let told = "WARN rollcall::serve::certificates: cert.pem: the certificate expired on 2021-01-01T00:00:00Z";
    assert!(server.log().contains(told), "{}", server.log());
    let metrics = async || server.get("/metrics").await.body.to_string().replace("\\\"", "\"");
    let said = metrics().await;
    let end = "rollcall_tls_certificate_not_after_seconds{listener=\"tls\"} 1609459200";
    let good = |yes: u8| format!("rollcall_tls_last_reload_successful{{listener=\"tls\"}} {yes}");
    assert!(said.contains(end) && said.contains(&good(1)), "{said}");
    assert!(!said.contains("listener=\"https\""), "{said}");
    home.write("key.pem", "no key\n");
    server.hang_up();
    until("the metric says so", async || metrics().await.contains(&good(0))).await;
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_broken_certificate_is_no_start() {
    let world = World::new();
    let config = |cert: &str, key: &str| {
        Home::with_config(&format!(
            "[dns.tls]\nlisten = [\"127.0.0.1:0\"]\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\n"
        ))
    };
    let cert = world.folder().join("cert.pem").display().to_string();
    let refused = config("none.pem", "none.key").refuse(&[]).await;
    let why = "rollcall.toml:4: dns.tls.cert_file: none.pem: cannot be read: no such file";
    assert!(refused.code == 1 && refused.said.contains(why), "{refused:?}");
    let refused = config(&cert, &cert).refuse(&[]).await;
    let why = format!("rollcall.toml:5: dns.tls.key_file: {cert}: holds no private key");
    assert!(refused.code == 1 && refused.said.contains(&why), "{refused:?}");
}

#[tokio::test]
async fn metrics_tell_the_transports_apart() {
    let world = World::new();
    let server = start(&world, "").await;
    let tls = server.address_of("dns_tls");
    soon("an answer over TLS", world.over_tls(tls, &[QUERY])).await;
    soon("an answer", world.get(server.address_of("dns_https"), QUERY)).await;
    soon("an answer", world.over_quic(server.address_of("dns_quic"), QUERY)).await;
    soon("an answer", world.over_h3(server.address_of("dns_h3"), QUERY)).await;
    // Not a line of what carries QUIC, whatever clients send.
    let cut = world.dial(server.address_of("dns_quic"), "doq").await;
    let (mut send, mut receive) = cut.open_bi().await.unwrap();
    send.write_all(&[0, 40, 0]).await.unwrap();
    send.finish().unwrap();
    soon("an end", receive.read_to_end(9)).await.ok();
    soon("the connection's end", cut.closed()).await;
    assert!(!server.log().contains("quic stream"), "{}", server.log());
    let metrics = server.get("/metrics").await.body.to_string();
    for expected in [
        "rollcall_dns_requests_total{proto=\\\"tls\\\",type=\\\"A\\\"} 1",
        "rollcall_dns_requests_total{proto=\\\"https\\\",type=\\\"A\\\"} 1",
        "rollcall_dns_requests_total{proto=\\\"quic\\\",type=\\\"A\\\"} 1",
        "rollcall_dns_requests_total{proto=\\\"h3\\\",type=\\\"A\\\"} 1",
        "rollcall_dns_tcp_connections_total{proto=\\\"tls\\\",outcome=\\\"accepted\\\"} 1",
        "rollcall_dns_tcp_connections_total{proto=\\\"https\\\",outcome=\\\"accepted\\\"} 1",
    ] {
        assert!(metrics.contains(expected), "{expected}\n{metrics}");
    }
}

#[tokio::test]
async fn answers_to_with_kdig() {
    let world = World::new();
    let server = start(&world, "").await;
    let ca = format!("+tls-ca={}", world.folder().join("ca.pem").display());
    let name = format!("+tls-hostname={}", encrypted::NAME);
    let kdig = async |transport: &str, flags: &[&str]| -> Ran {
        let at = server.address_of(transport);
        let mut kdig = Command::new("kdig");
        kdig.arg(format!("@{}", at.ip())).args(["-p", &at.port().to_string(), "+short"]);
        kdig.args(flags).args([&ca, &name]).args(["greeter.svc", "A"]);
        run(kdig).await
    };
    for (transport, flags) in
        [("dns_tls", &["+tls"][..]), ("dns_https", &["+https"]), ("dns_https", &["+https-get"])]
    {
        let ran = kdig(transport, flags).await;
        assert_eq!((ran.code, ran.out.trim()), (0, "10.0.0.1"), "{flags:?}: {ran:?}");
    }
}

#[tokio::test]
async fn resolves_for_with_curl() {
    let world = World::new();
    let server = start(&world, "[http]\nhosts = [\"api.svc\"]\n").await;
    let port = server.http.port();
    server.register("api", "a", json!({"address": "127.0.0.1", "port": port})).await;
    let mut curl = Command::new("curl");
    let doh =
        format!("https://{}:{}/dns-query", encrypted::NAME, server.address_of("dns_https").port());
    curl.args(["-sS", "--noproxy", "*", "--max-time", "20", "--doh-url", &doh, "--cacert"]);
    curl.arg(world.folder().join("ca.pem")).arg(format!("http://api.svc:{port}/livez"));
    let ran = run(curl).await;
    assert_eq!((ran.code, ran.out.contains("ok")), (0, true), "{ran:?}");
}

/// A server whose API has TLS.
async fn start_api(world: &World, more: &str, flags: &[&str]) -> Server {
    let folder = world.folder().display();
    let home = Home::with_config(&format!(
        "[tls]\ncert_file = \"{folder}/cert.pem\"\nkey_file = \"{folder}/key.pem\"\n[http.tls]\n{more}"
    ));
    home.spawn(flags).await
}

/// A client command to the API under TLS, with the flags that it needs for that.
async fn cli(server: &Server, flags: &[&str], world: Option<&Path>) -> Ran {
    let mut command = server.command(&["ls"]);
    command.env("ROLLCALL_HTTP", format!("https://{}:{}", encrypted::NAME, server.http.port()));
    if let Some(folder) = world {
        command.env("ROLLCALL_CA", folder.join("ca.pem"));
    }
    run({
        command.args(flags);
        command
    })
    .await
}

#[tokio::test]
async fn the_api_is_reached_under_tls_and_not_without() {
    let world = World::new();
    let server = start_api(&world, "", &[]).await;
    let ran = cli(&server, &[], Some(world.folder())).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = cli(&server, &[], None).await;
    assert_eq!(ran.code, 3);
    assert!(
        ran.err.contains("its authority is unknown here: give its authority with --ca"),
        "{ran:?}"
    );
    let ran = server.cli(&["ls"]).await;
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("where it has TLS, write https:// in front of it"), "{ran:?}");
    let none = world.folder().join("none.pem").display().to_string();
    let ran = cli(&server, &["--ca", &none], None).await;
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("--ca: ") && ran.err.contains("no such file"), "{ran:?}");
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn client_certificates_let_clients_in_and_do_as_a_credential() {
    let world = World::new();
    let clients = World::new();
    let ca = format!("client_ca_file = \"{}/ca.pem\"\n", clients.folder().display());
    // Beyond loopback, without any token.
    let server = start_api(&world, &ca, &["--http", "0.0.0.0:0"]).await;
    let file = |world: &World, name: &str| world.folder().join(name).display().to_string();
    let as_of = |world: &World| {
        ["--cert".into(), file(world, "cert.pem"), "--key".into(), file(world, "key.pem")]
    };
    let known = as_of(&clients);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let ran = cli(&server, &known, Some(world.folder())).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let stranger = as_of(&world);
    let stranger: Vec<&str> = stranger.iter().map(String::as_str).collect();
    for flags in [&[][..], &stranger] {
        let ran = cli(&server, flags, Some(world.folder())).await;
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.err.contains("--cert and --key"), "{ran:?}");
    }
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn without_sections_nothing_is_encrypted_and_plain_dns_answers() {
    let server = Home::new().start(&[]).await;
    let listening = |name| server.listening(name).as_array().unwrap().len();
    for transport in ["dns_tls", "dns_https", "dns_quic", "dns_h3"] {
        assert_eq!(listening(transport), 0, "{transport}");
    }
    let at = server.http;
    let ran = server.cli(&["ls", "--http", &format!("https://{at}")]).await;
    let line = format!(
        "rollcall: what answers at {at} has no TLS: leave https:// out (--http / ROLLCALL_HTTP)\n"
    );
    assert_eq!((ran.code, ran.err), (3, line));
    server.ask("svc.", RecordType::SOA).await;
}
