//! What is read of a zone file can be answered: every record, by its name and type.

#[path = "support/answered.rs"]
mod answered;

use std::path::Path;

use proptest::prelude::*;
use rollcall::zone::ZoneName;
use rollcall::zone::zonefile::ZoneFile;

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
        answered::all_are_answered(read, usize::MAX);
    }
}
