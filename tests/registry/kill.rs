//! `kill -9` in the middle of a thousand registrations.

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rollcall::registry::Registry;
use rollcall::registry::embedded::EmbeddedRegistry;

use crate::suite::{put, put_leased};

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let kill_at = fastrand::usize(100..1_000);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::the_process_to_kill", "--exact", "--nocapture"])
        .env(DIR_VARIABLE, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        acknowledged.extend(line.strip_prefix(ACKNOWLEDGED).map(str::to_owned));
        if acknowledged.len() == kill_at {
            child.kill().unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().signal(), Some(9), "it was at work until then");
    assert!(acknowledged.len() >= kill_at, "{} of {kill_at}", acknowledged.len());

    let registry = EmbeddedRegistry::open(dir.path()).unwrap();
    for line in acknowledged {
        let (key, revision) = line.split_once(' ').unwrap();
        let entry = registry.get(key.as_bytes()).await.unwrap().1;
        let entry = entry.unwrap_or_else(|| panic!("{key} was acknowledged"));
        assert_eq!(
            (entry.revision.to_string(), entry.value),
            (revision.to_owned(), key.to_owned().into())
        );
        registry.renew(entry.lease.unwrap()).await.unwrap();
    }
    registry.commit(put("after", "")).await.unwrap();
}

/// Not a test by itself: the test above runs this one in a process of its own, and kills that.
#[tokio::test]
async fn the_process_to_kill() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else { return };
    let registry = Arc::new(EmbeddedRegistry::open(Path::new(&dir)).unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let registry = Arc::clone(&registry);
        writers.spawn(async move {
            for n in 0..REGISTRATIONS_MAX / WRITERS {
                let key = format!("instances/{writer}-{n}");
                let lease = registry.grant(60).await.unwrap().lease;
                let committed = registry.commit(put_leased(&key.clone().into(), &key, lease)).await;
                let rollcall::registry::Committed::Done(stamp) = committed.unwrap() else {
                    panic!("nothing was asked");
                };
                writeln!(std::io::stdout(), "{ACKNOWLEDGED}{key} {}", stamp.revision).unwrap();
            }
        });
    }
    writers.join_all().await;
}

const DIR_VARIABLE: &str = "ROLLCALL_TEST_DIR";
const ACKNOWLEDGED: &str = "acknowledged ";

/// Many more than a slow parent lets it do before the kill.
const REGISTRATIONS_MAX: usize = 100_000;
const WRITERS: usize = 8;
