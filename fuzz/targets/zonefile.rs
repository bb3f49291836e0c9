//! Any text is read as a zone file with an SOA and an NS at its apex, all of whose records can be answered; or it is
//! refused, with places in that text.

#![cfg_attr(not(test), no_main)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use rollcall::zone::wire;
use rollcall::zone::zonefile::{FAULTS_MAX, StaticRecord, ZoneFile, ZoneFileErrors};
use rollcall::zone::{Catalogue, Snapshot, ZoneName, ZoneSettings};

const SOA: u16 = 6;
const NS: u16 = 2;
/// Records that are asked for: more would only be more of the same.
const ASKED_MAX: usize = 50;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let lines = text.lines().count();
    match ZoneFile::parse(Path::new("svc.zone"), text, &ZoneName::default()) {
        Ok(file) => {
            let at_apex = |rtype| {
                file.records.iter().filter(|r| r.rtype == rtype && r.owner.is_empty()).count()
            };
            assert_eq!(at_apex(SOA), 1);
            assert!(at_apex(NS) > 0);
            for record in &file.records {
                assert!((1..=lines).contains(&(record.place.line as usize)), "{record:?}");
                assert!(is_relative(&record.owner), "{record:?}");
            }
            all_are_answered(file);
        }
        Err(ZoneFileErrors(errors)) => {
            assert!((1..=FAULTS_MAX).contains(&errors.len()));
            for error in errors {
                assert!(error.line <= lines.max(1), "{error}");
                assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
            }
        }
    }
});

/// Whether a name is made of whole labels.
fn is_relative(name: &[u8]) -> bool {
    let labels = std::iter::successors(wire::split(name), |(_, rest)| wire::split(rest));
    labels.map(|(label, _)| 1 + label.len()).sum::<usize>() == name.len()
}

fn all_are_answered(file: ZoneFile) {
    let file = Arc::new(file);
    let settings = ZoneSettings { namespace: None, file: Some(file.clone()), ..Default::default() };
    let snapshot = Catalogue::new(&[settings], &[], &[]).compile(&|| Duration::ZERO).snapshot;
    let mut out = Out::new();
    for record in file.records.iter().take(ASKED_MAX) {
        is_answered(&snapshot, record, &mut out);
    }
}

/// Over TCP any record fits.
fn is_answered(snapshot: &Snapshot, record: &StaticRecord, out: &mut Out) {
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
    let mut query = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(&record.owner);
    query.extend_from_slice(ZoneName::default().wire());
    query.extend_from_slice(&record.rtype.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    let Verdict::Reply(length) = answer(snapshot, &ask, &query, out) else {
        panic!("no reply for {record:?}");
    };
    let reply = out.octets(length);
    assert_eq!(reply[2..4], [0x84, 0], "not NOERROR, qr and aa: {record:?}");
    assert_ne!(reply[6..8], [0, 0], "no answer: {record:?}");
}
