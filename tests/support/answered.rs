//! Whether all records of a zone file are answered: what tests and the fuzz target of zone files both ask.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use rollcall::zone::zonefile::{StaticRecord, ZoneFile};
use rollcall::zone::{Catalogue, Snapshot, ZoneName, ZoneSettings};

const SOA: u16 = 6;
/// The numbers at the end of an SOA's data, of which the first is the serial, which is ours.
const SOA_NUMBERS_OCTETS: usize = 20;

/// Asks for each record of a file of the default zone, the first so many of them, over TCP, where all of a small file
/// fit; and panics where an answer lacks the record, or has other than all of its set.
pub(crate) fn all_are_answered(file: ZoneFile, asked_max: usize) {
    let file = Arc::new(file);
    let settings =
        ZoneSettings { namespace: None, file: Some(file.clone()), ..ZoneSettings::default() };
    let snapshot = Catalogue::new(&[settings], &[], &[]).compile(&|| Duration::ZERO).snapshot;
    let mut out = Out::new();
    for record in file.records.iter().take(asked_max) {
        let of_set = |one: &&StaticRecord| one.owner == record.owner && one.rtype == record.rtype;
        let set = file.records.iter().filter(of_set).count();
        is_answered(&snapshot, record, set, &mut out);
    }
}

fn is_answered(snapshot: &Snapshot, record: &StaticRecord, set: usize, out: &mut Out) {
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
    let answers = usize::from(u16::from_be_bytes([reply[6], reply[7]]));
    assert_eq!(answers, set, "other than its set: {record:?}");
    let data = match record.rtype {
        SOA => &record.data[..record.data.len() - SOA_NUMBERS_OCTETS],
        _ => &record.data[..],
    };
    let found = data.is_empty() || reply.windows(data.len()).any(|octets| octets == data);
    assert!(found, "not in the answer: {record:?}");
}
