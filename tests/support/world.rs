//! A made-up registry of many apps, compiled as the product compiles: for benchmarks and for tests of cost.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rollcall::layout::Parsed;
use rollcall::layout::foreign::{Foreign, System};
use rollcall::layout::native::{self, Keys, PREFIX_DEFAULT};
use rollcall::model::{Namespace, Spec};
use rollcall::registry::mirror::{Delta, Kept, News};
use rollcall::registry::{Entry, Origin};
use rollcall::zone::{Catalogue, Compiled, Snapshot, ZoneSettings};

/// A catalogue and the revision that it stands at.
pub(crate) struct World {
    catalogue: Catalogue,
    registrations: Registrations,
    revision: u64,
}

impl World {
    /// `apps` apps of `instances` instances each, `app-0` with `i-0` and so on.
    pub(crate) fn new(apps: usize, instances: usize) -> Self {
        Self::of(&[ZoneSettings::default()], apps, instances)
    }

    /// The same in other zones.
    pub(crate) fn of(zones: &[ZoneSettings], apps: usize, instances: usize) -> Self {
        let mut world = Self {
            catalogue: Catalogue::new(zones, &[], &[]),
            registrations: Registrations::new(apps, instances),
            revision: 1,
        };
        let all = world.registrations.all();
        let news = all.map(|(app, instance)| world.news(app, instance, 9000)).collect();
        world.catalogue.apply(Origin::NATIVE, &Delta { revision: 1, epoch: 0, whole: true, news });
        world
    }

    /// Everything that is due, which is everything: the clock stands an hour later each time.
    pub(crate) fn compile(&mut self) -> Compiled {
        let now = Duration::from_secs(3_600 * self.revision);
        self.catalogue.compile(&|| now)
    }

    /// The snapshot alone.
    pub(crate) fn snapshot(&mut self) -> Arc<Snapshot> {
        self.compile().snapshot
    }

    /// Registers an instance anew on another port.
    pub(crate) fn change(&mut self, app: usize, instance: usize, port: u16) {
        self.revision += 1;
        let news = vec![self.news(app, instance, port)];
        self.catalogue.apply(
            Origin::NATIVE,
            &Delta { revision: self.revision, epoch: 0, whole: false, news },
        );
    }

    /// Puts records as SkyDNS has them: what stands behind the prefix in each key, and the value.
    pub(crate) fn records<'r>(&mut self, records: impl Iterator<Item = (String, &'r str)>) {
        self.revision += 1;
        let revision = self.revision;
        let layout = Foreign {
            origin: Origin(1),
            system: System::Skydns,
            prefix: "/skydns/".into(),
            namespace: Namespace::default(),
        };
        let news = records.map(|(path, value)| {
            let key = Bytes::from(format!("/skydns/{path}"));
            let value = Bytes::copy_from_slice(value.as_bytes());
            let entry = Entry { key, value, revision, lease: None };
            let now = Some(Kept { revision, lease: None, parsed: layout.parse(&entry) });
            News { key: entry.key, was: None, now }
        });
        let delta = Delta { revision, epoch: 0, whole: false, news: news.collect() };
        self.catalogue.apply(layout.origin, &delta);
    }

    fn news(&self, app: usize, instance: usize, port: u16) -> News<Parsed> {
        let (key, value) = self.registrations.entry(app, instance, port);
        let entry = Entry { key, value, revision: self.revision, lease: None };
        let parsed = self.registrations.keys.parse(&entry);
        let now = Some(Kept { revision: self.revision, lease: None, parsed });
        // Of what was before, the catalogue only needs to know that it was.
        News { key: entry.key, was: None, now }
    }
}

/// So many apps of so many instances, as a registry holds them.
#[derive(Clone)]
pub(crate) struct Registrations {
    pub(crate) keys: Keys,
    apps: usize,
    instances: usize,
}

impl Registrations {
    pub(crate) fn new(apps: usize, instances: usize) -> Self {
        Self { keys: Keys::new(PREFIX_DEFAULT), apps, instances }
    }

    /// The numbers of each: its app's, and its own within the app.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let instances = self.instances;
        (0..self.apps).flat_map(move |app| (0..instances).map(move |instance| (app, instance)))
    }

    /// The key and the value of one, on that port. Each instance has an address of its own.
    pub(crate) fn entry(&self, app: usize, instance: usize, port: u16) -> (Bytes, Bytes) {
        let number = u32::try_from(app * self.instances + instance + 1).expect("a small world");
        let address = Ipv4Addr::from_bits((10 << 24) + number);
        let body = format!(r#"{{"address":"{address}","port":{port},"tags":["v1"],"ttl":30}}"#);
        let spec: Spec = serde_json::from_str(&body).expect("a legal body");
        let app = format!("app-{app}").parse().expect("a legal app");
        let id = format!("i-{instance}").parse().expect("a legal id");
        let key = self.keys.instance(&Namespace::default(), &app, &id);
        (key, native::instance_value(&spec.resolve(None).expect("a legal instance")))
    }
}

/// A query as a stub resolver sends it: RD, EDNS 1232.
pub(crate) fn query(name: &str, rtype: u16) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        query.push(u8::try_from(label.len()).expect("a legal label"));
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&rtype.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    query
}
