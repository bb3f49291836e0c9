//! dig, as people use it.

use crate::program::printed;
use crate::space::Space;
use crate::support::server::Home;
use crate::world::{PORT_53, many, two};

/// Asks the server on port 53; white space made single.
async fn dig(question: &str) -> String {
    let arguments: Vec<_> = ["@127.0.0.1"].into_iter().chain(question.split(' ')).collect();
    let said = printed("dig", &arguments).await;
    said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[tokio::test]
async fn with_dig_a_service_has_its_instances_and_their_addresses() {
    let _space = Space::enter();
    let _server = two(&PORT_53).await;
    let short = dig("+short SRV _nova._tcp.app.svc").await;
    let mut lines: Vec<_> = short.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["10 100 8001 i-1.app.svc.", "10 100 8002 i-2.app.svc."]);
    let whole = dig("SRV _nova._tcp.app.svc").await;
    let (_, additional) = whole.split_once(";; ADDITIONAL SECTION:").expect("additional records");
    for record in ["i-1.app.svc. 5 IN A 10.9.0.1", "i-1.app.svc. 5 IN AAAA fd00::9:1"] {
        assert!(additional.contains(record), "{record} is not in {additional}");
    }
    let (a, aaaa) = (additional.find("A 10.9.0.1"), additional.find("AAAA fd00::9:1"));
    assert!(a < aaaa, "HAProxy takes the family of the first: {additional}");
}

#[tokio::test]
async fn with_dig_forty_instances_are_cut_over_udp_and_whole_over_tcp() {
    let _space = Space::enter();
    let server = Home::new().start(&PORT_53).await;
    many(&server, "app", 40).await;
    let cut = dig("+ignore +bufsize=512 SRV _nova._tcp.app.svc").await;
    let flags = cut.lines().find(|line| line.starts_with(";; flags:")).expect("flags");
    assert!(flags.contains(" tc"), "{flags}");
    let size = cut.lines().find_map(|line| line.strip_prefix(";; MSG SIZE rcvd: "));
    let size: usize = size.expect("a size").parse().unwrap();
    assert!(cut.contains("IN SRV 10 100 9000 i-") && size <= 512, "{cut}");
    let whole = dig("+short SRV _nova._tcp.app.svc").await;
    assert_eq!(whole.lines().filter(|line| line.starts_with("10 100")).count(), 40, "{whole}");
}
