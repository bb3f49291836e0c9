//! How long a change waits here: from its arrival at the mirror until the answers that show it are swapped in.
//!
//! Counted once for each time that an app is built, from the oldest change that its answers lacked until then.
//! So an app that rests (it was built a moment ago, and is large) is counted when its turn comes, and what is
//! published of others meanwhile neither hides its wait nor is charged with it. Changes that no answer shows
//! are not counted.
//!
//! Knows nothing of apps: the first revision that each lacked is enough to find when that came.

use std::collections::VecDeque;

use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

use crate::registry::Revision;

/// When the steps came that some app may still lack. Belongs to the compiler's thread.
#[derive(Debug)]
pub(super) struct Freshness {
    seconds: Histogram,
    epoch: u64,
    /// By revision, rising. Bounded by the steps that come while an app rests, and it rests 50 ms at most.
    steps: VecDeque<(Revision, Instant)>,
}

impl Freshness {
    /// Observes into that histogram.
    pub(super) fn new(seconds: Histogram) -> Self {
        Self { seconds, epoch: 0, steps: VecDeque::new() }
    }

    /// A step to that revision came at that time.
    pub(super) fn arrived(&mut self, epoch: u64, revision: Revision, at: Instant) {
        if epoch != self.epoch {
            // Revisions of another history don't compare. What still waits is now waiting for this view.
            self.steps.clear();
            self.epoch = epoch;
        }
        self.steps.push_back((revision, at));
    }

    /// Answers up to `shown` were swapped in, with apps newly built; of each, `built` has the first revision
    /// that it had lacked.
    pub(super) fn swapped_in(&mut self, built: &[Revision], shown: Revision, now: Instant) {
        for first in built {
            let step = self.steps.partition_point(|(revision, _)| revision < first);
            if let Some((_, came)) = self.steps.get(step) {
                self.seconds.observe(now.duration_since(*came).as_secs_f64());
            }
        }
        // An app that waits on lacks a revision beyond these.
        let known = self.steps.partition_point(|(revision, _)| *revision <= shown);
        self.steps.drain(..known);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    /// A clock, what is measured, and where that can be read.
    struct Measured {
        start: Instant,
        freshness: Freshness,
        registry: Registry,
    }

    impl Measured {
        fn new() -> Self {
            let seconds = Histogram::new([0.01]);
            let mut registry = Registry::default();
            registry.register("waited", "Time", seconds.clone());
            Self { start: Instant::now(), freshness: Freshness::new(seconds), registry }
        }

        fn arrives(&mut self, epoch: u64, revision: Revision, millis: u64) {
            self.freshness.arrived(epoch, revision, self.start + Duration::from_millis(millis));
        }

        fn swaps(&mut self, built: &[Revision], shown: Revision, millis: u64) {
            let now = self.start + Duration::from_millis(millis);
            self.freshness.swapped_in(built, shown, now);
        }

        /// Observations, and the milliseconds that they sum up to.
        fn seen(&self) -> (u64, u64) {
            let mut text = String::new();
            encode(&mut text, &self.registry).unwrap();
            let value = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.trim().parse::<f64>().unwrap()
            };
            (value("waited_count") as u64, (value("waited_sum") * 1_000.0).round() as u64)
        }
    }

    #[test]
    fn a_change_is_counted_from_its_arrival_to_the_swap() {
        let mut measured = Measured::new();
        measured.arrives(0, 5, 100);
        measured.arrives(0, 6, 103);
        // Nothing that answers show: a heartbeat's bookkeeping.
        measured.arrives(0, 7, 104);
        measured.swaps(&[5, 6], 7, 110);
        assert_eq!(measured.seen(), (2, 10 + 7));
        measured.swaps(&[], 7, 120);
        assert_eq!(measured.seen(), (2, 17));
        assert!(measured.freshness.steps.is_empty());
    }

    #[test]
    fn an_app_that_rests_is_counted_when_its_turn_comes() {
        let mut measured = Measured::new();
        measured.arrives(0, 5, 100);
        measured.arrives(0, 6, 101);
        // The app of revision 5 rests, with it the revision that all answers show.
        measured.swaps(&[6], 4, 102);
        assert_eq!(measured.seen(), (1, 1));
        measured.arrives(0, 7, 140);
        measured.swaps(&[7], 4, 142);
        assert_eq!(measured.seen(), (2, 3));
        measured.swaps(&[5], 7, 150);
        assert_eq!(measured.seen(), (3, 53));
        assert!(measured.freshness.steps.is_empty());
    }

    #[test]
    fn a_listing_counts_from_its_own_arrival_also_in_another_history() {
        let mut measured = Measured::new();
        // The first view: all apps lack everything.
        measured.arrives(0, 90, 100);
        measured.swaps(&[1, 1, 1], 90, 102);
        assert_eq!(measured.seen(), (3, 6));
        measured.arrives(0, 91, 103);
        measured.swaps(&[], 90, 104);
        // A backup was restored, which is further back; the app of revision 91 waits for this view now.
        measured.arrives(1, 50, 200);
        measured.swaps(&[1], 50, 205);
        assert_eq!(measured.seen(), (4, 11));
        assert!(measured.freshness.steps.is_empty());
    }
}
