//! The resolver of glibc, by getent and by Python: what most programs of a Debian or a Red Hat ask with.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::program::{example, lines, printed};
use crate::space::Space;
use crate::support::server::{Home, Server};
use crate::world::{PORT_53, counted, lasting, many, tell, two};

/// The distinct addresses that `getent ahosts` prints.
pub(crate) async fn ahosts(name: &str) -> BTreeSet<String> {
    let lines = lines("getent", &["ahosts", name]).await;
    lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// What Python's `socket.getaddrinfo` gives: the sorted addresses, or the name of the error.
async fn getaddrinfo(name: &str, family: &str) -> String {
    let script = "
import socket, sys
names = {getattr(socket, n): n for n in ('EAI_NODATA', 'EAI_NONAME', 'EAI_AGAIN', 'EAI_FAIL')}
try:
    found = socket.getaddrinfo(sys.argv[1], 80, getattr(socket, sys.argv[2]), socket.SOCK_STREAM)
    print(*sorted({address[4][0] for address in found}))
except socket.gaierror as error:
    print(names[error.errno])
";
    printed("python3", &["-c", script, name, family]).await.trim().to_owned()
}

#[tokio::test]
async fn with_getent_every_instance_is_found_by_its_short_name() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let _server = two(&PORT_53).await;
    let all = ["10.9.0.1", "10.9.0.2", "fd00::9:1"].map(str::to_owned);
    let began = Instant::now();
    assert_eq!(ahosts("app").await, all.clone().into());
    tell("getent ahosts app", began.elapsed());
    assert_eq!(ahosts("app.svc").await, all.clone().into());
    assert_eq!(ahosts("APP.svc.").await, all.into());
    assert_eq!(ahosts("i-2.app").await, ["10.9.0.2".to_owned()].into());
}

#[tokio::test]
async fn with_python3_a_family_that_is_missing_is_no_address_at_once() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let server = Home::new().start(&PORT_53).await;
    server.register("app", "i-1", lasting("10.9.0.1", 80)).await;
    let began = Instant::now();
    assert_eq!(getaddrinfo("app", "AF_INET6").await, "EAI_NODATA");
    assert_eq!(getaddrinfo("app", "AF_UNSPEC").await, "10.9.0.1");
    assert_eq!(getaddrinfo("app", "AF_INET").await, "10.9.0.1");
    assert_eq!(getaddrinfo("nope.svc", "AF_UNSPEC").await, "EAI_NONAME");
    tell("four times python3 with getaddrinfo", began.elapsed());
}

#[tokio::test]
async fn with_python3_a_hundred_addresses_come_over_tcp() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let server = Home::new().start(&PORT_53).await;
    many(&server, "app", 100).await;
    let found = getaddrinfo("app", "AF_UNSPEC").await;
    assert_eq!(found.split(' ').count(), 100, "{found}");
    let connections =
        counted(&server, "rollcall_dns_tcp_connections_total{proto=\"tcp\",outcome=\"accepted\"}")
            .await;
    let asked = counted(&server, "rollcall_dns_requests_total{proto=\"tcp\"").await;
    assert!(connections > 0, "the answer does not fit a datagram of 512 octets");
    assert_eq!(asked, 2 * connections, "both questions on one connection");
}

#[tokio::test]
async fn with_python3_and_use_vc_nothing_goes_over_udp() {
    let space = Space::enter();
    space.resolv_conf(&format!("{}options use-vc\n", example("resolv.conf.direct")));
    let server = two(&PORT_53).await;
    assert_eq!(getaddrinfo("app", "AF_UNSPEC").await, "10.9.0.1 10.9.0.2 fd00::9:1");
    assert_eq!(counted(&server, "rollcall_dns_requests_total{proto=\"udp\"").await, 0);
    assert!(counted(&server, "rollcall_dns_requests_total{proto=\"tcp\"").await > 0);
}

#[tokio::test]
async fn with_python3_and_edns0_and_trust_ad_nothing_changes() {
    let space = Space::enter();
    space.resolv_conf(&format!("{}options edns0 trust-ad\n", example("resolv.conf.direct")));
    let server = two(&PORT_53).await;
    assert_eq!(getaddrinfo("app", "AF_UNSPEC").await, "10.9.0.1 10.9.0.2 fd00::9:1");
    assert_eq!(getaddrinfo("nope.svc", "AF_UNSPEC").await, "EAI_NONAME");
    assert_eq!(
        counted(&server, "rollcall_dns_responses_total{proto=\"udp\",rcode=\"FORMERR\"").await,
        0
    );
}

#[tokio::test]
async fn with_getent_names_of_others_come_from_the_second_server() {
    let space = Space::enter();
    space.addresses(&["192.0.2.53"]);
    space.resolv_conf(&example("resolv.conf.second-server"));
    let _server = two(&PORT_53).await;
    let _other = ordinary("192.0.2.53:53").await;
    assert_eq!(ahosts("i-2.app.svc").await, ["10.9.0.2".to_owned()].into());
    assert_eq!(ahosts("www.example.net").await, ["93.184.215.14".to_owned()].into());
}

/// A server of other names, `www.example.net` among them: a stand-in for the ordinary name server of a host. The
/// address is no example's: dnsmasq takes those for private ones, which nobody outside may have.
pub(crate) async fn ordinary(address: &str) -> Server {
    let home =
        Home::with_config("[[zone]]\nname = \"example.net.\"\nnamespace = \"\"\nfile = \"net\"\n");
    home.write(
        "zones/net",
        "$TTL 60\n@ SOA ns host 1 3600 600 86400 5\n@ NS ns\nns A 192.0.2.53\nwww A 93.184.215.14\n",
    );
    home.start(&["--dns", address]).await
}
