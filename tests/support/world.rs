//! A made-up registry of many apps, compiled as the product compiles: for benchmarks and for tests of cost.

use std::sync::Arc;
use std::time::Duration;

use rollcall::layout::native::{Keys, PREFIX_DEFAULT};
use rollcall::layout::{Parsed, Registration};
use rollcall::model::{Namespace, Spec};
use rollcall::registry::mirror::{Delta, Kept, News};
use rollcall::zone::{Catalogue, Compiled, Snapshot, ZoneSettings};

/// A catalogue and the revision that it stands at.
pub(crate) struct World {
    catalogue: Catalogue,
    keys: Keys,
    revision: u64,
}

impl World {
    /// `apps` apps of `instances` instances each, `app-0` with `i-0` and so on.
    pub(crate) fn new(apps: usize, instances: usize) -> Self {
        let mut world = Self {
            catalogue: Catalogue::new(&[ZoneSettings::default()], &[], &[]),
            keys: Keys::new(PREFIX_DEFAULT),
            revision: 1,
        };
        let each = (0..apps).flat_map(|app| (0..instances).map(move |instance| (app, instance)));
        let news = each.map(|(app, instance)| world.news(app, instance, 9000)).collect();
        world.catalogue.apply(&Delta { revision: 1, epoch: 0, whole: true, news });
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
        self.catalogue.apply(&Delta { revision: self.revision, epoch: 0, whole: false, news });
    }

    fn news(&self, app: usize, instance: usize, port: u16) -> News<Parsed> {
        let address = format!("10.{}.{}.{}", app / 256 % 256, app % 256, instance % 250 + 1);
        let body = format!(r#"{{"address":"{address}","port":{port},"tags":["v1"],"ttl":30}}"#);
        let spec: Spec = serde_json::from_str(&body).expect("a legal body");
        let registration = Registration {
            namespace: Namespace::default(),
            app: format!("app-{app}").parse().expect("a legal app"),
            id: format!("i-{instance}").into(),
            instance: spec.resolve(None).expect("a legal instance"),
        };
        let id = registration.id.parse().expect("a legal id");
        let key = self.keys.instance(&registration.namespace, &registration.app, &id);
        let parsed = Parsed::Instance(Arc::new(registration));
        let now = Some(Kept { revision: self.revision, lease: None, parsed });
        // Of what was before, the catalogue only needs to know that it was.
        News { key, was: None, now }
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
