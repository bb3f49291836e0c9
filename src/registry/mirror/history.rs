//! Whether an answer belongs to the history that was applied so far. No I/O.

use crate::registry::{Revision, Stamp};

/// The applied history: whose it is, and how far it goes.
#[derive(Debug, Default)]
pub(super) struct History {
    applied: Option<Stamp>,
    /// Answers from behind, one after another.
    behind: u32,
}

/// What a linearizable answer says of the history.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the same, and not older than what was applied.
    Continues,
    /// It can't be, yet it may be a slip: discard the answer and ask again.
    Doubtful(String),
    /// It is another one.
    Broken(String),
}

impl History {
    /// Judges an answer. Before the first view, every answer continues.
    pub(super) fn judge(&mut self, answer: Stamp) -> Verdict {
        let Some(applied) = self.applied else { return Verdict::Continues };
        if answer.cluster != applied.cluster {
            let (now, before) = (answer.cluster, applied.cluster);
            return Verdict::Broken(format!("cluster {now:x} answers, it was {before:x}"));
        }
        if answer.revision >= applied.revision {
            self.behind = 0;
            return Verdict::Continues;
        }
        self.behind = self.behind.saturating_add(1);
        let (now, before) = (answer.revision, applied.revision);
        let why = format!("registry is at revision {now}, yet was at {before} before");
        if self.behind < BEHIND_MAX { Verdict::Doubtful(why) } else { Verdict::Broken(why) }
    }

    /// Takes a listing's place in history as ours. True for the first one.
    pub(super) fn adopt(&mut self, stamp: Stamp) -> bool {
        self.behind = 0;
        self.applied.replace(stamp).is_none()
    }

    /// Moves on to a revision; false, and nothing done, if it was applied already.
    pub(super) fn advance(&mut self, revision: Revision) -> bool {
        match &mut self.applied {
            Some(applied) if applied.revision < revision => {
                applied.revision = revision;
                true
            }
            _ => false,
        }
    }

    /// The last revision applied; 0 before the first view.
    pub(super) fn applied(&self) -> Revision {
        self.applied.map_or(0, |applied| applied.revision)
    }
}

/// That many answers from behind are believed. Two: a member that lost its place answers wrongly once, then
/// it is found out by its peers or by our going on to another one.
const BEHIND_MAX: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(revision: Revision) -> Stamp {
        Stamp { cluster: 1, revision }
    }

    #[test]
    fn two_answers_from_behind_in_a_row_break_it() {
        let mut history = History::default();
        assert_eq!(history.judge(at(3)), Verdict::Continues);
        assert!(history.adopt(at(10)));
        assert!(matches!(history.judge(at(9)), Verdict::Doubtful(_)));
        assert_eq!(history.judge(at(10)), Verdict::Continues);
        assert!(matches!(history.judge(at(9)), Verdict::Doubtful(_)));
        assert!(matches!(history.judge(at(8)), Verdict::Broken(_)));
        assert!(!history.adopt(at(8)));
        assert_eq!(history.judge(at(8)), Verdict::Continues);
    }

    #[test]
    fn another_cluster_breaks_it_at_once() {
        let mut history = History::default();
        history.adopt(at(10));
        let other = Stamp { cluster: 2, revision: 99 };
        assert!(matches!(history.judge(other), Verdict::Broken(_)));
    }

    #[test]
    fn it_only_moves_forward() {
        let mut history = History::default();
        history.adopt(at(10));
        assert!(!history.advance(10));
        assert!(history.advance(12));
        assert!(!history.advance(11));
        assert_eq!(history.applied(), 12);
    }
}
