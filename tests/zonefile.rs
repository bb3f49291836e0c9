//! What is read of a zone file can be answered: every record, by its name and type.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use rollcall::zone::zonefile::ZoneFile;
use rollcall::zone::{Catalogue, ZoneName, ZoneSettings};

const APEX: &str = "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\n";
const OWNERS: [&str; 12] =
    ["@", "a", "b.a", "*", "*.a", "x.*.c", "_x._tcp", "a\\.b", "\\000\\255", "A", "svc.", "a.svc."];
const DATA: [&str; 22] = [
    "A 192.0.2.1",
    "AAAA ::1",
    "CNAME @",
    "MX 1 a",
    "TXT \"\" \"x y\" z\\255",
    "SRV 1 2 3 b",
    "NS b",
    "PTR a..b",
    "SOA ns host 1 2 3 4 5",
    "NAPTR 1 2 s SIP+D2U \"\" @",
    "CAA 0 issue \"ca\"",
    "SVCB 1 . alpn=h2 port=53",
    "HTTPS 0 b",
    "HINFO x y",
    "RP @ @",
    "TLSA 3 1 1 00",
    "SSHFP 1 1 00",
    "OPENPGPKEY AQID",
    "IPSECKEY 10 3 2 @ AQ==",
    "TYPE65280 \\# 0",
    "TYPE65280 \\# 2 0102",
    "LOC \\# 16 00000000000000000000000000000000",
];

/// Asks for each record over TCP, where all fit.
fn all_are_answered(file: ZoneFile) -> Result<(), TestCaseError> {
    let zone = ZoneName::default();
    let file = Arc::new(file);
    let settings =
        ZoneSettings { namespace: None, file: Some(file.clone()), ..ZoneSettings::default() };
    let snapshot = Catalogue::new(&[settings], &[], &[]).compile(&|| Duration::ZERO).snapshot;
    let policy = Policy::default();
    let ask = Ask {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        transport: Transport::Tcp,
        now_secs: 0,
        draw: 7,
        stale: false,
        slip: false,
        policy: &policy,
    };
    let mut out = Out::new();
    for record in &file.records {
        let mut query = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend_from_slice(&record.owner);
        query.extend_from_slice(zone.wire());
        query.extend_from_slice(&record.rtype.to_be_bytes());
        query.extend_from_slice(&[0, 1]);
        let Verdict::Reply(length) = answer(&snapshot, &ask, &query, &mut out) else {
            return Err(TestCaseError::fail(format!("{record:?}: no reply")));
        };
        let reply = out.octets(length);
        prop_assert_eq!(&reply[2..4], [0x84, 0], "{:?}: not NOERROR, qr and aa", record);
        let set = |one: &&_| {
            let one: &rollcall::zone::zonefile::StaticRecord = one;
            one.owner == record.owner && one.rtype == record.rtype
        };
        let answers = u16::from_be_bytes([reply[6], reply[7]]);
        prop_assert_eq!(usize::from(answers), file.records.iter().filter(set).count());
        // The serial of the SOA is ours.
        let data = if record.rtype == 6 { &record.data[..8] } else { &record.data[..] };
        let found = data.is_empty() || reply.windows(data.len()).any(|octets| octets == data);
        prop_assert!(found, "{:?}", record);
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_read_is_answered(
        records in proptest::collection::vec((0..OWNERS.len(), 0..DATA.len(), 0_u32..3), 0..12),
    ) {
        // What can't stand beside the others is left out, one record at a time.
        let parse = |text: &str| ZoneFile::parse(Path::new("svc.zone"), text, &ZoneName::default());
        let mut text = APEX.to_owned();
        let mut read = parse(&text).unwrap();
        for (owner, data, ttl) in records {
            let next = format!("{text}{} {} {}\n", OWNERS[owner], 60 + ttl / 2, DATA[data]);
            if let Ok(file) = parse(&next) {
                (text, read) = (next, file);
            }
        }
        all_are_answered(read)?;
    }
}
