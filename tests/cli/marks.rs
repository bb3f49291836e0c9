//! `offline` and `online`.

use serde_json::{Value, json};

use crate::fake::{Fake, Reply, refusal};
use crate::process::run;

/// A server on which `greeter` has these instances: id, state, address.
fn with(instances: &[(&str, &str, &str)]) -> Fake {
    let instances: Vec<Value> = instances
        .iter()
        .map(|(id, state, address)| {
            json!({ "id": id, "state": state, "addresses": [address], "endpoints": [], "ttl": 30 })
        })
        .collect();
    let app = json!({ "revision": 7, "app": "greeter", "pinned": false, "offline": null,
                      "instances": instances, "absent_marks": [] });
    Fake::start(move |seen, _| match seen.line.as_str() {
        "GET /v1/apps/greeter" => Reply::Json(200, app.clone()),
        line if line.starts_with("GET") => refusal(404, None, "there is no such app"),
        _ => Reply::Json(200, json!({ "revision": 8, "visible": true })),
    })
}

/// The marks that were set, without the reads before them.
fn puts(fake: &Fake) -> Vec<String> {
    fake.lines().into_iter().filter(|line| line.starts_with("PUT")).collect()
}

#[test]
fn an_instance_is_marked_with_the_reason() {
    let fake = with(&[("i-1", "online", "10.0.0.7"), ("i-2", "online", "10.0.0.8")]);
    let ended =
        run(&["offline", "greeter", "i-1", "--reason", "disk is full", "--http", &fake.address()]);
    let table = "\
+---------+-----+---------+----------+
| APP     | ID  | MARKED  | REVISION |
+====================================+
| greeter | i-1 | offline | 8        |
+---------+-----+---------+----------+
";
    assert_eq!((ended.out.as_str(), ended.code), (table, 0), "{}", ended.err);
    assert_eq!(puts(&fake), ["PUT /v1/apps/greeter/instances/i-1/offline"]);
    let requests = fake.requests();
    let put = requests.last().unwrap();
    assert_eq!(put.body, json!({ "reason": "disk is full" }));
    assert_eq!(put.header("content-type"), Some("application/json"));
}

#[test]
fn the_last_one_online_needs_force() {
    let fake = with(&[("i-1", "online", "10.0.0.7"), ("i-2", "offline", "10.0.0.8")]);
    let ended = run(&["offline", "greeter", "i-1", "--http", &fake.address()]);
    let line = "rollcall: nothing of greeter would be left online (1 of 1 would go): \
                repeat with --force to do it all the same\n";
    assert_eq!((ended.err.as_str(), ended.code), (line, 1));
    assert_eq!(run(&["offline", "greeter", "--all", "--http", &fake.address()]).code, 1);
    assert_eq!(puts(&fake), [""; 0]);

    // What is not online already costs nothing more.
    assert_eq!(run(&["offline", "greeter", "i-2", "--http", &fake.address()]).code, 0);
    assert_eq!(run(&["offline", "greeter", "i-1", "--force", "--http", &fake.address()]).code, 0);
    assert_eq!(run(&["offline", "greeter", "--all", "--force", "--http", &fake.address()]).code, 0);
    assert_eq!(
        puts(&fake),
        [
            "PUT /v1/apps/greeter/instances/i-2/offline",
            "PUT /v1/apps/greeter/instances/i-1/offline",
            "PUT /v1/apps/greeter/offline",
        ]
    );
}

#[test]
fn an_app_without_registrations_may_be_marked() {
    let fake = with(&[]);
    assert_eq!(run(&["offline", "other", "i-1", "--http", &fake.address()]).code, 0);
    assert_eq!(fake.lines(), ["GET /v1/apps/other", "PUT /v1/apps/other/instances/i-1/offline"]);
}

#[test]
fn here_means_the_addresses_of_this_host() {
    // The server is on this host, so loopback is this host's; 192.0.2.1 is nobody's (RFC 5737).
    let fake = with(&[("mine", "online", "127.0.0.1"), ("other", "online", "192.0.2.1")]);
    let ended = run(&["offline", "greeter", "--here", "--json", "--http", &fake.address()]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(puts(&fake), ["PUT /v1/apps/greeter/instances/mine/offline"]);
    let printed: Value = serde_json::from_str(&ended.out).unwrap();
    let expected = json!({ "app": "greeter", "revision": 8, "visible": true,
                           "marks": [{ "id": "mine", "revision": 8, "visible": true }] });
    assert_eq!(printed, expected);

    let fake = with(&[("other", "online", "192.0.2.1")]);
    let ended = run(&["offline", "greeter", "--here", "--http", &fake.address()]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.starts_with("rollcall: greeter has no instance with an address of this host (")
    );
}

#[test]
fn online_tells_what_it_does_not_bring_about() {
    let note = json!({ "by": "ops", "at": "", "reason": "migration" });
    let app = json!({ "revision": 7, "app": "greeter", "offline": note, "instances": [] });
    let fake = Fake::start(move |seen, _| match seen.line.as_str() {
        "GET /v1/apps/greeter" => Reply::Json(200, app.clone()),
        line if line.starts_with("GET") => refusal(403, None, "this token does not allow to read"),
        _ => Reply::Json(200, json!({ "revision": 8, "visible": true, "changed": false })),
    });
    let ended = run(&["online", "greeter", "i-1", "--http", &fake.address()]);
    let line = "rollcall: greeter is offline as a whole (migration, by ops): it stays out until \
                'rollcall online greeter --all'\n";
    assert_eq!((ended.err.as_str(), ended.code), (line, 0));
    assert!(ended.out.contains("| online, had no mark "), "{}", ended.out);
    let ended = run(&["online", "greeter", "i-1", "--json", "--http", &fake.address()]);
    let printed: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(printed["marks"][0]["changed"], false);

    // The app as a whole is back by that, and who may not read may still mark.
    for (app, what) in [("greeter", "--all"), ("other", "i-1")] {
        let ended = run(&["online", app, what, "--http", &fake.address()]);
        assert_eq!((ended.err.as_str(), ended.code), ("", 0), "{app}");
    }
}

#[test]
fn online_takes_the_mark_away() {
    let fake = with(&[("mine", "offline", "127.0.0.1")]);
    let server = fake.address();
    for args in [&["i-1"][..], &["--all"], &["--here"], &["i-1", "--reason", "mended"]] {
        let ended = run(&[&["online", "greeter", "--http", &server], args].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.out.contains("| online"), "{}", ended.out);
    }
    assert_eq!(
        puts(&fake),
        [
            "PUT /v1/apps/greeter/instances/i-1/online",
            "PUT /v1/apps/greeter/online",
            "PUT /v1/apps/greeter/instances/mine/online",
            "PUT /v1/apps/greeter/instances/i-1/online",
        ]
    );
    assert_eq!(fake.requests().last().unwrap().body, json!({ "reason": "mended" }));
    // Without a reason there is no body.
    assert_eq!(fake.requests()[0].body, Value::Null);
}
