//! What happened of late, kept for watchers: those who follow, and those who come back.
//!
//! A ring of events. Each watcher has a place in it and reads on from there at its own pace; whoever is
//! slower than the ring is long has lost the thread and is told so. Nothing is queued for anyone, so that a
//! watcher who sleeps costs nothing.
//!
//! Knows nothing of HTTP. [`History::push`] is called from the thread that compiles snapshots and never waits.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::registry::Revision;
use crate::zone::Event;

/// The ring.
#[derive(Debug)]
pub struct History {
    events_max: usize,
    ring: Mutex<Ring>,
    next: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    epoch: u64,
    events: VecDeque<(EventId, Arc<Event>)>,
    /// Place of the event that comes after the last one.
    next: u64,
    /// The last event of this epoch that the ring has lost, or the view that it began with.
    lost: Option<EventId>,
}

/// An event's place in the registry's history: `{epoch}.{revision}.{index within the revision}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventId {
    epoch: u64,
    revision: Revision,
    index: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.revision, self.index)
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let (Some(epoch), Some(revision), Some(index), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        Ok(Self {
            epoch: epoch.parse().map_err(|_| ())?,
            revision: revision.parse().map_err(|_| ())?,
            index: index.parse().map_err(|_| ())?,
        })
    }
}

/// What a watcher reads next, and its place after that.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Events(Vec<(EventId, Arc<Event>)>, u64),
    /// Events were lost; the place is the present, and the id that of the last event, if there is one.
    Lost(Option<EventId>, u64),
}

impl History {
    /// An empty history that keeps so many events.
    #[must_use]
    pub fn new(events_max: usize) -> Self {
        let ring = Mutex::new(Ring::default());
        Self { events_max: events_max.max(1), ring, next: watch::Sender::new(0) }
    }

    /// A first view was read: what is in it is no news, and what led to it is not known here.
    pub fn begin(&self, epoch: u64, revision: Revision) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let known = EventId { epoch, revision, index: u32::MAX };
        // The gap in places makes every watcher lose the thread, as below.
        *ring = Ring { epoch, next: ring.next + 1, lost: Some(known), ..Ring::default() };
        let next = ring.next;
        drop(ring);
        self.next.send_replace(next);
    }

    /// Adds events in the order in which they happened. Another epoch than before ends what was kept.
    pub fn push(&self, epoch: u64, events: Vec<Event>) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.epoch != epoch {
            // The gap in places makes every watcher lose the thread, as it has.
            *ring = Ring { epoch, next: ring.next + 1, ..Ring::default() };
        } else if events.is_empty() {
            return;
        }
        for event in events {
            let id = ring.id_for(&event);
            if ring.events.len() == self.events_max {
                ring.lost = ring.events.pop_front().map(|(id, _)| id);
            }
            ring.events.push_back((id, Arc::new(event)));
            ring.next += 1;
        }
        let next = ring.next;
        drop(ring);
        self.next.send_replace(next);
    }

    /// Says when there is something new.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// The place of what comes next, and the id to resume from there.
    pub(super) fn present(&self) -> (Option<EventId>, u64) {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        (ring.last(), ring.next)
    }

    /// The place after that event; none where it can't be said that nothing is missing in between.
    pub(super) fn after(&self, id: EventId) -> Option<u64> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let known_from = ring.lost.or_else(|| ring.events.front().map(|(id, _)| *id))?;
        if id.epoch != ring.epoch || id < known_from {
            return None;
        }
        let seen = ring.events.partition_point(|(kept, _)| *kept <= id);
        Some(ring.first() + seen as u64)
    }

    /// At most `most` events from that place on.
    pub(super) fn read(&self, from: u64, most: usize) -> Next {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(skip) = from.checked_sub(ring.first()) else {
            return Next::Lost(ring.last(), ring.next);
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let events: Vec<_> = ring.events.iter().skip(skip).take(most).cloned().collect();
        let place = from + events.len() as u64;
        Next::Events(events, place)
    }
}

impl Ring {
    /// Place of the oldest event kept.
    fn first(&self) -> u64 {
        self.next - self.events.len() as u64
    }

    /// Who has seen this has missed nothing up to the present.
    fn last(&self) -> Option<EventId> {
        self.events.back().map(|(id, _)| *id).or(self.lost)
    }

    /// Ids rise, whatever revisions do.
    fn id_for(&self, event: &Event) -> EventId {
        let (epoch, revision) = (self.epoch, event.revision);
        match self.last() {
            Some(last) if last.revision >= revision => {
                EventId { index: last.index.saturating_add(1), ..last }
            }
            _ => EventId { epoch, revision, index: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppName, Namespace};
    use crate::zone::Cause;

    fn event(revision: Revision) -> Event {
        Event {
            revision,
            cause: Cause::Online,
            namespace: Namespace::default(),
            app: AppName::new("greeter").unwrap(),
            id: None,
            registration: None,
            lease: None,
            note: None,
        }
    }

    fn id(text: &str) -> EventId {
        text.parse().unwrap()
    }

    fn ids(next: Next) -> Vec<String> {
        match next {
            Next::Events(events, _) => events.iter().map(|(id, _)| id.to_string()).collect(),
            Next::Lost(..) => vec!["lost".to_owned()],
        }
    }

    #[test]
    fn events_of_one_revision_have_an_index() {
        let history = History::new(10);
        history.push(1, vec![event(5), event(5)]);
        history.push(1, vec![event(5), event(7)]);
        assert_eq!(ids(history.read(1, 10)), ["1.5.0", "1.5.1", "1.5.2", "1.7.0"]);
        assert_eq!(ids(history.read(history.after(id("1.5.1")).unwrap(), 10)), ["1.5.2", "1.7.0"]);
        assert_eq!(ids(history.read(1, 2)), ["1.5.0", "1.5.1"]);
    }

    #[test]
    fn who_is_slower_than_the_ring_has_lost_the_thread() {
        let history = History::new(2);
        history.push(1, vec![event(5), event(6)]);
        let (_, place) = history.present();
        let seen = id("1.5.0");
        assert!(history.after(seen).is_some());
        history.push(1, vec![event(7)]);
        // 1.5.0 itself is lost, and all after it is there.
        assert_eq!(ids(history.read(history.after(seen).unwrap(), 9)), ["1.6.0", "1.7.0"]);
        history.push(1, vec![event(8)]);
        assert_eq!(history.after(seen), None);
        assert_eq!(ids(history.read(place - 1, 9)), ["lost"]);
        assert_eq!(ids(history.read(place, 9)), ["1.7.0", "1.8.0"]);
    }

    #[test]
    fn another_epoch_ends_what_was_kept() {
        let history = History::new(10);
        history.push(1, vec![event(5)]);
        let (_, place) = history.present();
        history.push(2, vec![event(3)]);
        assert_eq!(history.after(id("1.5.0")), None);
        assert_eq!(ids(history.read(place, 9)), ["lost"]);
        assert!(history.after(id("2.3.0")).is_some());
    }

    #[test]
    fn a_first_view_is_no_news_and_can_be_resumed_from() {
        let history = History::new(10);
        let (_, place) = history.present();
        history.begin(0, 5);
        // Who watched while nothing was known has to list; who was told up to 5 elsewhere as well.
        assert_eq!(ids(history.read(place, 9)), ["lost"]);
        assert_eq!(history.after(id("0.5.0")), None);
        let (last, place) = history.present();
        history.push(0, vec![event(6)]);
        assert_eq!(ids(history.read(place, 9)), ["0.6.0"]);
        let place = history.after(last.unwrap()).unwrap();
        assert_eq!(ids(history.read(place, 9)), ["0.6.0"]);
    }

    #[test]
    fn without_history_nothing_can_be_resumed() {
        assert_eq!(History::new(10).after(id("0.5.0")), None);
        assert!("1.2".parse::<EventId>().is_err() && "1.2.x".parse::<EventId>().is_err());
    }
}
