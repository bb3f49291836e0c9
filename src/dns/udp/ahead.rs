//! Reads the questions of a batch, and has fetched what their answers are going to be read from, all at once.
//!
//! Where a zone has many apps, each look-up waits for memory two or three times, for a tenth of a microsecond
//! each, and the core can do nothing else meanwhile. Taken step by step for the whole batch, the waits of
//! up to 64 queries overlap. What is found is thrown away: the answers then find it in the cache.
//!
//! Knows nothing of what an answer holds.

use super::DATAGRAMS_MAX;
use crate::dns::answer::query::Question;
use crate::zone::{Snapshot, Walk};

/// The questions of a batch: allocated once.
#[derive(Debug)]
pub(super) struct Ahead {
    questions: Box<[Question]>,
}

impl Ahead {
    pub(super) fn new() -> Self {
        Self { questions: vec![Question::NONE; DATAGRAMS_MAX].into() }
    }

    /// Reads the questions of a batch, in place of those of the one before.
    pub(super) fn read<'q>(&mut self, queries: impl Iterator<Item = &'q [u8]>) {
        for (question, query) in self.questions.iter_mut().zip(queries) {
            question.fill(query);
        }
    }

    /// Has the cache lines fetched that answers to the first so many questions will be read from.
    pub(super) fn fetch(&self, snapshot: &Snapshot, questions: usize) {
        if questions < 2 || !snapshot.is_large() {
            return;
        }
        let mut walks: [Option<Walk<'_>>; DATAGRAMS_MAX] = [None; DATAGRAMS_MAX];
        for (walk, question) in walks.iter_mut().zip(self.questions.iter().take(questions)) {
            *walk = snapshot.walk(question.name());
        }
        walks.iter_mut().flatten().for_each(Walk::to_bucket);
        walks.into_iter().flatten().for_each(Walk::to_block);
    }

    /// The question of the query at that place of the batch.
    #[inline]
    pub(super) fn question(&self, at: usize) -> &Question {
        &self.questions[at]
    }
}
