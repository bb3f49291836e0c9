//! Random histories: whatever happens to the registry and to the consumer, after each delta the consumer's
//! view is exactly what the registry held at that delta's revision.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::registry::memory::MemoryRegistry;
use crate::registry::{Committed, Txn, Write};

/// What happens next.
#[derive(Debug, Clone)]
enum Event {
    /// One transaction: keys to put (with a value) or to delete.
    Commit(BTreeMap<u8, Option<u8>>),
    /// The registry goes away, or comes back.
    Available(bool),
    /// It forgets its history.
    Compact,
    /// Time passes, in which the mirror works.
    Pass(u16),
    /// The consumer takes that many deltas, if there are that many.
    Take(u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let keys = proptest::collection::btree_map(0..6_u8, proptest::option::of(any::<u8>()), 1..4);
    let event = prop_oneof![
        6 => keys.prop_map(Event::Commit),
        1 => any::<bool>().prop_map(Event::Available),
        1 => Just(Event::Compact),
        3 => (0..3_000_u16).prop_map(Event::Pass),
        2 => (0..5_u8).prop_map(Event::Take),
    ];
    proptest::collection::vec(event, 0..60)
}

type State = BTreeMap<Bytes, Bytes>;

/// The stupid model: every state there ever was.
struct Model {
    registry: Arc<MemoryRegistry>,
    states: BTreeMap<Revision, State>,
}

impl Model {
    async fn commit(&mut self, changes: &BTreeMap<u8, Option<u8>>) {
        let key = |name: &u8| Bytes::from(format!("/p/{name}"));
        let mut state = self.states.last_key_value().map_or_else(State::new, |(_, s)| s.clone());
        let writes = changes
            .iter()
            .map(|(name, value)| match value {
                Some(value) => {
                    let value = Bytes::from(value.to_string());
                    state.insert(key(name), value.clone());
                    Write::Put { key: key(name), value, lease: None }
                }
                None => {
                    state.remove(&key(name));
                    Write::Delete(key(name))
                }
            })
            .collect();
        if let Ok(Committed::Done(stamp)) =
            self.registry.commit(Txn { preconditions: vec![], writes }).await
        {
            self.states.insert(stamp.revision, state);
        }
    }

    /// What was there at a revision.
    fn at(&self, revision: Revision) -> State {
        let earlier = self.states.range(..=revision).next_back();
        earlier.map_or_else(State::new, |(_, state)| state.clone())
    }
}

/// The consumer.
struct Consumer {
    deltas: mpsc::Receiver<Arrived<Bytes>>,
    view: State,
    revision: Option<Revision>,
}

impl Consumer {
    fn apply(&mut self, model: &Model, delta: Delta<Bytes>) {
        assert!(delta.whole || self.revision.is_some(), "the first is whole: {delta:?}");
        assert!(self.revision <= Some(delta.revision), "{delta:?} after {:?}", self.revision);
        assert!(delta.news.is_sorted_by(|a, b| a.key < b.key), "{delta:?}");
        for news in delta.news {
            match news.now {
                Some(kept) => _ = self.view.insert(news.key, kept.parsed),
                None => assert!(self.view.remove(&news.key).is_some(), "gone, yet never there"),
            }
        }
        assert_eq!(self.view, model.at(delta.revision), "at revision {}", delta.revision);
        self.revision = Some(delta.revision);
    }
}

async fn live_through(events: Vec<Event>) {
    let registry = Arc::new(MemoryRegistry::new());
    let (tell, deltas) = mpsc::channel(2);
    let parse: Parse<Bytes> = Arc::new(|entry| entry.value.clone());
    let mirrored: Arc<dyn Registry> = Arc::<MemoryRegistry>::clone(&registry);
    let mirror = Mirror::new(mirrored, "/p/", parse, tell, Pacing::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(mirror.run(CancellationToken::new()));
    let mut model = Model { registry, states: BTreeMap::new() };
    let mut consumer = Consumer { deltas, view: State::new(), revision: None };

    for event in events {
        match event {
            Event::Commit(changes) => model.commit(&changes).await,
            Event::Available(available) => model.registry.set_available(available),
            Event::Compact => model.registry.forget_history(),
            Event::Pass(millis) => sleep(Duration::from_millis(millis.into())).await,
            Event::Take(count) => {
                for _ in 0..count {
                    let Ok(arrived) = consumer.deltas.try_recv() else { break };
                    consumer.apply(&model, arrived.delta);
                }
            }
        }
    }

    model.registry.set_available(true);
    let last = model.at(Revision::MAX);
    while consumer.revision.is_none() || consumer.view != last {
        let arrived = timeout(Duration::from_secs(60), consumer.deltas.recv()).await;
        consumer.apply(&model, arrived.expect("it catches up").expect("it runs").delta);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn the_view_is_always_one_that_was(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(live_through(events));
    }
}
