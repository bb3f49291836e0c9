//! The mirror on a real etcd that fails in every way it can: its consumer's view ends up equal to etcd, and
//! nothing disappears from it meanwhile that was not deleted.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rollcall::registry::Registry;
use rollcall::registry::etcd::EtcdRegistry;
use rollcall::registry::mirror::{Delta, Facts, Mirror, Pacing, Status};
use support::etcd::{DeadEnd, Etcd, settings};
use support::proxy::Proxy;
use support::{soon, until};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PREFIX: &str = "/p/";

/// What a consumer of deltas knows.
#[derive(Debug, Clone, Default)]
struct View {
    keys: BTreeMap<String, String>,
    revision: u64,
    epoch: u64,
    /// Every key that was ever told as gone, in order.
    vanished: Vec<String>,
}

impl View {
    fn apply(&mut self, delta: Delta<String>) {
        assert!(
            (self.epoch, self.revision) < (delta.epoch, delta.revision)
                || (delta.whole && (self.epoch, self.revision) == (delta.epoch, delta.revision)),
            "delta goes back: {delta:?}"
        );
        (self.revision, self.epoch) = (delta.revision, delta.epoch);
        for news in delta.news {
            let key = String::from_utf8(news.key.to_vec()).unwrap();
            match news.now {
                Some(kept) => _ = self.keys.insert(key, kept.parsed),
                None => {
                    assert!(self.keys.remove(&key).is_some(), "{key} was not there");
                    self.vanished.push(key);
                }
            }
        }
    }
}

/// A mirror and its consumer.
struct Follower {
    view: watch::Receiver<View>,
    status: Arc<Status>,
    _tasks: JoinSet<()>,
}

impl Follower {
    async fn start(urls: impl IntoIterator<Item = String>) -> Self {
        let registry: Arc<dyn Registry> =
            Arc::new(EtcdRegistry::connect(settings(urls)).await.unwrap());
        let pacing = Pacing {
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(200),
            progress_every: Duration::from_millis(500),
            silence_max: Duration::from_millis(1_500),
        };
        let (tell, mut deltas) = mpsc::channel(4);
        let parse = Arc::new(|entry: &rollcall::registry::Entry| {
            String::from_utf8(entry.value.to_vec()).unwrap()
        });
        let mirror = Mirror::new(registry, PREFIX, parse, tell, pacing);
        let status = mirror.status();
        let (write, view) = watch::channel(View::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { mirror.run(CancellationToken::new()).await.unwrap() });
        tasks.spawn(async move {
            while let Some(arrived) = deltas.recv().await {
                write.send_modify(|view| view.apply(arrived.delta));
            }
        });
        Self { view, status, _tasks: tasks }
    }

    /// Waits until the view is what etcd has, and gives it.
    async fn catch_up(&mut self, etcd: &Etcd) -> View {
        let keys = etcd.keys(PREFIX).await;
        let wanted = format!("{keys:?}");
        soon(wanted, self.view.wait_for(|view| view.keys == keys)).await.unwrap().clone()
    }

    async fn is_lost(&self) {
        until("the loss is noticed", async || self.status.facts().error.is_some()).await;
    }

    async fn is_back(&self) -> Facts {
        until("the watch is back", async || self.status.facts().watching).await;
        self.status.facts()
    }
}

/// An etcd with three keys, a wire to it, and a follower that has seen them.
async fn set_up() -> (Etcd, Proxy, Follower) {
    let etcd = Etcd::start().await;
    for (key, value) in [("/p/a", "1"), ("/p/b", "1"), ("/p/c", "1"), ("/other", "1")] {
        etcd.put(key, value).await;
    }
    let wire = Proxy::to(etcd.client_port()).await;
    let mut follower = Follower::start([wire.url()]).await;
    let view = follower.catch_up(&etcd).await;
    assert_eq!(view.keys.len(), 3);
    follower.is_back().await;
    (etcd, wire, follower)
}

#[tokio::test]
async fn a_killed_etcd_is_followed_on_from_where_it_was() {
    let (mut etcd, _wire, mut follower) = set_up().await;
    etcd.kill().await;
    follower.is_lost().await;
    assert_eq!(follower.view.borrow().keys.len(), 3, "answers go on from memory");

    etcd.restart().await;
    etcd.put("/p/a", "2").await;
    etcd.delete("/p/b").await;
    etcd.put("/p/d", "1").await;
    let view = follower.catch_up(&etcd).await;
    assert_eq!(view.vanished, ["/p/b"]);
    let facts = follower.is_back().await;
    assert_eq!((facts.relists, facts.epoch), (0, 0));
    assert!(facts.reopened >= 1, "{facts:?}");
}

#[tokio::test]
async fn members_may_fail_one_after_the_other() {
    let mut members = Etcd::start_three().await;
    members[0].put("/p/a", "1").await;
    members[0].put("/p/b", "1").await;
    let mut follower = Follower::start(members.iter().map(Etcd::url)).await;
    for failing in 0..3 {
        members[failing].kill().await;
        let other = &members[(failing + 1) % 3];
        // Elections fail writes for a while.
        let round = failing.to_string();
        until("a write succeeds", async || other.try_ctl(&["put", "/p/a", &round]).await.is_ok())
            .await;
        assert!(follower.catch_up(other).await.vanished.is_empty());
        members[failing].restart().await;
    }
    let facts = follower.is_back().await;
    assert_eq!((facts.relists, facts.epoch), (0, 0));
    members[2].delete("/p/b").await;
    assert_eq!(follower.catch_up(&members[0]).await.vanished, ["/p/b"]);
}

#[tokio::test]
async fn a_hanging_etcd_is_noticed_and_followed_on() {
    let (etcd, _wire, mut follower) = set_up().await;
    etcd.pause();
    follower.is_lost().await;
    assert_eq!(follower.view.borrow().keys.len(), 3, "answers go on from memory");

    etcd.resume();
    etcd.delete("/p/c").await;
    etcd.put("/p/d", "1").await;
    let view = follower.catch_up(&etcd).await;
    assert_eq!(view.vanished, ["/p/c"]);
    let facts = follower.is_back().await;
    assert_eq!((facts.relists, facts.epoch), (0, 0));
}

#[tokio::test]
async fn what_was_compacted_while_cut_off_is_listed_without_a_blink() {
    let (etcd, wire, mut follower) = set_up().await;
    wire.cut();
    follower.is_lost().await;
    etcd.put("/p/a", "2").await;
    etcd.delete("/p/b").await;
    etcd.put("/p/d", "1").await;
    etcd.compact(etcd.revision().await).await;
    wire.mend();

    let view = follower.catch_up(&etcd).await;
    assert_eq!(view.vanished, ["/p/b"]);
    let facts = follower.is_back().await;
    assert_eq!((facts.relists, facts.epoch), (1, 0));
    etcd.put("/p/a", "3").await;
    follower.catch_up(&etcd).await;
}

/// etcd-io/etcd issue 18089: etcd would resume here, and never tell of the deletion.
#[tokio::test]
async fn a_deletion_at_the_compacted_revision_is_not_missed() {
    let (etcd, wire, mut follower) = set_up().await;
    let applied = follower.view.borrow().revision;
    wire.cut();
    follower.is_lost().await;
    etcd.delete("/p/b").await;
    assert_eq!(etcd.revision().await, applied + 1);
    etcd.compact(applied + 1).await;
    wire.mend();
    assert_eq!(follower.catch_up(&etcd).await.vanished, ["/p/b"]);
}

#[tokio::test]
async fn another_cluster_in_its_place_begins_an_epoch() {
    let (mut etcd, wire, mut follower) = set_up().await;
    wire.cut();
    follower.is_lost().await;
    etcd.kill().await;
    etcd.wipe("second");
    etcd.restart().await;
    // Beyond the revision of the first, so that only its id tells.
    for n in 0..10 {
        etcd.put("/p/a", &n.to_string()).await;
    }
    etcd.put("/p/b", "1").await;
    wire.mend();

    let view = follower.catch_up(&etcd).await;
    assert_eq!((view.epoch, view.vanished), (1, vec!["/p/c".to_owned()]));
    etcd.put("/p/c", "back").await;
    follower.catch_up(&etcd).await;
    assert_eq!(follower.is_back().await.epoch, 1);
}

#[tokio::test]
async fn lost_data_under_the_same_id_begins_an_epoch() {
    let (mut etcd, wire, mut follower) = set_up().await;
    wire.cut();
    follower.is_lost().await;
    etcd.kill().await;
    etcd.wipe("first");
    etcd.restart().await;
    etcd.put("/p/a", "new").await;
    wire.mend();

    let view = follower.catch_up(&etcd).await;
    assert_eq!((view.epoch, view.vanished), (1, vec!["/p/b".to_owned(), "/p/c".to_owned()]));
    etcd.put("/p/a", "newer").await;
    follower.catch_up(&etcd).await;
}

#[tokio::test]
async fn a_restored_backup_is_followed_although_it_is_behind() {
    let (mut etcd, wire, mut follower) = set_up().await;
    etcd.save("backup").await;
    for n in 0..10 {
        etcd.put("/p/a", &n.to_string()).await;
    }
    etcd.delete("/p/b").await;
    etcd.put("/p/d", "1").await;
    follower.catch_up(&etcd).await;

    wire.cut();
    follower.is_lost().await;
    etcd.stop().await;
    etcd.restore("backup").await;
    etcd.restart().await;
    wire.mend();
    let view = follower.catch_up(&etcd).await;
    assert_eq!(view.keys["/p/a"], "1");
    assert_eq!((view.epoch, view.vanished), (1, vec!["/p/b".to_owned(), "/p/d".to_owned()]));
    // A watch from where it was would stay silent about this.
    etcd.put("/p/a", "after").await;
    follower.catch_up(&etcd).await;
}

#[tokio::test]
async fn an_etcd_that_is_away_at_the_start_is_waited_for() {
    let dead = DeadEnd::new();
    let follower = Follower::start([dead.url()]).await;
    follower.is_lost().await;
    let facts = follower.status.facts();
    assert!(!facts.has_view && facts.last_contact.is_none(), "{facts:?}");
    drop(follower);

    let mut etcd = Etcd::start().await;
    etcd.put("/p/a", "1").await;
    etcd.stop().await;
    let mut follower = Follower::start([etcd.url()]).await;
    follower.is_lost().await;
    etcd.restart().await;
    let view = follower.catch_up(&etcd).await;
    assert!(view.vanished.is_empty());
    let facts = follower.is_back().await;
    assert!(facts.has_view && facts.last_contact.is_some(), "{facts:?}");
}
