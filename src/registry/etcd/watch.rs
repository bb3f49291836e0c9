//! A watch on etcd that ends loudly.
//!
//! The client shows a compacted or cancelled watch as one ordinary response and is silent for ever after;
//! here each is an error. Revisions are told whole: etcd sends all events of one revision in one response
//! unless fragments are asked for, which we don't.
//!
//! Knows nothing of reopening: the mirror does that.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, WatchOptions, WatchRequestSender, WatchResponse, WatchResponseStream};
use tokio::time::timeout;

use super::cluster::{Cluster, Repeat};
use super::convert;
use super::failure::{self, Failure};
use crate::registry::{Change, Error, Revision, Watch, Watched};

/// Opens a watch; etcd has confirmed it on return.
///
/// Right after a read through the same cluster, which makes sure of a valid token: etcd 3.4 reports an
/// expired one as a lack of permission, on watches alone.
pub(super) async fn open(
    cluster: &Cluster,
    prefix: &[u8],
    from: Revision,
) -> Result<EtcdWatch, Error> {
    let (stream, first) =
        cluster.call(Repeat::Freely, |client| confirmed(client, prefix, from)).await?;
    let (requests, responses) = stream.split();
    let mut watch = EtcdWatch {
        requests,
        responses,
        from,
        ready: VecDeque::new(),
        ended: None,
        patience: cluster.call_timeout(),
    };
    watch.take(&first)?;
    Ok(watch)
}

/// Asks for a watch and waits for the first response, which confirms or refuses it.
fn confirmed(
    client: &Client,
    prefix: &[u8],
    from: Revision,
) -> impl Future<Output = Result<(etcd_client::WatchStream, WatchResponse), etcd_client::Error>> + use<>
{
    let mut watches = client.watch_client().max_decoding_message_size(RESPONSE_OCTETS_MAX);
    let (start, end) = convert::range_of(prefix);
    // One revision early, and its events dropped: etcd allows a watch from the very revision it compacted at,
    // yet versions up to 2024 have forgotten the deletions of that revision (etcd-io/etcd issue 18089).
    let early = from.saturating_sub(1).max(1);
    let options = WatchOptions::new().with_range(end).with_start_revision(early.cast_signed());
    async move {
        let mut stream = watches.watch(start, Some(options)).await?;
        let closed = || etcd_client::Error::WatchError("etcd closed the watch".to_owned());
        let first = stream.message().await?.ok_or_else(closed)?;
        Ok((stream, first))
    }
}

/// An open watch.
pub(super) struct EtcdWatch {
    requests: WatchRequestSender,
    responses: WatchResponseStream,
    /// Events before this revision were not asked for.
    from: Revision,
    /// Told by etcd, not yet by us. Bounded by one response, since the next is read when it is empty.
    ready: VecDeque<Watched>,
    /// Why it is over.
    ended: Option<Error>,
    /// How long a request for progress may wait to be taken.
    patience: Duration,
}

#[async_trait]
impl Watch for EtcdWatch {
    async fn next(&mut self) -> Result<Watched, Error> {
        // Ends with news or an error; a response with neither (a confirmation) is rare.
        loop {
            if let Some(news) = self.ready.pop_front() {
                return Ok(news);
            }
            if let Some(error) = &self.ended {
                return Err(error.clone());
            }
            let taken = match self.responses.message().await {
                Ok(Some(response)) => self.take(&response),
                Ok(None) => Err(Error::Unavailable("etcd closed the watch".to_owned())),
                Err(error) => Err(self.broken(&error)),
            };
            // The client repeats an error at once for ever, or stays silent: remember that it is over.
            self.ended = taken.err();
        }
    }

    async fn request_progress(&mut self) -> Result<(), Error> {
        match timeout(self.patience, self.requests.request_progress()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(Error::Unavailable("etcd takes no more requests".to_owned())),
        }
    }
}

impl EtcdWatch {
    /// Makes ready what a response tells.
    fn take(&mut self, response: &WatchResponse) -> Result<(), Error> {
        if response.canceled() {
            return Err(ending(response.compact_revision(), response.cancel_reason()));
        }
        let changes = response.events().iter().filter_map(convert::change);
        self.ready.extend(batches(changes, self.from));
        if response.events().is_empty() && !response.created() {
            self.ready.push_back(Watched::Progress(convert::stamp(response.header())?));
        }
        Ok(())
    }

    /// What an error on the stream means.
    fn broken(&self, error: &etcd_client::Error) -> Error {
        // A response that can't be read will be as large the next time; only a listing gets past it.
        if failure::too_large(error) {
            return Error::Compacted { oldest: self.from.saturating_add(1) };
        }
        match failure::of(error) {
            Failure::Final(error) => error,
            Failure::NotDone(why) | Failure::Lost(why) | Failure::LoggedOut(why) => {
                Error::Unavailable(why)
            }
        }
    }
}

/// Why etcd cancelled a watch.
fn ending(compacted_at: i64, reason: &str) -> Error {
    if compacted_at > 0 {
        // See `confirmed` for why not this revision itself.
        return Error::Compacted { oldest: convert::revision(compacted_at).saturating_add(1) };
    }
    if reason.contains("permission denied") || reason.contains("auth") {
        return Error::Refused(format!("watch refused: {reason}"));
    }
    Error::Unavailable(format!("etcd cancelled the watch: {reason}"))
}

/// Gathers the changes of each revision, leaving out what was not asked for.
fn batches(changes: impl Iterator<Item = (Revision, Change)>, from: Revision) -> Vec<Watched> {
    let mut batches: Vec<Watched> = Vec::new();
    for (at, change) in changes.filter(|(at, _)| *at >= from) {
        match batches.last_mut() {
            Some(Watched::Batch { revision, changes }) if *revision == at => changes.push(change),
            _ => batches.push(Watched::Batch { revision: at, changes: vec![change] }),
        }
    }
    batches
}

/// The largest response accepted. After an absence etcd sends up to 1,000 revisions in one; with 128 writes
/// of 1 KiB in each that is 128 MB. What is larger is listed instead.
const RESPONSE_OCTETS_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn gone(key: &'static str) -> Change {
        Change::Delete(Bytes::from_static(key.as_bytes()))
    }

    #[test]
    fn changes_of_one_revision_stay_together() {
        let told = [(5, gone("early")), (6, gone("a")), (6, gone("b")), (8, gone("a"))];
        let expected = vec![
            Watched::Batch { revision: 6, changes: vec![gone("a"), gone("b")] },
            Watched::Batch { revision: 8, changes: vec![gone("a")] },
        ];
        assert_eq!(batches(told.into_iter(), 6), expected);
    }

    #[test]
    fn a_cancelled_watch_says_what_to_do() {
        assert_eq!(ending(7, ""), Error::Compacted { oldest: 8 });
        let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        assert!(matches!(ending(0, denied), Error::Refused(_)));
        assert!(matches!(ending(0, "etcdserver: no leader"), Error::Unavailable(_)));
    }
}
