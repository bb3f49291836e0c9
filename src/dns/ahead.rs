//! Fetches what a batch of queries is going to read, all at once.
//!
//! Where a zone has many apps, each look-up waits for memory two or three times, for a tenth of a microsecond
//! each, and the core can do nothing else meanwhile. Taken step by step for the whole batch, the waits of
//! up to 64 queries overlap. What is found is thrown away: the answers then find it in the cache.
//!
//! Knows nothing of what an answer holds.

use super::query::Question;
use crate::zone::{Snapshot, Walk};

/// Queries that are looked at together.
const TOGETHER: usize = 64;

/// Has the cache lines fetched that answers to these queries will be read from.
pub(super) fn fetch<'q>(snapshot: &Snapshot, queries: impl Iterator<Item = &'q [u8]>) {
    if !snapshot.is_large() {
        return;
    }
    let mut walks: [Option<Walk<'_>>; TOGETHER] = [None; TOGETHER];
    for (walk, query) in walks.iter_mut().zip(queries) {
        let Some(question) = Question::read(query) else { continue };
        *walk = snapshot.walk(question.name());
    }
    walks.iter_mut().flatten().for_each(Walk::to_bucket);
    walks.into_iter().flatten().for_each(Walk::to_block);
}
