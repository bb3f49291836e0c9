//! etcd (v3) as registry: the only room that names its client crate.
//!
//! The client balances over members without ever asking a second one, resumes nothing, and waits for ever
//! on a server that hangs. So this room adds: one connection for each member and calls that go on to the
//! next one (`cluster`), what each failure means for whether a write may be repeated (`failure`), logging
//! in when first needed and again when a token has expired (`member`), and watches that end loudly
//! (`watch`).
//!
//! Nothing here connects before it is used: a server starts while etcd is down.
//!
//! Knows nothing of what keys and values mean.

mod cluster;
mod convert;
mod failure;
mod member;
mod watch;

use async_trait::async_trait;
use etcd_client::{
    Client, Compare, CompareOp, GetOptions, GetResponse, LeaseGrantOptions, PutOptions, TxnOp,
};

use super::{
    Committed, Entry, Error, EtcdSettings, Granted, LeaseId, Listing, Precondition, Registry,
    Revision, Stamp, Txn, Watch, Write,
};
use cluster::{Cluster, Repeat};

/// An etcd cluster.
pub struct EtcdRegistry {
    cluster: Cluster,
    page_entries: i64,
}

impl EtcdRegistry {
    /// Reads the TLS material and makes ready to connect; the members themselves are first reached by the
    /// first call.
    ///
    /// # Errors
    /// [`Error::Refused`] where the settings can't work: no endpoint, a malformed URL, an unreadable file.
    pub async fn connect(settings: EtcdSettings) -> Result<Self, Error> {
        let page_entries = settings.page_entries.max(1);
        Ok(Self { cluster: Cluster::new(settings).await?, page_entries })
    }

    /// A lease under the id that it had in another registry. One that is there already is left as it is.
    ///
    /// # Errors
    /// As [`Registry::grant`].
    pub async fn grant_as(&self, lease: LeaseId, ttl_secs: u32) -> Result<(), Error> {
        self.cluster
            .call(Repeat::Freely, |client| {
                let mut leases = client.lease_client();
                let options = LeaseGrantOptions::new().with_id(lease.get().cast_signed());
                async move {
                    match leases.grant(i64::from(ttl_secs), Some(options)).await {
                        Err(error) if failure::lease_exists(&error) => Ok(()),
                        granted => granted.map(drop),
                    }
                }
            })
            .await
    }

    /// One page of a listing; none if it is too large for one message.
    async fn page(&self, page: &Page<'_>) -> Result<Option<GetResponse>, Error> {
        self.cluster
            .call(Repeat::Freely, |client| {
                let mut kv = client.kv_client().max_decoding_message_size(PAGE_OCTETS_MAX);
                let (start, options) = (page.start.clone(), page.options());
                async move {
                    match kv.get(start, Some(options)).await {
                        Err(error) if failure::too_large(&error) => Ok(None),
                        page => page.map(Some),
                    }
                }
            })
            .await
    }

    /// The first revision that a watch may start from, asked by a watch that starts too early. etcd's error
    /// on a read does not say it.
    async fn oldest_kept(&self, prefix: &[u8]) -> Option<Revision> {
        let mut early = watch::open(&self.cluster, prefix, 1).await.ok()?;
        match tokio::time::timeout(self.cluster.call_timeout(), early.next()).await {
            Ok(Err(Error::Compacted { oldest })) => Some(oldest),
            _ => None,
        }
    }
}

/// What a page of a listing is asked with.
struct Page<'a> {
    start: Vec<u8>,
    end: &'a [u8],
    limit: i64,
    /// None on the first page of a current listing: its answer sets the revision of the others.
    revision: Option<Revision>,
    keys_only: bool,
}

impl Page<'_> {
    fn options(&self) -> GetOptions {
        let mut options = GetOptions::new().with_range(self.end).with_limit(self.limit);
        if let Some(revision) = self.revision {
            options = options.with_revision(revision.cast_signed());
        }
        if self.keys_only { options.with_keys_only() } else { options }
    }
}

#[async_trait]
impl Registry for EtcdRegistry {
    async fn get(&self, key: &[u8]) -> Result<(Stamp, Option<Entry>), Error> {
        let mut answer = self
            .cluster
            .call(Repeat::Freely, |client| {
                let (mut kv, key) = (client.kv_client(), key.to_vec());
                async move { kv.get(key, None).await }
            })
            .await?;
        let stamp = convert::stamp(answer.header())?;
        Ok((stamp, answer.take_kvs().pop().map(convert::entry)))
    }

    /// The call timeout bounds each page: a listing of a million keys may take longer than one call.
    async fn list(
        &self,
        prefix: &[u8],
        keys_only: bool,
        at: Option<Revision>,
    ) -> Result<Listing, Error> {
        let (start, end) = convert::range_of(prefix);
        let limit = self.page_entries;
        let mut page = Page { start, end: &end, limit, revision: at, keys_only };
        let mut cluster = None;
        let mut entries = Vec::new();
        // Ends: every round either halves the limit, down to one, or moves the start beyond a key.
        loop {
            let answer = match self.page(&page).await {
                Ok(answer) => answer,
                Err(Error::Compacted { oldest }) => {
                    let oldest = self.oldest_kept(prefix).await.unwrap_or(oldest);
                    return Err(Error::Compacted { oldest });
                }
                Err(error) => return Err(error),
            };
            let Some(mut answer) = answer else {
                if page.limit == 1 {
                    let key = String::from_utf8_lossy(&page.start).into_owned();
                    return Err(Error::Refused(format!("an entry at or after {key} is too large")));
                }
                page.limit = (page.limit / 2).max(1);
                continue;
            };
            let stamp = convert::stamp(answer.header())?;
            let revision = *page.revision.get_or_insert(stamp.revision);
            let cluster = *cluster.get_or_insert(stamp.cluster);
            let more = answer.more();
            entries.extend(answer.take_kvs().into_iter().map(convert::entry));
            match entries.last() {
                Some(last) if more => page.start = convert::after(&last.key),
                _ => return Ok(Listing { stamp: Stamp { cluster, revision }, entries }),
            }
        }
    }

    async fn watch(&self, prefix: &[u8], from: Revision) -> Result<Box<dyn Watch>, Error> {
        // etcd accepts a watch from the future and then is silent until that revision comes, whatever
        // happens before: the state after a restored backup.
        let (stamp, _) = self.get(&convert::range_of(prefix).0).await?;
        if from > stamp.revision.saturating_add(1) {
            let now = stamp.revision;
            return Err(Error::Refused(format!(
                "watch from revision {from}, yet etcd is at {now}"
            )));
        }
        Ok(Box::new(watch::open(&self.cluster, prefix, from).await?))
    }

    async fn commit(&self, txn: Txn) -> Result<Committed, Error> {
        let request = transaction(txn);
        let answer = self
            .cluster
            .call(Repeat::OnlyUnsent, |client| {
                let (mut kv, request) = (client.kv_client(), request.clone());
                async move { kv.txn(request).await }
            })
            .await?;
        let stamp = convert::stamp(answer.header())?;
        Ok(if answer.succeeded() { Committed::Done(stamp) } else { Committed::Refused(stamp) })
    }

    /// Repeated freely: a lease that nobody was told of ends by itself and holds no key.
    async fn grant(&self, ttl_secs: u32) -> Result<Granted, Error> {
        let answer = self
            .cluster
            .call(Repeat::Freely, |client| {
                let mut leases = client.lease_client();
                async move { leases.grant(i64::from(ttl_secs), None).await }
            })
            .await?;
        let stamp = convert::stamp(answer.header())?;
        let lease = convert::lease(answer.id())
            .ok_or_else(|| Error::Refused("etcd granted a lease without an id".to_owned()))?;
        Ok(Granted { stamp, lease, ttl_secs: convert::seconds(answer.ttl()) })
    }

    /// Opens a keep-alive stream for one renewal, since the client ties a stream to one lease. It can be
    /// repeated freely.
    async fn renew(&self, lease: LeaseId) -> Result<u32, Error> {
        let ttl = self
            .cluster
            .call(Repeat::Freely, |client| {
                let mut leases = client.lease_client();
                async move {
                    // The client's own first ping swallows its answer, and with it the TTL: ask again.
                    let (mut keeper, mut answers) =
                        leases.keep_alive(lease.get().cast_signed()).await?;
                    keeper.keep_alive().await?;
                    let closed = || {
                        etcd_client::Error::LeaseKeepAliveError("etcd closed the stream".to_owned())
                    };
                    Ok(answers.message().await?.ok_or_else(closed)?.ttl())
                }
            })
            .await?;
        if ttl > 0 { Ok(convert::seconds(ttl)) } else { Err(Error::LeaseNotFound) }
    }

    async fn revoke(&self, lease: LeaseId) -> Result<Stamp, Error> {
        let answer = self
            .cluster
            .call(Repeat::OnlyUnsent, |client| {
                let mut leases = client.lease_client();
                async move { leases.revoke(lease.get().cast_signed()).await }
            })
            .await?;
        convert::stamp(answer.header())
    }

    async fn time_left(&self, lease: LeaseId) -> Result<u32, Error> {
        let answer = self
            .cluster
            .call(Repeat::Freely, |client: &Client| {
                let mut leases = client.lease_client();
                async move { leases.time_to_live(lease.get().cast_signed(), None).await }
            })
            .await?;
        // etcd's way of saying that there is none.
        if answer.ttl() < 0 {
            return Err(Error::LeaseNotFound);
        }
        Ok(convert::seconds(answer.ttl()))
    }
}

/// A transaction in etcd's terms.
fn transaction(txn: Txn) -> etcd_client::Txn {
    let conditions: Vec<_> = txn
        .preconditions
        .into_iter()
        .map(|precondition| match precondition {
            Precondition::Absent(key) => {
                Compare::create_revision(Vec::from(key), CompareOp::Equal, 0)
            }
            Precondition::At(key, revision) => {
                Compare::mod_revision(Vec::from(key), CompareOp::Equal, revision.cast_signed())
            }
        })
        .collect();
    let writes: Vec<_> = txn
        .writes
        .into_iter()
        .map(|write| match write {
            Write::Put { key, value, lease } => {
                let lease = lease.map(|id| PutOptions::new().with_lease(id.get().cast_signed()));
                TxnOp::put(Vec::from(key), Vec::from(value), lease)
            }
            Write::Delete(key) => TxnOp::delete(Vec::<u8>::from(key), None),
        })
        .collect();
    etcd_client::Txn::new().when(conditions).and_then(writes)
}

/// The largest page accepted: 1,000 entries of an ordinary 500 octets are 0.5 MB; larger ones make the page
/// shorter. etcd itself takes no value above 1.5 MiB, so one entry always fits.
const PAGE_OCTETS_MAX: usize = 16 << 20;
