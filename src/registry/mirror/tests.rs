//! The mirror against a registry that says what the test wants it to say.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::script::{News1, Script};
use super::*;
use crate::registry::Stamp;

/// A running mirror.
struct Running {
    deltas: mpsc::Receiver<Arrived<String>>,
    status: Arc<Status>,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), String>>,
}

impl Running {
    fn start(script: &Arc<Script>) -> Self {
        let (tell, deltas) = mpsc::channel(2);
        let registry: Arc<dyn Registry> = Arc::<Script>::clone(script);
        let parse: Parse<String> =
            Arc::new(|entry| String::from_utf8_lossy(&entry.value).into_owned());
        let mirror = Mirror::new(registry, "/p/", parse, tell, Pacing::default());
        let (status, stop) = (mirror.status(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(mirror.run(stop.clone()));
        Self { deltas, status, stop, tasks }
    }

    async fn arrived(&mut self) -> Arrived<String> {
        timeout(Duration::from_secs(60), self.deltas.recv()).await.unwrap().unwrap()
    }

    /// The next delta, in short: revision, epoch, `whole` or `step`, and the news.
    async fn delta(&mut self) -> String {
        let delta = self.arrived().await.delta;
        let kind = if delta.whole { "whole" } else { "step" };
        let news: Vec<_> = delta
            .news
            .iter()
            .map(|news| {
                let key = String::from_utf8_lossy(&news.key);
                news.now.as_ref().map_or_else(
                    || format!("{key} gone"),
                    |kept| format!("{key}={}@{}", kept.parsed, kept.revision),
                )
            })
            .collect();
        format!("{}.{} {kind}: {}", delta.epoch, delta.revision, news.join(", "))
    }
}

fn at(revision: Revision) -> Stamp {
    Stamp { cluster: 1, revision }
}

fn entry(key: &'static str, value: &'static str, revision: Revision) -> Entry {
    Entry { key: key.into(), value: value.into(), revision, lease: None }
}

fn put(key: &'static str, value: &'static str, revision: Revision) -> News1 {
    let changes = vec![Change::Put(entry(key, value, revision))];
    Ok(Watched::Batch { revision, changes })
}

fn broken() -> News1 {
    Err(Error::Unavailable("connection reset".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn an_empty_prefix_is_a_view_too() {
    let script = Arc::new(Script::default());
    script.list(at(7), vec![]);
    let mut mirror = Running::start(&script);
    assert!(!mirror.status.facts().has_view);
    assert_eq!(mirror.delta().await, "0.7 whole: ");
    tokio::task::yield_now().await;
    assert!(mirror.status.facts().has_view);
}

#[tokio::test(start_paused = true)]
async fn after_a_break_the_watch_goes_on_where_it_was() {
    let script = Arc::new(Script::default());
    script.list(at(10), vec![entry("a", "1", 4)]);
    let first = script.watch();
    script.get(at(15));
    let second = script.watch();
    let mut mirror = Running::start(&script);
    assert_eq!(mirror.delta().await, "0.10 whole: a=1@4");

    first.send(put("a", "2", 12)).await.unwrap();
    // Told before: no step.
    first.send(put("a", "1", 11)).await.unwrap();
    // Progress beyond what was told does not move the place to go on from.
    first.send(Ok(Watched::Progress(at(15)))).await.unwrap();
    assert_eq!(mirror.delta().await, "0.12 step: a=2@12");
    first.send(broken()).await.unwrap();

    second.send(put("b", "1", 14)).await.unwrap();
    assert_eq!(mirror.delta().await, "0.14 step: b=1@14");
    assert_eq!(script.calls(), ["list", "watch 11", "get", "watch 13"]);
    let facts = mirror.status.facts();
    assert_eq!((facts.reopened, facts.relists, facts.epoch), (1, 0, 0));
    assert!(facts.watching && facts.error.is_none(), "{facts:?}");
}

#[tokio::test(start_paused = true)]
async fn compaction_lists_again_and_tells_the_differences_at_once() {
    let script = Arc::new(Script::default());
    script.list(at(10), vec![entry("a", "1", 4), entry("b", "1", 5), entry("c", "1", 6)]);
    let first = script.watch();
    script.list(at(20), vec![entry("a", "1", 4), entry("b", "2", 18), entry("d", "1", 19)]);
    let second = script.watch();
    script.list(at(30), vec![entry("a", "1", 4), entry("b", "2", 18), entry("d", "1", 19)]);
    let mut mirror = Running::start(&script);
    mirror.delta().await;

    first.send(Err(Error::Compacted { oldest: 16 })).await.unwrap();
    assert_eq!(mirror.delta().await, "0.20 whole: b=2@18, c gone, d=1@19");
    second.send(Err(Error::Compacted { oldest: 26 })).await.unwrap();
    assert_eq!(mirror.delta().await, "0.30 whole: ");
    tokio::task::yield_now().await;
    assert_eq!(mirror.status.facts().relists, 2);
    assert_eq!(script.calls(), ["list", "watch 11", "list", "watch 21", "list", "watch 31"]);
}

#[tokio::test(start_paused = true)]
async fn one_answer_from_behind_is_discarded() {
    let script = Arc::new(Script::default());
    script.list(at(10), vec![entry("a", "1", 4)]);
    let first = script.watch();
    script.get(at(3));
    script.get(at(10));
    let second = script.watch();
    let mut mirror = Running::start(&script);
    mirror.delta().await;

    first.send(broken()).await.unwrap();
    second.send(put("a", "2", 11)).await.unwrap();
    assert_eq!(mirror.delta().await, "0.11 step: a=2@11");
    assert_eq!(script.calls(), ["list", "watch 11", "get", "get", "watch 11"]);
}

#[tokio::test(start_paused = true)]
async fn two_answers_from_behind_begin_an_epoch() {
    let script = Arc::new(Script::default());
    script.list(at(10), vec![entry("a", "1", 2), entry("b", "1", 4)]);
    let first = script.watch();
    script.get(at(3));
    script.get(at(3));
    script.list(at(3), vec![entry("a", "old", 2)]);
    let second = script.watch();
    let mut mirror = Running::start(&script);
    mirror.delta().await;

    first.send(broken()).await.unwrap();
    // `a` has the revision it had before, and yet another value.
    assert_eq!(mirror.delta().await, "1.3 whole: a=old@2, b gone");
    second.send(put("a", "new", 4)).await.unwrap();
    assert_eq!(mirror.delta().await, "1.4 step: a=new@4");
    assert_eq!(script.calls(), ["list", "watch 11", "get", "get", "list", "watch 4"]);
    assert_eq!(mirror.status.facts().epoch, 1);
}

#[tokio::test(start_paused = true)]
async fn another_cluster_begins_an_epoch_at_once() {
    let script = Arc::new(Script::default());
    script.list(at(10), vec![entry("a", "1", 4)]);
    let first = script.watch();
    let other = Stamp { cluster: 2, revision: 50 };
    script.get(other);
    script.list(other, vec![entry("b", "1", 50)]);
    let mut mirror = Running::start(&script);
    mirror.delta().await;

    first.send(broken()).await.unwrap();
    assert_eq!(mirror.delta().await, "1.50 whole: a gone, b=1@50");
    tokio::task::yield_now().await;
    assert_eq!(script.calls(), ["list", "watch 11", "get", "list", "watch 51"]);
}

#[tokio::test(start_paused = true)]
async fn a_listing_from_behind_is_discarded_once_too() {
    let script = Arc::new(Script::default());
    script.list(at(10), vec![entry("a", "1", 4)]);
    let first = script.watch();
    script.list(at(3), vec![]);
    script.list(at(20), vec![entry("a", "2", 20)]);
    let mut mirror = Running::start(&script);
    mirror.delta().await;

    first.send(Err(Error::Compacted { oldest: 16 })).await.unwrap();
    assert_eq!(mirror.delta().await, "0.20 whole: a=2@20");
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_counts_as_dead() {
    let script = Arc::new(Script::default());
    script.list(at(10), vec![]);
    let first = script.watch();
    script.get(at(12));
    let second = script.watch();
    let mut mirror = Running::start(&script);
    mirror.delta().await;

    // Alive for long by progress alone.
    for _ in 0..5 {
        sleep(Duration::from_secs(9)).await;
        first.send(Ok(Watched::Progress(at(12)))).await.unwrap();
    }
    tokio::task::yield_now().await;
    assert_eq!(script.calls(), ["list", "watch 11"]);

    sleep(Pacing::default().silence_max + Pacing::default().backoff_max).await;
    assert_eq!(script.calls(), ["list", "watch 11", "get", "watch 11"]);
    let error = mirror.status.facts().error.unwrap();
    assert!(error.contains("no sign of life"), "{error}");
    assert!(first.is_closed());
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_not_the_registrys_silence() {
    let script = Arc::new(Script::default());
    script.list(at(10), vec![]);
    let first = script.watch();
    let mut mirror = Running::start(&script);
    for revision in 11..16 {
        first.send(put("a", "1", revision)).await.unwrap();
    }
    // The queue holds two; the mirror waits far longer than a silence may last.
    sleep(Pacing::default().silence_max * 3).await;
    assert_eq!(mirror.deltas.len(), 2);
    for revision in 10..16 {
        let delta = mirror.delta().await;
        assert!(delta.starts_with(&format!("0.{revision} ")), "{delta}");
    }
    assert_eq!(script.calls(), ["list", "watch 11"]);
}

#[tokio::test(start_paused = true)]
async fn a_registry_away_at_the_start_is_waited_for() {
    let script = Arc::new(Script::default());
    for _ in 0..20 {
        let error = Error::Unavailable("connection refused".to_owned());
        script.lists.lock().unwrap().push_back(Err(error));
    }
    script.list(at(7), vec![]);
    let tell = script.watch();
    let mut mirror = Running::start(&script);
    sleep(Duration::from_secs(5)).await;
    let facts = mirror.status.facts();
    assert!(!facts.has_view && facts.last_contact.is_none(), "{facts:?}");
    assert_eq!(facts.error.unwrap(), "registry unavailable: connection refused");
    assert_eq!(mirror.delta().await, "0.7 whole: ");
    tell.send(Ok(Watched::Progress(at(7)))).await.unwrap();
    tokio::task::yield_now().await;
    let facts = mirror.status.facts();
    assert!(facts.has_view && facts.watching && facts.error.is_none(), "{facts:?}");
    assert!(facts.last_contact.is_some());
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_told_to_and_complains_when_unread() {
    let script = Arc::new(Script::default());
    let mut mirror = Running::start(&script);
    mirror.stop.cancel();
    assert_eq!(mirror.tasks.join_next().await.unwrap().unwrap(), Ok(()));

    script.list(at(7), vec![]);
    let Running { deltas, mut tasks, .. } = Running::start(&script);
    drop(deltas);
    assert!(tasks.join_next().await.unwrap().unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_step_says_when_it_came_however_long_the_queue_held_it() {
    let script = Arc::new(Script::default());
    script.list(at(4), vec![]);
    let watch = script.watch();
    let mut mirror = Running::start(&script);
    let start = Instant::now();
    sleep(Duration::from_secs(1)).await;
    watch.send(put("a", "1", 5)).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(mirror.arrived().await.at - start, Duration::ZERO);
    assert_eq!(mirror.arrived().await.at - start, Duration::from_secs(1));
}
