//! How long a mirror waits, and for what.

use std::time::Duration;

/// A mirror's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// The first pause after a failure.
    pub backoff_min: Duration,
    /// The longest; a watch that lived that long starts from the first pause again.
    pub backoff_max: Duration,
    /// How often a watch is asked whether it lives.
    pub progress_every: Duration,
    /// How long it may stay silent before it counts as dead; at least two questions' time.
    pub silence_max: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            progress_every: Duration::from_secs(5),
            silence_max: Duration::from_secs(10),
        }
    }
}

/// Pauses that double, each cut by up to a half so that many servers don't come back at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    min: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { next: min, min, max }
    }

    /// The pause to make now.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.max);
        pause
    }

    pub(super) fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let (min, max) = (Duration::from_millis(50), Duration::from_millis(150));
        let mut backoff = Backoff::new(min, max);
        for whole in [50, 100, 150, 150] {
            let whole = Duration::from_millis(whole);
            let pause = backoff.pause();
            assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= min);
    }
}
