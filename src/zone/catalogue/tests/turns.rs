//! An app that was just built waits for its turn, and no other app for it.

use std::cell::Cell;

use super::*;

/// Each look at it takes a millisecond: a build takes one, and the app rests for twenty.
struct Clock(Cell<Duration>);

impl Clock {
    fn new() -> Self {
        Self(Cell::new(Duration::from_millis(1_000)))
    }

    fn look(&self) -> Duration {
        self.0.set(self.0.get() + Duration::from_millis(1));
        self.0.get()
    }

    fn set(&self, now: Duration) {
        self.0.set(now);
    }
}

#[test]
fn an_app_built_a_moment_ago_waits_and_the_revision_tells() {
    let mut history = History::new(&[]);
    let clock = Clock::new();
    history.put("x", "i", BODY);
    let first = history.catalogue.compile(&|| clock.look());
    assert_eq!((first.snapshot.revision, first.due), (2, None));
    assert_eq!(first.built, [2]);
    history.put("x", "j", r#"{"address":"10.0.0.8","port":1}"#);
    history.put("y", "i", BODY);
    let second = history.catalogue.compile(&|| clock.look());
    assert_eq!(second.snapshot.revision, 2, "revision 3 is not shown yet");
    assert_eq!(second.built, [4]);
    history.put("x", "k", r#"{"address":"10.0.0.8","port":2}"#);
    assert_eq!(a(&second.snapshot.zones[0], "x"), ["10.0.0.7"]);
    assert_eq!(a(&second.snapshot.zones[0], "y"), ["10.0.0.7"], "others don't wait");
    clock.set(second.due.unwrap());
    let third = history.catalogue.compile(&|| clock.look());
    assert_eq!((third.snapshot.revision, third.due), (5, None));
    assert_eq!(third.built, [3], "what it lacked first");
    assert_eq!(a(&third.snapshot.zones[0], "x"), ["10.0.0.7", "10.0.0.8"]);
}

#[test]
fn a_new_app_waits_for_the_one_whose_name_it_takes() {
    let mut history = History::new(&[]);
    let clock = Clock::new();
    history.put("x", "b", r#"{"address":"10.0.0.1","port":1}"#);
    history.catalogue.compile(&|| clock.look());
    // `x` must rest: until it is built, its instance answers for `b.x`, and its SRV records point there.
    history.put("b.x", "i", r#"{"address":"10.0.0.2","port":2}"#);
    let second = history.catalogue.compile(&|| clock.look());
    assert_eq!(a(&second.snapshot.zones[0], "b.x"), ["10.0.0.1"]);
    assert_eq!(second.snapshot.revision, 2);
    clock.set(second.due.unwrap());
    let third = history.catalogue.compile(&|| clock.look());
    assert_eq!((third.snapshot.revision, third.due), (3, None));
    assert_eq!(a(&third.snapshot.zones[0], "b.x"), ["10.0.0.2"]);
    assert_eq!(a(&third.snapshot.zones[0], "x"), ["10.0.0.1"]);
    // Once both know of each other, `b.x` changes without `x`, which is not even built.
    history.put("b.x", "i", r#"{"address":"10.0.0.3","port":2}"#);
    let touched: Vec<_> = history.catalogue.touched.keys().map(|(_, app)| app.as_str()).collect();
    assert_eq!(touched, ["b.x"]);
}

#[test]
fn an_instance_waits_for_the_app_whose_name_it_gets_back() {
    let mut history = History::new(&[]);
    let clock = Clock::new();
    history.put("b.x", "i", r#"{"address":"10.0.0.2","port":2}"#);
    history.catalogue.compile(&|| clock.look());
    // `b.x` must rest, and answers for its name until it is built, although it is no longer registered.
    history.put("x", "b", r#"{"address":"10.0.0.1","port":1}"#);
    history.delete("b.x", "i");
    let second = history.catalogue.compile(&|| clock.look());
    assert_eq!(a(&second.snapshot.zones[0], "b.x"), ["10.0.0.2"]);
    assert_eq!(a(&second.snapshot.zones[0], "x"), ["between"]);
    clock.set(second.due.unwrap());
    let third = history.catalogue.compile(&|| clock.look());
    assert_eq!((third.snapshot.revision, third.due), (4, None));
    assert_eq!(a(&third.snapshot.zones[0], "b.x"), ["10.0.0.1"]);
}

#[test]
fn a_view_read_anew_shows_no_revision_before_what_it_brings_is_built() {
    let mut history = History::new(&[]);
    let clock = Clock::new();
    history.put("x", "i", BODY);
    assert_eq!(history.catalogue.compile(&|| clock.look()).snapshot.revision, 2);
    // Revisions 3 to 9 were missed; the instance may be of any of them. `x` has to rest.
    let whole = |history: &mut History, revision, epoch, id| {
        let (key, parsed) = instance(&history.keys, "x", id, BODY);
        let now = Some(Kept { revision: 4, lease: None, parsed });
        let news = vec![News { key, was: None, now }];
        history.catalogue.apply(Origin::NATIVE, &Delta { revision, epoch, whole: true, news });
    };
    whole(&mut history, 9, 0, "j");
    let waiting = history.catalogue.compile(&|| clock.look());
    assert_eq!(waiting.snapshot.revision, 2);
    clock.set(waiting.due.unwrap());
    assert_eq!(history.catalogue.compile(&|| clock.look()).snapshot.revision, 9);
    // Revisions of another epoch are others, however high.
    whole(&mut history, 20, 1, "k");
    let waiting = history.catalogue.compile(&|| clock.look());
    assert_eq!((waiting.snapshot.epoch, waiting.snapshot.revision), (1, 0));
    clock.set(waiting.due.unwrap());
    assert_eq!(history.catalogue.compile(&|| clock.look()).snapshot.revision, 20);
}
