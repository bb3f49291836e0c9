//! What is registered and what zone files say: something of every kind.
//!
//! Nothing here wants another's name: who gets one is tested elsewhere (`tests/cases/claims.case`).

use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// Static records by zone: owner, TTL, type, data; every name in data in full, so that it reads as decoded.
pub(crate) const STATICS: [(&str, &str); 3] = [
    (
        "svc.",
        "@ 60 SOA ns1.svc. hostmaster.svc. 1 2 3 4 5
         @ 60 NS ns1.svc.
         @ 60 NS ns.elsewhere.example.
         @ 60 MX 10 mx.svc.
         ns1 60 A 192.0.2.53
         ns1 60 AAAA 2001:db8::53
         mx 60 A 192.0.2.25
         www 30 CNAME ns1.svc.
         text 30 TXT \"plain words\"
         odd 30 TYPE65280 \\# 3 010203
         _web._tcp 30 SRV 1 2 3 i-1.few.svc.
         _web._tcp 30 SRV 1 2 4 ns1.svc.
         on.the.way.down 60 A 192.0.2.9",
    ),
    (
        "staging.svc.",
        "@ 20 SOA ns1.svc. hostmaster.svc. 1 2 3 4 50
         @ 20 NS ns1.svc.
         fixed 20 A 192.0.2.77",
    ),
    (
        "plain.example.",
        "@ 300 SOA ns.plain.example. hostmaster.plain.example. 1 2 3 4 7
         @ 300 NS ns.plain.example.
         ns 300 A 192.0.2.66",
    ),
];

/// Time to live of what is registered, and factor of SRV weights, in the zones that have any.
pub(crate) const REGISTERED: [(&str, &str, u32, u16); 2] =
    [("svc.", "default", 5, 1), ("staging.svc.", "staging", 9, 256)];

/// Static records that no datagram of 512 octets holds.
pub(crate) fn pool(zone: &str) -> String {
    let each = (1..=60).map(|n| format!("pool 60 A 192.0.2.{n}\n"));
    if zone == "svc." { each.collect() } else { String::new() }
}

/// The world in the language of cases.
pub(crate) fn text() -> String {
    let mut text = String::new();
    for (zone, records) in STATICS {
        match REGISTERED.iter().find(|(name, ..)| *name == zone) {
            Some((_, namespace, ttl, scale)) => {
                writeln!(text, "zone {zone} {namespace} ttl={ttl} scale={scale}").unwrap();
            }
            None => writeln!(text, "zone {zone} -").unwrap(),
        }
        writeln!(text, "file {zone}").unwrap();
        for line in records.lines().chain(pool(zone).lines()) {
            writeln!(text, "  {}", line.trim()).unwrap();
        }
    }
    text.push_str(concat!(
        r#"instance one/i-1 {"address":"10.0.0.1","port":9000,"meta":{"a":"b","version":"1.4"}}"#, "\n",
        r#"instance few/i-{1..5} {"addresses":["10.1.0.{}","fd00:1::{}"],"port":9000,"tags":["v1"]}"#, "\n",
        r#"instance few/j-{1..2} {"address":"fd00:1:1::{}","port":9001,"tags":["v2","v1"]}"#, "\n",
        r#"instance many/i-{1..40} {"addresses":["10.2.0.{}","fd00:2::{}"],"port":9000,"weight":{},"tags":["v1"]}"#, "\n",
        r#"instance drained/i-{1..3} {"address":"10.3.0.{}","port":9000,"weight":0}"#, "\n",
        r#"instance ranked/a-{1..3} {"address":"10.4.0.{}","port":9000,"priority":5,"weight":0,"tags":["t"]}"#, "\n",
        r#"instance ranked/b-{1..3} {"address":"10.4.1.{}","port":9000,"priority":10,"weight":{},"tags":["t"]}"#, "\n",
        r#"instance ranked/c-{1..3} {"addresses":["10.4.2.{}","fd00:4::{}"],"port":9000,"priority":20,"tags":["u"]}"#, "\n",
        r#"instance split/s-{1..4} {"addresses":["10.5.0.{}","fd00:5::{}"],"tags":["v1"],"endpoints":[{"port":9000},"#,
        r#"{"protocol":"admin","port":9001,"addresses":["10.5.1.{}","fd00:5:1::{}"],"weight":7},"#,
        r#"{"protocol":"nova","transport":"udp","port":9000},{"protocol":"http","port":8080,"weight":1}]}"#, "\n",
        r#"instance wide/w-{1..3} {"addresses":["10.6.0.{}","10.6.1.{}","10.6.2.{}","10.6.3.{}","10.6.4.{}","10.6.5.{}","#,
        r#""10.6.6.{}","10.6.7.{}","fd00:6::{}","fd00:6:1::{}","fd00:6:2::{}","fd00:6:3::{}"],"port":9000}"#, "\n",
        r#"instance below.few/i-{1..2} {"address":"10.7.0.{}","port":9000}"#, "\n",
        r#"instance far.below.nothing/i-{1..2} {"address":"10.8.0.{}","port":9000}"#, "\n",
        r#"instance gone/i-{1..2} {"address":"10.9.0.{}","port":9000}"#, "\n",
        "offline gone\n",
        r#"instance half/i-{1..4} {"address":"10.10.0.{}","port":9000,"tags":["v1"]}"#, "\n",
        "offline half/i-2\n",
        r#"instance shared/i-{1..3} {"address":"10.11.0.1","port":900{}}"#, "\n",
        r#"instance staging:few/i-{1..3} {"addresses":["10.12.0.{}","fd00:12::{}"],"port":9000,"tags":["v1"]}"#, "\n",
    ));
    for n in 0..1_000_u32 {
        let v4 = Ipv4Addr::from_bits(0x0a40_0000 + n);
        writeln!(
            text,
            "instance crowd/i-{n} {{\"addresses\":[\"{v4}\",\"fd00:64::{n}\"],\"port\":9000,\"weight\":{}}}",
            n % 7
        )
        .unwrap();
    }
    text
}
