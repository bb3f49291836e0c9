//! A registry that says what a test wants it to say.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::registry::{
    Committed, Entry, Error, Granted, LeaseId, Listing, Registry, Revision, Stamp, Txn, Watch,
    Watched,
};

/// What a watch is made to tell.
pub(super) type News1 = Result<Watched, Error>;

/// Gives its answers in order, then none at all. A test that waits for more fails by time-out.
#[derive(Default)]
pub(super) struct Script {
    pub(super) lists: Mutex<VecDeque<Result<Listing, Error>>>,
    pub(super) gets: Mutex<VecDeque<Result<Stamp, Error>>>,
    watches: Mutex<VecDeque<mpsc::Receiver<News1>>>,
    calls: Mutex<Vec<String>>,
}

impl Script {
    pub(super) fn list(&self, stamp: Stamp, entries: Vec<Entry>) {
        self.lists.lock().unwrap().push_back(Ok(Listing { stamp, entries }));
    }

    pub(super) fn get(&self, stamp: Stamp) {
        self.gets.lock().unwrap().push_back(Ok(stamp));
    }

    /// The next watch; it lasts as long as what is given here.
    pub(super) fn watch(&self) -> mpsc::Sender<News1> {
        let (tell, told) = mpsc::channel(16);
        self.watches.lock().unwrap().push_back(told);
        tell
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    async fn next<T>(&self, answers: &Mutex<VecDeque<T>>, call: String) -> T {
        self.calls.lock().unwrap().push(call);
        let answer = answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

struct ScriptedWatch(mpsc::Receiver<News1>);

#[async_trait]
impl Watch for ScriptedWatch {
    async fn next(&mut self) -> News1 {
        self.0.recv().await.unwrap_or_else(|| Err(Error::Unavailable("watch closed".to_owned())))
    }

    async fn request_progress(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl Registry for Script {
    async fn get(&self, _: &[u8]) -> Result<(Stamp, Option<Entry>), Error> {
        self.next(&self.gets, "get".to_owned()).await.map(|stamp| (stamp, None))
    }

    async fn list(&self, _: &[u8], _: bool, _: Option<Revision>) -> Result<Listing, Error> {
        self.next(&self.lists, "list".to_owned()).await
    }

    async fn watch(&self, _: &[u8], from: Revision) -> Result<Box<dyn Watch>, Error> {
        let told = self.next(&self.watches, format!("watch {from}")).await;
        Ok(Box::new(ScriptedWatch(told)))
    }

    async fn commit(&self, _: Txn) -> Result<Committed, Error> {
        unreachable!("a mirror only reads")
    }

    async fn grant(&self, _: u32) -> Result<Granted, Error> {
        unreachable!("a mirror only reads")
    }

    async fn renew(&self, _: LeaseId) -> Result<u32, Error> {
        unreachable!("a mirror only reads")
    }

    async fn revoke(&self, _: LeaseId) -> Result<Stamp, Error> {
        unreachable!("a mirror only reads")
    }

    async fn time_left(&self, _: LeaseId) -> Result<u32, Error> {
        unreachable!("a mirror only reads")
    }
}
