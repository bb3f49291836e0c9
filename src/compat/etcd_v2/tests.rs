//! Calls on a registry in memory: bounds that take many keys to reach, and keys that no client of ours would write.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::folders::Folders;
use super::follow::{Heard, Shared, Track};
use super::history::Found;
use super::intents::Intents;
use super::keys::{Answer, Keys};
use super::leases::Leases;
use super::node::Node;
use super::places::Places;
use super::recall::Recalled;
use super::request::{Method, Request};
use super::wait::Waiter;
use crate::registry::memory::MemoryRegistry;
use crate::registry::mirror::Statuses;
use crate::registry::{Committed, Registry, Revision, Txn, Write};
use crate::supervise::Tasks;

struct World {
    registry: Arc<MemoryRegistry>,
    keys: Keys,
    followed: Statuses,
    _tasks: Tasks,
}

impl World {
    fn new(prefixes: &[&str], waiters_max: usize) -> Self {
        let registry = Arc::new(MemoryRegistry::new());
        let tasks = Tasks::new(CancellationToken::new());
        let prefixes = prefixes.iter().map(ToString::to_string).collect();
        let shared = Arc::new(Shared {
            places: Places::new(prefixes, "/rollcall/v1/"),
            intents: Intents::default(),
            leases: Leases::default(),
            folders: Folders::default(),
            heard: Heard::default(),
            clock: || SystemTime::UNIX_EPOCH,
        });
        let followed = Statuses::default();
        let start = |prefix| {
            Track::start(prefix, registry.clone(), shared.clone(), followed.clone(), &tasks)
        };
        let tracks = shared.places.watched().into_iter().map(start).collect();
        let keys =
            Keys::new(registry.clone(), shared.clone(), tracks, waiters_max, tasks.stop_token());
        Self { registry, keys, followed, _tasks: tasks }
    }

    /// Writes keys as a client of the registry does, at one revision.
    async fn put(&self, keys: impl IntoIterator<Item = String>) -> Revision {
        let put = |key: String| Write::Put { key: key.into(), value: "v".into(), lease: None };
        self.commit(keys.into_iter().map(put).collect()).await
    }

    async fn delete(&self, key: &str) -> Revision {
        self.commit(vec![Write::Delete(key.to_owned().into())]).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Revision {
        match self.registry.commit(Txn { preconditions: vec![], writes }).await.unwrap() {
            Committed::Done(stamp) => stamp.revision,
            Committed::Refused(_) => panic!("nothing to refuse"),
        }
    }

    /// Waits until the history has got as far as that.
    async fn follows(&self, revision: Revision) {
        self.keys.tracks[0].ask();
        let mut changes = self.keys.tracks[0].changes();
        let reached = || match self.keys.tracks[0].history().find("/none", false, revision) {
            Found::Nothing(next) => next > revision,
            other => !matches!(other, Found::Unready),
        };
        let following = async {
            while !reached() {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), following).await.unwrap();
    }

    /// What is followed by now.
    fn prefixes(&self) -> Vec<String> {
        self.followed.all().iter().map(|mirror| mirror.prefix().to_owned()).collect()
    }

    /// Waits for what comes from an index on.
    async fn wait(&self, path: &str, from: Revision) -> Result<(Waiter, Revision), Fault> {
        let query = format!("wait=1&recursive=1&waitIndex={from}");
        self.keys.wait(&Request::parse(Method::Get, path, &query, b"").unwrap()).await
    }

    async fn get(&self, path: &str, query: &str) -> Result<Node, Fault> {
        let request = Request::parse(Method::Get, path, query, b"").unwrap();
        self.keys.read(&request).await.map(|answer| answer.event.node.unwrap())
    }

    async fn remove(&self, path: &str, query: &str) -> Result<Answer, Fault> {
        self.keys.delete(&Request::parse(Method::Delete, path, query, b"").unwrap()).await
    }
}

fn cause(fault: &Fault) -> String {
    let json: serde_json::Value = serde_json::from_str(&fault.json()).unwrap();
    json["cause"].as_str().unwrap().to_owned()
}

fn names(node: &Node) -> Vec<&str> {
    node.nodes.iter().map(|node| node.key.as_str()).collect()
}

#[tokio::test]
async fn too_many_keys_are_refused_and_a_folder_of_them_is_not() {
    let world = World::new(&["/"], 1);
    for hundred in 0..200 {
        world.put((0..100).map(|n| format!("/many/{hundred}-{n}"))).await;
    }
    assert_eq!(names(&world.get("/", "").await.unwrap()), ["/many"]);
    let last = world.put(["/few/1".to_owned()]).await;
    let why = "/ has more than 20000 keys: ask for a folder in it";
    for followed in [false, true] {
        if followed {
            world.follows(last).await;
        }
        assert_eq!(cause(&world.get("/", "").await.unwrap_err()), why);
        assert_eq!(names(&world.get("/few", "").await.unwrap()), ["/few/1"]);
    }
    let why = "/many has more than 1000 keys: delete a folder in it";
    assert_eq!(cause(&world.remove("/many", "recursive=true").await.unwrap_err()), why);
    assert!(world.remove("/few", "recursive=true").await.is_ok());
}

#[tokio::test]
async fn values_that_are_too_large_together_are_refused_and_a_folder_of_them_is_not() {
    let world = World::new(&["/"], 1);
    let value = bytes::Bytes::from(vec![b'x'; 512 * 1024]);
    let mut last = 0;
    for n in 0..33 {
        let key = format!("/large/{}/{n}", n % 3).into();
        let put = Write::Put { key, value: value.clone(), lease: None };
        last = world.commit(vec![put]).await;
    }
    for followed in [false, true] {
        if followed {
            world.follows(last).await;
            let stock = world.keys.tracks[0].history().stock();
            assert_eq!((stock.keys, stock.octets), (33, 33 * value.len()));
        }
        for path in ["/", "/large"] {
            let why = format!("the values in {path} are more than 16 MiB: ask for a folder in it");
            assert_eq!(cause(&world.get(path, "").await.unwrap_err()), why);
        }
        assert_eq!(world.get("/large/0", "").await.unwrap().nodes.len(), 11);
        assert!(world.get("/large/0/0", "").await.is_ok());
    }
    for n in 0..4 {
        last = world.delete(&format!("/large/{}/{n}", n % 3)).await;
    }
    world.follows(last).await;
    assert_eq!(names(&world.get("/", "").await.unwrap()), ["/large"]);
}

#[tokio::test]
async fn keys_of_others_are_shown_as_far_as_they_are_paths() {
    let world = World::new(&["/"], 1);
    let odd = ["/a/b", "/a/b/c", "/a//d", "/a/e/", "/a/../f", "/rollcall/v1/g", "h", "/a/\u{7}"];
    world.put(odd.map(str::to_owned)).await;
    assert_eq!(names(&world.get("/", "").await.unwrap()), ["/a"]);
    let folder = world.get("/a", "recursive=true").await.unwrap();
    assert_eq!(names(&folder), ["/a/b"]);
    // What is a key and a folder is shown as the folder.
    assert!(folder.nodes[0].dir);
    assert_eq!(names(&folder.nodes[0]), ["/a/b/c"]);
}

#[tokio::test]
async fn waits_are_bounded_and_give_their_places_back() {
    let world = World::new(&["/"], 1);
    world.follows(1).await;
    let request = Request::parse(Method::Get, "/a", "wait=1&recursive=1", b"").unwrap();
    let (waiter, _) = world.keys.wait(&request).await.unwrap();
    let fault = world.keys.wait(&request).await.err().unwrap();
    assert_eq!(fault.status(), 500);
    world.put(["/a/b".to_owned()]).await;
    let told = waiter.event().await;
    assert!(told.starts_with(b"{\"action\":\"set\",\"node\":{\"key\":\"/a/b\""), "{told:?}");
    assert!(world.keys.wait(&request).await.is_ok());
}

#[tokio::test]
async fn the_past_is_told_in_order_as_far_as_it_can_be() {
    let world = World::new(&["/"], 1);
    let first = world.put(["/a/1".to_owned(), "/a/2".to_owned()]).await;
    for n in 0..100 {
        world.put([format!("/else/{n}")]).await;
    }
    let gone = world.delete("/a/1").await;
    for n in 0..100 {
        world.put([format!("/else/{n}")]).await;
    }
    let both = world.put(["/b/1".to_owned(), "/b/2".to_owned()]).await;
    let recall = async |path: &str, from, to| match world.keys.recall(path, true, from, to).await {
        Ok(Recalled::Event(told)) => format!("{} {:?} {}", told.revision, told.action, told.path),
        Ok(Recalled::Nothing) => "nothing".to_owned(),
        Ok(Recalled::Unknown) => "unknown".to_owned(),
        Err(fault) => fault.json(),
    };
    let deleted = format!("{gone} Delete /a/1");
    assert_eq!(recall("/a", first + 1, both).await, deleted);
    assert_eq!(recall("/a", gone, both).await, deleted);
    assert_eq!(recall("/a/1", gone, gone).await, deleted);
    assert_eq!(recall("/a", gone + 1, both).await, "nothing");
    assert_eq!(recall("/a/2", first + 1, both).await, "nothing");
    // From before the first write: of one that came and went nothing is told.
    assert_eq!(recall("/a", 1, both).await, format!("{first} Set /a/2"));
    // Two at one revision, too many that went, and what the registry has forgotten.
    assert_eq!(recall("/b", both, both).await, "unknown");
    let many = world.put((0..40).map(|n| format!("/c/{n}"))).await;
    let mut last = many;
    for n in 0..40 {
        last = world.delete(&format!("/c/{n}")).await;
    }
    assert_eq!(recall("/c", many + 1, last).await, "unknown");
    assert_eq!(recall("/c", last, last).await, format!("{last} Delete /c/39"));
    world.registry.forget_history();
    assert_eq!(recall("/c", last, last).await, "unknown");
}

#[tokio::test]
async fn a_prefix_is_followed_from_when_it_is_asked_for() {
    let world = World::new(&["/read/", "/waited/", "/written/"], 1);
    world.put(["/read/a".to_owned(), "/waited/a".to_owned()]).await;
    for path in ["/read", "/waited/a", "/", "/written"] {
        world.get(path, "").await.unwrap();
    }
    tokio::task::yield_now().await;
    assert_eq!(world.prefixes(), Vec::<String>::new());
    // The first wait waits for the first view.
    let (waiter, index) = world.wait("/waited", 0).await.unwrap();
    assert_eq!(world.prefixes(), ["/waited/"]);
    let put = Request::parse(Method::Put, "/written/a", "value=x", b"").unwrap();
    world.keys.put(&put).await.unwrap();
    soon(|| world.prefixes() == ["/waited/", "/written/"]).await;
    let next = world.put(["/waited/b".to_owned()]).await;
    assert!(next > index);
    let told = String::from_utf8(waiter.event().await.to_vec()).unwrap();
    assert!(told.contains("/waited/b"), "{told}");
}

/// etcd itself takes waits when it has no leader.
#[tokio::test]
async fn whoever_waits_where_history_is_known_does_so_without_the_registry() {
    let world = World::new(&["/"], 9);
    let first = world.put(["/a/1".to_owned()]).await;
    world.follows(first).await;
    let second = world.put(["/a/2".to_owned()]).await;
    world.follows(second).await;
    world.registry.set_available(false);
    let told = async |waiter: Waiter| String::from_utf8(waiter.event().await.to_vec()).unwrap();
    let (waiter, index) = world.wait("/a", second).await.unwrap();
    assert_eq!(index, second);
    let told_of = told(waiter).await;
    assert!(told_of.contains("/a/2"), "{told_of}");
    let waiting = [world.wait("/a", 0).await.unwrap(), world.wait("/a", second + 1).await.unwrap()];
    world.registry.set_available(true);
    world.put(["/a/3".to_owned()]).await;
    for (waiter, index) in waiting {
        assert_eq!(index, second);
        let told_of = told(waiter).await;
        assert!(told_of.contains("/a/3"), "{told_of}");
    }
}

#[tokio::test]
async fn what_was_looked_at_a_moment_ago_is_over_all_the_same() {
    let world = World::new(&["/"], 9);
    let lease = world.registry.grant(60).await.unwrap().lease;
    let put =
        |key: &'static str| Write::Put { key: key.into(), value: "v".into(), lease: Some(lease) };
    let set = world.commit(vec![put("/a/over"), put("/b/deleted")]).await;
    world.follows(set).await;
    world.get("/a/over", "").await.unwrap();
    let told = async |waiter: Waiter| String::from_utf8(waiter.event().await.to_vec()).unwrap();
    let deleted = world.delete("/b/deleted").await;
    let told_of = told(world.wait("/b", deleted).await.unwrap().0).await;
    assert!(told_of.starts_with("{\"action\":\"delete\""), "{told_of}");
    let over = world.registry.revoke(lease).await.unwrap().revision;
    let told_of = told(world.wait("/a", over).await.unwrap().0).await;
    assert!(told_of.starts_with("{\"action\":\"expire\""), "{told_of}");
}

/// Polls, with an end.
async fn soon(is_so: impl Fn() -> bool) {
    let polling = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), polling).await.unwrap();
}
