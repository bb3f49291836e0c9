//! Any octets get no answer or a well-formed one, and every SRV target leads to exactly its instance: over
//! random questions and random registrations, read by hickory's decoder, which shares no code with ours.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use proptest::prelude::*;
use rollcall::dns::answer::cookie::Secrets;
use rollcall::dns::{Ask, Out, Policy, Transport, Verdict, answer};
use rollcall::layout::native::{Keys, PREFIX_DEFAULT};
use rollcall::registry::mirror::{Delta, Kept, News};
use rollcall::registry::{Entry, Origin};
use rollcall::zone::zonefile::ZoneFile;
use rollcall::zone::{AppView, Catalogue, Snapshot, State, ZoneName, ZoneSettings};

/// Octets of a UDP reply to those who do not say what they take (RFC 1035 section 4.2.1).
const PLAIN_OCTETS: usize = 512;

/// Registrations under the default prefix and namespace, compiled at once.
fn snapshot(entries: &[(String, String)]) -> Arc<Snapshot> {
    let keys = Keys::new(PREFIX_DEFAULT);
    let entries: BTreeMap<_, _> = entries.iter().cloned().collect();
    let news = entries.into_iter().map(|(key, value)| {
        let key = format!("{PREFIX_DEFAULT}default/{key}").into();
        let entry = Entry { key, value: value.into(), revision: 1, lease: None };
        let now = Some(Kept { revision: 1, lease: None, parsed: keys.parse(&entry) });
        News { key: entry.key, was: None, now }
    });
    let text = "$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\n@ MX 1 mx\nns1 A 192.0.2.53\nmx A 192.0.2.25\n\
                www CNAME ns1\n_x._tcp SRV 1 1 1 i-1.greeter\ntext TXT \"one\" \"two\"\n";
    let name = ZoneName::default();
    let file = ZoneFile::parse("svc.zone".as_ref(), text, &name).unwrap();
    let zones = [
        ZoneSettings { file: Some(Arc::new(file)), ..ZoneSettings::default() },
        // Its names are its own, and nothing is registered for it.
        ZoneSettings {
            name: "b.greeter.svc".parse().unwrap(),
            namespace: None,
            ..ZoneSettings::default()
        },
    ];
    let mut catalogue = Catalogue::new(&zones, &[], &[]);
    catalogue
        .apply(Origin::NATIVE, &Delta { revision: 1, epoch: 0, whole: true, news: news.collect() });
    catalogue.compile(&|| Duration::ZERO).snapshot
}

/// A world with everything in it: nested apps, tags, marks, endpoints of their own, and sets beyond any message.
static WORLD: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    let one = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut entries = vec![
        one("instances/greeter/i-1", r#"{"address":"10.0.0.7","port":9000,"tags":["v2"]}"#),
        one(
            "instances/greeter/i-2",
            r#"{"addresses":["10.0.0.8","fd00::8"],"weight":0,"tags":["v2","i-1"],"endpoints":[{"port":9000},
                {"protocol":"http","transport":"udp","port":8080,"addresses":["192.0.2.8"]}]}"#,
        ),
        one("instances/b.greeter/i-1", r#"{"address":"fd00::9","port":1}"#),
        one("instances/deep.below.nothing/i-1", r#"{"address":"10.0.0.10","port":1}"#),
        one("instances/www/i-1", r#"{"address":"10.0.0.11","port":1}"#),
        one("instances/marked/i-1", r#"{"address":"10.0.0.12","port":1}"#),
        one("offline/marked/", "{}"),
        one("instances/broken/i-1", "{"),
    ];
    for (app, instances) in [("crowd", 200), ("throng", 2_500)] {
        entries.extend((0..instances).map(|i| {
            let (high, low) = (i / 250, i % 250 + 1);
            let body = format!(
                r#"{{"addresses":["10.1.{high}.{low}","fd00::{i}"],"port":9000,"weight":{low}}}"#
            );
            one(&format!("instances/{app}/i-{i}"), &body)
        }));
    }
    snapshot(&entries)
});

static UNREADY: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    Catalogue::new(&[ZoneSettings::default()], &[], &[]).compile(&|| Duration::ZERO).snapshot
});

fn query(name: &[Vec<u8>], rtype: u16, bufsize: Option<u16>) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(bufsize.is_some())];
    for label in name {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label);
    }
    query.push(0);
    query.extend_from_slice(&rtype.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    if let Some(bufsize) = bufsize {
        query.extend_from_slice(&[0, 0, 41]);
        query.extend_from_slice(&bufsize.to_be_bytes());
        query.extend_from_slice(&[0; 6]);
    }
    query
}

fn labels(name: &str) -> Vec<Vec<u8>> {
    name.split('.').filter(|label| !label.is_empty()).map(|label| label.as_bytes().into()).collect()
}

/// Names that exist, and names near them.
fn any_name() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let word = prop_oneof![
        8 => prop::sample::select(vec![
            "_nova", "_http", "_tcp", "_udp", "_x", "i-1", "i-2", "b", "v2", "deep", "below", "nothing", "greeter",
            "crowd", "throng", "marked", "broken", "www", "text", "ns1", "GREETER", "_services", "*",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..64),
    ];
    let suffix = prop_oneof![
        8 => Just("svc"),
        2 => Just("b.greeter.SVC"),
        1 => Just("example.org"),
        1 => Just(""),
    ];
    (proptest::collection::vec(word, 0..5), suffix).prop_map(|(mut name, suffix)| {
        name.extend(labels(suffix));
        while name.iter().map(|label| label.len() + 1).sum::<usize>() > 254 {
            name.remove(0);
        }
        name
    })
}

fn any_type() -> impl Strategy<Value = u16> {
    prop_oneof![
        9 => prop::sample::select(vec![1_u16, 2, 5, 6, 12, 15, 16, 28, 33, 41, 65, 251, 252, 255]),
        1 => any::<u16>(),
    ]
}

/// A valid query, then some of its octets changed, cut off or added.
fn any_query() -> impl Strategy<Value = Vec<u8>> {
    let valid = (any_name(), any_type(), proptest::option::of(any::<u16>()))
        .prop_map(|(name, rtype, bufsize)| query(&name, rtype, bufsize));
    let changes = prop_oneof![
        Just(Vec::new()),
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ];
    let tail =
        prop_oneof![4 => Just(Vec::new()), 1 => proptest::collection::vec(any::<u8>(), 1..20)];
    let mutated = (
        valid,
        changes,
        tail,
        prop_oneof![4 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)],
    )
        .prop_map(|(mut query, changes, tail, cut)| {
            for (at, octet) in changes {
                let at = at.index(query.len());
                query[at] = octet;
            }
            if let Some(cut) = cut {
                query.truncate(cut.index(query.len()));
            }
            query.extend(tail);
            query
        });
    prop_oneof![9 => mutated, 1 => proptest::collection::vec(any::<u8>(), 0..80)]
}

/// Where the question ends in a message whose first name is not compressed.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        match *message.get(at)? {
            0 => return (message.len() >= at + 5).then_some(at + 5),
            length => at += usize::from(length) + 1,
        }
    }
}

fn check_reply(ask: &Ask<'_>, query: &[u8], reply: &[u8]) -> Result<(), TestCaseError> {
    let mut decoder = BinDecoder::new(reply);
    let message = Message::read(&mut decoder)
        .map_err(|error| TestCaseError::fail(format!("not decodable: {error}: {reply:02x?}")))?;
    prop_assert!(decoder.is_empty(), "octets behind the last record");
    prop_assert_eq!(&reply[..2], &query[..2]);
    prop_assert_eq!(message.metadata.message_type, MessageType::Response);
    // Opcode, RD and CD are copied; RA, Z and AD are clear.
    prop_assert_eq!(reply[2] & 0x79, query[2] & 0x79);
    prop_assert_eq!(reply[3] & 0xf0, query[3] & 0x10);
    match message.queries.len() {
        0 => prop_assert!(message.answers.is_empty() && message.authorities.is_empty()),
        1 => {
            let end = question_end(query).expect("a question that could be read");
            prop_assert_eq!(&reply[12..end], &query[12..end]);
        }
        more => prop_assert!(false, "{more} questions"),
    }
    let asked = Message::from_vec(query).ok().and_then(|asked| asked.edns);
    let limit = match (ask.transport, asked) {
        (transport, _) if !transport.is_datagram() => usize::from(u16::MAX),
        // hickory refuses some messages that we answer; those too keep to our own limit.
        (_, None) if Message::from_vec(query).is_err() => ask.policy.udp_octets_max.into(),
        (_, None) => PLAIN_OCTETS,
        (_, Some(edns)) => {
            usize::from(edns.max_payload().min(ask.policy.udp_octets_max)).max(PLAIN_OCTETS)
        }
    };
    prop_assert!(reply.len() <= limit, "{} octets, {limit} are allowed", reply.len());
    if !message.authorities.is_empty() {
        // Aliases may have led to nothing.
        let aliases =
            message.answers.iter().all(|record| record.record_type() == RecordType::CNAME);
        prop_assert!(aliases && message.additionals.is_empty());
        prop_assert_eq!(message.authorities.len(), 1, "exactly one SOA");
        prop_assert_eq!(message.authorities[0].record_type(), RecordType::SOA);
    }
    for section in [&message.answers, &message.additionals] {
        let texts: BTreeSet<String> = section.iter().map(ToString::to_string).collect();
        prop_assert_eq!(texts.len(), section.len(), "a record twice");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_octets_get_silence_or_a_well_formed_reply(
        query in any_query(),
        tcp in any::<bool>(),
        ready in prop_oneof![9 => Just(true), 1 => Just(false)],
        udp_octets_max in prop_oneof![Just(512_u16), Just(1232), Just(8192)],
        draw in any::<u64>(),
    ) {
        let cookies = (draw & 2 == 2).then(|| Secrets::new([7; 16], None));
        let policy = Policy { udp_octets_max, cookies, forward_for: None };
        let ask = Ask {
            client: IpAddr::from([192, 0, 2, 1]),
            transport: if tcp { Transport::Tcp } else { Transport::Udp },
            now_secs: 1_800_000_000,
            draw,
            stale: draw & 1 == 1,
            slip: false,
            policy: &policy,
        };
        let mut out = Out::new();
        match answer(if ready { &WORLD } else { &UNREADY }, &ask, &query, &mut out) {
            Verdict::Forward => prop_assert!(false, "forwarded, and nobody may"),
            Verdict::Drop => prop_assert!(query.len() < 12 || query[2] & 0x80 != 0, "silence"),
            Verdict::Reply(len) => check_reply(&ask, &query, out.octets(len))?,
        }
    }
}

/// Asks over TCP, so that everything comes.
fn ask(snapshot: &Snapshot, name: &str, rtype: RecordType) -> Message {
    let ask = Ask {
        client: IpAddr::from([192, 0, 2, 1]),
        transport: Transport::Tcp,
        now_secs: 0,
        draw: 7,
        stale: false,
        slip: false,
        policy: &Policy::default(),
    };
    let mut out = Out::new();
    match answer(snapshot, &ask, &query(&labels(name), rtype.into(), Some(1232)), &mut out) {
        Verdict::Reply(len) => Message::from_vec(out.octets(len)).unwrap(),
        Verdict::Drop | Verdict::Forward => panic!("no reply"),
    }
}

/// All addresses of a name, by both questions.
fn resolve(snapshot: &Snapshot, name: &str) -> BTreeSet<IpAddr> {
    let mut all = BTreeSet::new();
    for rtype in [RecordType::A, RecordType::AAAA] {
        all.extend(
            ask(snapshot, name, rtype).answers.iter().filter_map(|record| record.data.ip_addr()),
        );
    }
    all
}

/// Addresses by the name that has them.
type Glue = BTreeMap<Name, BTreeSet<IpAddr>>;

/// Port and target of each SRV record of a name, and what ADDITIONAL says of the targets.
fn services(snapshot: &Snapshot, name: &str) -> (Vec<(u16, Name)>, Glue) {
    let message = ask(snapshot, name, RecordType::SRV);
    let answers = message.answers.iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => Some((srv.port, srv.target.clone())),
        _ => None,
    });
    let mut glue = Glue::new();
    for record in &message.additionals {
        glue.entry(record.name.clone()).or_default().extend(record.data.ip_addr());
    }
    (answers.collect(), glue)
}

/// The addresses that an SRV record of each endpoint of an app should lead to, by port.
fn expected(app: &AppView) -> BTreeMap<u16, BTreeSet<IpAddr>> {
    let online = app.instances.iter().filter(|one| matches!(one.state, State::Online));
    let endpoints = online.flat_map(|one| {
        let instance = &one.registration.instance;
        instance.endpoints.iter().map(|endpoint| {
            let own = &endpoint.addresses;
            let all = if own.is_empty() { &instance.addresses } else { own };
            (endpoint.port, all.iter().copied().collect())
        })
    });
    endpoints.collect()
}

/// Names that collide in every way there is, each registration with ports and addresses of its own.
fn registrations() -> impl Strategy<Value = Vec<(String, String)>> {
    let apps = ["greeter", "a.greeter", "c.a.greeter", "a-1.greeter", "b.greeter", "staging"];
    let ids = ["a", "b", "c", "a-1", "i", "i-qc7i2e", "staging"];
    let one = (0..apps.len(), 0..ids.len(), 0..4_u8, any::<bool>(), 0..4_u8);
    proptest::collection::vec(one, 1..14).prop_map(move |all| {
        let each = all.into_iter().enumerate().map(|(n, (app, id, form, offline, tag))| {
            let n = n + 1;
            let addresses = match form {
                0 => format!(r#""10.0.0.{n}""#),
                1 => format!(r#""fd00::{n}""#),
                _ => format!(r#""10.0.0.{n}","fd00::{n}","10.0.1.{n}""#),
            };
            let own = if form == 3 {
                format!(r#","addresses":["10.9.0.{n}","fd09::{n}"]"#)
            } else {
                String::new()
            };
            let body = format!(
                r#"{{"addresses":[{addresses}],"tags":["{}"],"endpoints":[{{"port":{n}}},
                    {{"protocol":"admin","port":{}{own}}}]}}"#,
                ["a", "b", "t", "i"][usize::from(tag)],
                1_000 + n,
            );
            let (app, id) = (apps[app], ids[id]);
            let mark = offline && tag == 0;
            let mark = mark.then(|| (format!("offline/{app}/{id}"), "{}".to_owned()));
            [Some((format!("instances/{app}/{id}"), body)), mark]
        });
        each.flatten().flatten().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whoever asks for an app's services, and then for the targets, reaches each instance by its own addresses and
    /// nobody by another's; what ADDITIONAL says is what the targets' own names say.
    #[test]
    fn every_srv_target_leads_to_exactly_its_instance(entries in registrations()) {
        let snapshot = snapshot(&entries);
        let zone = "svc.";
        for app in snapshot.directory.apps(&"default".parse().unwrap(), None) {
            let name = format!("{}.{zone}", app.app);
            let expected = expected(app);
            if app.instances.iter().any(|one| matches!(one.state, State::Rejected(_))) {
                continue;
            }
            let (all, glue) = services(&snapshot, &name);
            let ports: BTreeSet<u16> = all.iter().map(|(port, _)| *port).collect();
            prop_assert_eq!(&ports, &expected.keys().copied().collect(), "SRV of {}", name);
            prop_assert_eq!(all.len(), ports.len());
            for (port, target) in &all {
                let text = target.to_string();
                prop_assert_eq!(&resolve(&snapshot, &text), &expected[port], "{} of {}", text, name);
                prop_assert_eq!(&glue[target], &expected[port], "ADDITIONAL of {} in {}", text, name);
            }
            prop_assert_eq!(glue.len(), all.iter().map(|(_, target)| target).collect::<BTreeSet<_>>().len());
            // The narrower names give the same records, and each instance's own name its own addresses.
            for one in app.instances.iter().filter(|one| matches!(one.state, State::Online)) {
                let label = one.label.as_ref().expect("online");
                let own: BTreeSet<IpAddr> = one.registration.instance.addresses.iter().copied().collect();
                prop_assert_eq!(resolve(&snapshot, &format!("{label}.{name}")), own);
                for endpoint in &one.registration.instance.endpoints {
                    let narrow = format!("_{}._{}.{label}.{name}", endpoint.protocol, endpoint.transport);
                    let (few, _) = services(&snapshot, &narrow);
                    prop_assert_eq!(few.len(), 1, "{}", narrow);
                    prop_assert!(all.contains(&few[0]), "{}", narrow);
                    prop_assert_eq!(few[0].0, endpoint.port);
                }
            }
        }
    }
}
