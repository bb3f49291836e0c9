//! What the mirror logs. A program of its own with one test: which log lines are wanted is decided once for a
//! process, and tests beside this one would decide it first.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rollcall::registry::memory::MemoryRegistry;
use rollcall::registry::mirror::{Mirror, Pacing};
use rollcall::registry::{Registry, Txn, Write};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What is logged above debug.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_logged_once_and_so_is_its_end() {
    let log = Log::capture();
    let registry = Arc::new(MemoryRegistry::new());
    let (tell, mut deltas) = mpsc::channel(8);
    let parse = Arc::new(|entry: &rollcall::registry::Entry| entry.value.clone());
    let mirror = Mirror::new(registry.clone(), "/p/", parse, tell, Pacing::default());
    let mirror = mirror.read_by("somebody");
    let running = tokio::task::JoinSet::from_iter([mirror.run(CancellationToken::new())]);
    deltas.recv().await.expect("a first view");

    registry.set_available(false);
    // Time enough for a hundred attempts to fail.
    tokio::time::sleep(Duration::from_secs(200)).await;
    registry.set_available(true);
    let write = Write::Put { key: "/p/a".into(), value: "1".into(), lease: None };
    let txn = Txn { preconditions: Vec::new(), writes: vec![write] };
    registry.commit(txn).await.expect("it is back");
    deltas.recv().await.expect("what came meanwhile");
    drop(running);

    let lines = log.lines();
    let [view, lost, back] = &lines[..] else { panic!("{lines:#?}") };
    assert!(view.contains(" INFO ") && view.contains("first view complete"), "{view}");
    assert!(lost.contains(" WARN ") && lost.contains("registry lost"), "{lost}");
    // One prefix may have several.
    for line in &lines {
        assert!(line.contains(r#"reader="somebody" prefix="/p/""#), "{line}");
    }
    assert!(back.contains(" INFO ") && back.contains("registry back"), "{back}");
}
