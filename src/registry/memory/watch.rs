//! A watch on the memory core: a prefix and a position in the shared history.
//!
//! Knows nothing of disks.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::core::Core;
use crate::registry::{Error, Revision, Watch, Watched};

/// Reads the history as it grows.
#[derive(Debug)]
pub(crate) struct CoreWatch {
    core: Arc<Core>,
    news: watch::Receiver<u64>,
    prefix: Bytes,
    /// The next revision to read.
    from: Revision,
    /// Outages of the core when this watch was opened.
    outages: u64,
    /// A sign of life was asked for and not yet given.
    progress: bool,
    /// The error that ended it.
    over: Option<Error>,
}

impl CoreWatch {
    pub(crate) fn new(
        core: Arc<Core>,
        news: watch::Receiver<u64>,
        prefix: Bytes,
        from: Revision,
        outages: u64,
    ) -> Self {
        Self { core, news, prefix, from, outages, progress: false, over: None }
    }

    /// What there is to tell now.
    fn read(&mut self) -> Result<Option<Watched>, Error> {
        // Before the reading, so that what comes after it wakes us again.
        self.news.mark_unchanged();
        let (watched, from) = self.core.read(&self.prefix, self.from, self.outages)?;
        self.from = from;
        if watched.is_none() && std::mem::take(&mut self.progress) {
            return Ok(Some(Watched::Progress(self.core.stamp()?)));
        }
        Ok(watched)
    }
}

#[async_trait]
impl Watch for CoreWatch {
    async fn next(&mut self) -> Result<Watched, Error> {
        loop {
            if let Some(error) = &self.over {
                return Err(error.clone());
            }
            match self.read() {
                Ok(Some(watched)) => return Ok(watched),
                Ok(None) => {
                    // Fails only without a sender, which is part of the core that we hold.
                    let _ = self.news.changed().await;
                }
                Err(error) => self.over = Some(error),
            }
        }
    }

    async fn request_progress(&mut self) -> Result<(), Error> {
        if let Some(error) = &self.over {
            return Err(error.clone());
        }
        self.progress = true;
        Ok(())
    }
}
