//! An app that was just built waits for its turn, and no other app for it.

use super::*;

#[test]
fn an_app_built_a_moment_ago_waits_and_the_revision_tells() {
    let mut history = History::new(&[]);
    let clock = std::cell::Cell::new(Duration::from_millis(1_000));
    // Each look at the clock takes a millisecond: a build takes one, and the app rests for twenty.
    let tick = || {
        clock.set(clock.get() + Duration::from_millis(1));
        clock.get()
    };
    history.put("x", "i", BODY);
    let first = history.catalogue.compile(&tick);
    assert_eq!((first.snapshot.revision, first.due), (2, None));
    history.put("x", "j", r#"{"address":"10.0.0.8","port":1}"#);
    history.put("y", "i", BODY);
    let second = history.catalogue.compile(&tick);
    assert_eq!(second.snapshot.revision, 2, "revision 3 is not shown yet");
    assert_eq!(a(&second.snapshot.zones[0], "x"), ["10.0.0.7"]);
    assert_eq!(a(&second.snapshot.zones[0], "y"), ["10.0.0.7"], "others don't wait");
    clock.set(second.due.unwrap());
    let third = history.catalogue.compile(&tick);
    assert_eq!((third.snapshot.revision, third.due), (4, None));
    assert_eq!(a(&third.snapshot.zones[0], "x"), ["10.0.0.7", "10.0.0.8"]);
}
