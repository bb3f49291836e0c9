//! PHP, whose `dns_get_record` asks for everything there is when told to.

use serde_json::{Value, json};

use crate::program::{example, printed};
use crate::space::Space;
use crate::world::{PORT_53, counted, two};

/// What an expression of PHP gives.
async fn php(expression: &str) -> Value {
    let script = format!("echo json_encode({expression});");
    let said = printed("php", &["-d", "display_errors=stderr", "-r", &script]).await;
    serde_json::from_str(&said).unwrap_or_else(|why| panic!("{expression}: {why}: {said}"))
}

#[tokio::test]
async fn with_php_services_and_hosts_are_found() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let _server = two(&PORT_53).await;
    let mut found = php("dns_get_record('_nova._tcp.app.svc', DNS_SRV)").await;
    found.as_array_mut().unwrap().sort_by_key(|record| record["target"].to_string());
    let (host, class) = ("_nova._tcp.app.svc", "IN");
    let record = |target: &str, port: u16| {
        json!({"host": host, "class": class, "ttl": 5, "type": "SRV",
               "pri": 10, "weight": 100, "port": port, "target": target})
    };
    assert_eq!(found, json!([record("i-1.app.svc", 8001), record("i-2.app.svc", 8002)]));
    let short = php("count(dns_get_record('_nova._tcp.app', DNS_SRV))").await;
    assert_eq!(short, 2, "by the search list");
    assert_eq!(php("gethostbyname('i-2.app')").await, "10.9.0.2");
    assert_eq!(php("count(gethostbynamel('app'))").await, 2);
    assert_eq!(php("dns_get_record('nope.svc.', DNS_A)").await, json!([]));
}

#[tokio::test]
async fn with_php_no_type_stays_without_an_answer() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let server = two(&PORT_53).await;
    // Asks a dozen types in turn, A6, HINFO and NAPTR among them; one without an answer is an error in PHP.
    let all = php("dns_get_record('i-1.app.svc.', DNS_ALL)").await;
    let types: Vec<_> = all.as_array().expect("records").iter().map(|r| &r["type"]).collect();
    assert!(types.contains(&&json!("A")) && types.contains(&&json!("AAAA")), "{all}");
    let any = php("dns_get_record('i-1.app.svc.', DNS_ANY)").await;
    assert!(any.as_array().is_some_and(|records| !records.is_empty()), "{any}");
    // With places for the authority and additional records, ANY is asked besides.
    let script = "(function () {
        $found = dns_get_record('_nova._tcp.app.svc', DNS_SRV, $authority, $additional);
        return count($found);
    })()";
    assert_eq!(php(script).await, 2);
    for rcode in ["NOTIMP", "FORMERR", "REFUSED", "SERVFAIL", "NXDOMAIN"] {
        let said = format!("rollcall_dns_responses_total{{proto=\"udp\",rcode=\"{rcode}\"");
        assert_eq!(counted(&server, &said).await, 0, "{rcode}");
    }
    assert_eq!(counted(&server, "rollcall_dns_dropped_total").await, 0);
}
