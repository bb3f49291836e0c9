//! `ls`, `watch`, `heartbeat` and `deregister`, and what all client commands have in common.

use serde_json::{Value, json};

use crate::fake::{Fake, Reply, Reserved, refusal};
use crate::process::{Process, rollcall, run};

#[test]
fn ls_lists_apps_over_all_pages() {
    let fake = Fake::start(|seen, _| {
        let second = seen.line.contains("continue=a%2Fb");
        let row = |app: &str, instances: u64, online: u64, offline: bool, pinned: bool| {
            json!({ "namespace": "default", "app": app, "instances": instances, "online": online,
                    "offline": offline, "pinned": pinned })
        };
        Reply::Json(
            200,
            match second {
                false => json!({ "revision": 7, "continue": "a/b",
                             "apps": [row("greeter", 3, 2, false, false), row("down", 1, 0, false, false)] }),
                true => {
                    json!({ "revision": 7, "apps": [row("mine", 1, 1, false, true), row("old", 2, 0, true, false)] })
                }
            },
        )
    });
    let ended = run(&["ls", "--http", &fake.address()]);
    let table = "\
+---------+-----------+--------+-------------+
| APP     | INSTANCES | ONLINE | STATE       |
+============================================+
| greeter | 3         | 2      | online      |
| down    | 1         | 0      | none online |
| mine    | 1         | 1      | pinned      |
| old     | 2         | 0      | offline     |
+---------+-----------+--------+-------------+
";
    assert_eq!((ended.out.as_str(), ended.code), (table, 0), "{}", ended.err);
    assert_eq!(fake.lines(), ["GET /v1/apps?limit=1000", "GET /v1/apps?limit=1000&continue=a%2Fb"]);

    let ended = run(&["ls", "--json", "--namespace", "staging", "--http", &fake.address()]);
    let whole: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(whole["revision"], 7);
    assert_eq!(whole["apps"].as_array().unwrap().len(), 4);
    assert_eq!(ended.out.lines().count(), 1);
    assert!(fake.lines()[2].ends_with("&namespace=staging"), "{:?}", fake.lines());
}

#[test]
fn ls_shows_one_app() {
    let app = json!({
        "revision": 7, "namespace": "default", "app": "greeter", "pinned": false,
        "offline": { "by": "ops", "at": "2026-01-02T03:04:05Z", "reason": "migration" },
        "instances": [
            { "id": "i-1", "label": "i-1", "state": "online", "addresses": ["10.0.0.7", "fd::7"],
              "endpoints": [{ "protocol": "nova", "transport": "tcp", "port": 9000, "weight": 100 }],
              "weight": 100, "priority": 10, "tags": ["v2", "eu"], "meta": {}, "ttl": 30,
              "incarnation": "6a", "revision": 5 },
            { "id": "i-2", "label": null, "state": "rejected", "reason": "i-2.greeter has it\u{1b}[31m",
              "addresses": [], "endpoints": [], "weight": 0, "priority": 10, "tags": [], "meta": {},
              "ttl": null, "incarnation": null, "revision": 6 },
            { "id": "i-3", "label": "i-3", "state": "online", "addresses": ["10.0.0.8"],
              "endpoints": [{ "protocol": "nova", "transport": "tcp", "port": 9000, "weight": 100 }],
              "weight": 100, "priority": 10, "tags": [], "meta": {}, "ttl": null,
              "incarnation": "6b", "revision": 7 },
        ],
        "absent_marks": [{ "id": "i-9", "offline": { "by": "ops", "at": "2026-01-02T03:04:05Z", "reason": "" } }],
    });
    let body = app.clone();
    let fake = Fake::start(move |_, _| Reply::Json(200, body.clone()));
    let ended = run(&["ls", "greeter", "--http", &fake.address()]);
    let table = "\
+-----+-------------------------+-----------------------------------------------+--------+--------+-----------+---------------------------------+
| ID  | STATE                   | ENDPOINTS                                     | WEIGHT | TAGS   | LEASE     | REASON                          |
+===============================================================================================================================================+
| i-1 | online                  | nova/tcp 10.0.0.7:9000, nova/tcp [fd::7]:9000 | 100    | v2, eu | 30 s      |                                 |
| i-2 | rejected                |                                               | 0      |        | permanent | i-2.greeter has it\\u{1b}[31m    |
| i-3 | online                  | nova/tcp 10.0.0.8:9000                        | 100    |        | leased    |                                 |
| i-9 | offline, not registered |                                               |        |        |           | by ops, at 2026-01-02T03:04:05Z |
+-----+-------------------------+-----------------------------------------------+--------+--------+-----------+---------------------------------+
greeter is offline as a whole: migration, by ops, at 2026-01-02T03:04:05Z
";
    assert_eq!((ended.out.as_str(), ended.code), (table, 0), "{}", ended.err);
    assert_eq!(fake.lines(), ["GET /v1/apps/greeter"]);

    let ended = run(&["ls", "greeter", "--json", "--http", &fake.address()]);
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), app);
}

#[test]
fn ls_shows_what_is_rejected() {
    let fake = Fake::start(|_, _| {
        let rows =
            json!([{ "key": "/rollcall/v1/default/instances/a/b", "reason": "port: is missing" }]);
        Reply::Json(200, json!({ "revision": 7, "rejected": rows }))
    });
    let ended = run(&["ls", "--rejected", "--http", &fake.address()]);
    let table = "\
+------------------------------------+------------------+
| KEY                                | REASON           |
+=======================================================+
| /rollcall/v1/default/instances/a/b | port: is missing |
+------------------------------------+------------------+
";
    assert_eq!((ended.out.as_str(), ended.code), (table, 0));
    assert_eq!(fake.lines(), ["GET /v1/rejected?limit=1000"]);
}

#[test]
fn deregister_sends_no_incarnation() {
    let fake = Fake::registry(30);
    let ended = run(&["deregister", "greeter", "10.9.42.107:8100", "--http", &fake.address()]);
    assert_eq!((ended.out.as_str(), ended.code), ("deregistered greeter 10.9.42.107:8100\n", 0));
    assert_eq!(fake.lines(), ["DELETE /v1/apps/greeter/instances/10.9.42.107%3A8100"]);
}

#[test]
fn heartbeat_renews_one_or_those_of_this_host() {
    let instance = |id: &str, address: &str| json!({ "id": id, "state": "online", "addresses": [address], "endpoints": [], "weight": 100 });
    let app = json!({ "revision": 7, "app": "greeter", "instances": [
        instance("gone", "127.0.0.1"), instance("mine", "127.0.0.1"), instance("other", "192.0.2.1"),
    ]});
    let fake = Fake::start(move |seen, _| match seen.line.as_str() {
        "GET /v1/apps/greeter" => Reply::Json(200, app.clone()),
        "PUT /v1/apps/greeter/instances/mine/heartbeat" => {
            Reply::Json(200, json!({ "id": "mine", "revision": 8, "incarnation": "a1", "ttl": 30 }))
        }
        _ => refusal(404, None, "there is no such instance"),
    });
    let server = fake.address();
    let ended = run(&["heartbeat", "greeter", "mine", "--http", &server]);
    assert_eq!((ended.out.as_str(), ended.code), ("renewed greeter mine, for 30 s\n", 0));
    assert_eq!(fake.lines(), ["PUT /v1/apps/greeter/instances/mine/heartbeat"]);

    // One that is gone is told of, and does not keep the others from being renewed.
    let ended = run(&["heartbeat", "greeter", "--json", "--http", &server]);
    let line = "rollcall: greeter gone is not registered, or no longer: register it again\n";
    assert_eq!((ended.err.as_str(), ended.code), (line, 1));
    let printed: Value = serde_json::from_str(&ended.out).unwrap();
    let renewed = json!([{ "id": "mine", "ttl": 30, "incarnation": "a1" }]);
    assert_eq!(printed, json!({ "app": "greeter", "renewed": renewed }));
    assert!(!fake.lines().iter().any(|line| line.contains("/other/")));

    let ended = run(&["heartbeat", "nobody", "--http", &server]);
    let line = "rollcall: nobody is not registered, or no longer: register it again\n";
    assert_eq!((ended.err.as_str(), ended.code), (line, 1));
}

#[test]
fn what_is_not_there_or_refused_is_exit_code_1() {
    let fake = Fake::start(|seen, _| match seen.line.as_str() {
        "GET /v1/apps/gone" => refusal(404, None, "there is no app gone in namespace default"),
        _ => refusal(422, Some("namespace"), "no zone here serves \"x\""),
    });
    let ended = run(&["ls", "gone", "--http", &fake.address()]);
    let line = "rollcall: there is no app gone in namespace default\n";
    assert_eq!((ended.err.as_str(), ended.code), (line, 1));
    let ended = run(&["deregister", "a", "b", "--namespace", "x", "--http", &fake.address()]);
    assert_eq!(
        (ended.err.as_str(), ended.code),
        ("rollcall: namespace: no zone here serves \"x\"\n", 1)
    );
}

#[test]
fn a_server_that_cannot_is_exit_code_3() {
    let place = Reserved::new();
    let gone = place.address().to_string();
    let ended = run(&["ls", "--http", &gone]);
    let line = format!(
        "rollcall: cannot reach rollcall at {gone}: connection refused: is the server running? \
         (rollcall serve, or set --http / ROLLCALL_HTTP)\n"
    );
    assert_eq!((ended.err, ended.code), (line, 3));

    let fake = Fake::start(|_, _| refusal(503, None, "etcd does not answer"));
    let ended = run(&["ls", "--http", &fake.address()]);
    let line = format!(
        "rollcall: rollcall at {} cannot do it now: etcd does not answer\n",
        fake.address()
    );
    assert_eq!((ended.err, ended.code), (line, 3));

    let fake = Fake::start(|_, _| Reply::Hang);
    assert_eq!(run(&["watch", "--http", &fake.address()]).code, 3);
}

#[test]
fn a_write_that_failed_says_whether_it_was_done() {
    for (outcome, why, line) in [
        (
            "unknown",
            "registry answer lost: timed out",
            "cannot tell whether it was done: registry answer lost: timed out: it may have been done or may yet \
             be, look with 'rollcall ls' or repeat it",
        ),
        (
            "not done",
            "registry unavailable: no quorum",
            "cannot do it now: registry unavailable: no quorum: nothing was done, try again",
        ),
        (
            "not done",
            "others wrote this id all the while: try again",
            "cannot do it now: others wrote this id all the while: nothing was done, try again",
        ),
    ] {
        let body = json!({ "error": { "field": null, "message": why, "outcome": outcome } });
        let fake = Fake::start(move |_, _| Reply::Json(503, body.clone()));
        let ended = run(&["deregister", "greeter", "i-1", "--http", &fake.address()]);
        let line = format!("rollcall: rollcall at {} {line}\n", fake.address());
        assert_eq!((ended.err, ended.code), (line, 3));
    }
}

#[test]
fn where_a_token_is_wanted_its_flag_is_named() {
    let why = "a token is needed: send authorization: Bearer …";
    let fake = Fake::start(move |_, _| refusal(401, None, why));
    let ended = run(&["ls", "--http", &fake.address()]);
    let line = "rollcall: a token is needed: give one with --token-file / ROLLCALL_TOKEN_FILE\n";
    assert_eq!((ended.err.as_str(), ended.code), (line, 1));

    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&token, "s3cret\n").unwrap();
    let file = token.path().to_str().unwrap();
    let ended = run(&["ls", "--token-file", file, "--http", &fake.address()]);
    let end = ": look at the token in --token-file / ROLLCALL_TOKEN_FILE\n";
    assert!(ended.err.ends_with(end) && ended.code == 1, "{ended:?}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["ls", "--nonsense"][..],
        &["offline", "greeter"],
        &["offline", "greeter", "i-1", "--all"],
        &["register", "greeter"],
        &["register", "gree_ter", "--port", "1"],
        &["register", "greeter", "--port", "1", "--ttl", "1"],
        &["register", "greeter", "--port", "1", "--address", "0.0.0.0"],
        &["register", "greeter", "--endpoint", "http"],
        &["register", "greeter", "--endpoint", "http/quic:1"],
        &["register", "greeter", "--port", "1", "--meta", "novalue"],
        &["run", "greeter", "--port", "1"],
        &["query", "a..b"],
        &["query", "a", "NOSUCH"],
        &["ls", "--http", "nohost"],
        &["ls", "--token-file", "/nonexistent"],
        &["completions", "tcsh"],
    ] {
        let ended = run(args);
        assert_eq!(ended.code, 2, "{args:?}: {ended:?}");
        assert!(ended.out.is_empty() && !ended.err.is_empty(), "{args:?}: {ended:?}");
    }
}

#[test]
fn wrong_usage_says_how_it_is_right() {
    for (args, end) in [
        (
            &["serve", "--dns", "127.0.0.1"][..],
            "must be IP:PORT such as 127.0.0.1:1053 or [::1]:1053, in --dns or ROLLCALL_DNS",
        ),
        (
            &["serve", "--http", "localhost:1"],
            "must be IP:PORT such as 127.0.0.1:8053 or [::1]:8053, in --http or ROLLCALL_HTTP",
        ),
        (
            &["serve", "--forward", "foo"],
            "takes the servers of /etc/resolv.conf, in --forward or ROLLCALL_FORWARD",
        ),
        (&["register", "a", "--port", "abc"], "is not a port, 1 to 65535"),
        (&["register", "a", "--port", "0"], "is not a port, 1 to 65535"),
        (
            &["register", "a"],
            "one of --port and --endpoint is needed, such as --port 8080 or --endpoint http:8080",
        ),
        (
            &["run", "a", "--", "true"],
            "one of --port and --endpoint is needed, such as --port 8080 or --endpoint http:8080",
        ),
        (
            &["run", "a", "--port", "1", "--drain", "soon", "--", "true"],
            "must be a length of time such as 6s, or a number of seconds",
        ),
        (&["query", "a..b"], "\"a..b\" is not a name: has an empty label"),
        (&["query", "ä.b"], "must be ASCII, other letters in their form with xn--"),
        (&["query", "a", "NOSUCH"], "is no known record type: give its number as in TYPE65"),
        (
            &["query", "a", "--dns", "nohost"],
            "--dns / ROLLCALL_DNS: must be host:port such as 127.0.0.1:1053, got \"nohost\"",
        ),
    ] {
        let ended = run(args);
        assert_eq!(ended.code, 2, "{args:?}: {ended:?}");
        let first = ended.err.lines().next().unwrap_or_default();
        assert!(first.ends_with(end), "{args:?}: {ended:?}");
    }
}

#[test]
fn help_shows_each_flag_where_it_belongs() {
    let own = run(&["offline", "--help"]).out;
    let (options, server) = own.split_once("\nServer:\n").unwrap();
    assert!(options.contains("--force") && options.contains("--json"), "{own}");
    assert!(server.contains("--http") && !server.contains("--json"), "{own}");
    let own = run(&["run", "--help"]).out;
    let (options, _) = own.split_once("\nInstance:\n").unwrap();
    assert!(options.contains("--drain") && options.contains("\nArguments:\n"), "{own}");

    let serve = run(&["serve", "--help"]);
    let asked = run(&["help", "serve"]);
    assert_eq!((asked.out.as_str(), asked.code), (serve.out.as_str(), 0));
    assert_eq!(run(&["help"]).out, run(&["--help"]).out);
    assert_eq!(serve.out.matches("commas").count(), 3, "{}", serve.out);
}

#[test]
fn server_token_and_namespace_come_from_the_environment_too() {
    let fake = Fake::registry(30);
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&token, "s3cret\n").unwrap();
    let mut command = rollcall(&["deregister", "a", "b"]);
    command
        .env("ROLLCALL_HTTP", fake.address())
        .env("ROLLCALL_TOKEN_FILE", token.path())
        .env("ROLLCALL_NAMESPACE", "staging");
    assert_eq!(Process::start(&mut command).end().code, 0);
    let seen = &fake.requests()[0];
    assert_eq!(seen.line, "DELETE /v1/apps/a/instances/b?namespace=staging");
    assert_eq!(seen.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(seen.header("host"), Some(fake.address().as_str()));
    // A flag beats the environment.
    let other = Fake::registry(30);
    command.args(["--http", &other.address()]);
    assert_eq!(Process::start(&mut command).end().code, 0);
    assert_eq!(other.lines().len(), 1);
}

#[test]
fn nobody_reading_is_a_quiet_end() {
    let mut command = rollcall(&["config"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer).stderr(std::process::Stdio::piped());
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

const EVENTS: &str = "\
: watching from 7\n\n\
id: 1.8.0\nevent: registered\ndata: {\"revision\":8,\"cause\":\"registered\",\"namespace\":\"default\",\
\"app\":\"greeter\",\"id\":\"i-1\",\"instance\":{\"id\":\"i-1\",\"addresses\":[\"10.0.0.7\"],\
\"endpoints\":[{\"protocol\":\"nova\",\"transport\":\"tcp\",\"port\":9000}]},\"note\":null}\n\n\
: \n\n\
id: 1.9.0\nevent: offline\ndata: {\"revision\":9,\"cause\":\"offline\",\"namespace\":\"default\",\
\"app\":\"greeter\",\"id\":null,\"instance\":null,\"note\":{\"by\":\"ops\",\"at\":\"\",\"reason\":\"disk\"}}\n\n";

/// The first connection brings two events and breaks; the second a reset; then there is silence.
fn watched() -> Fake {
    Fake::start(|_, before| match before {
        0 => Reply::Events(EVENTS.into()),
        1 => Reply::Events("event: reset\ndata: {\"revision\":40}\n\n".into()),
        _ => refusal(401, None, "a token is needed"),
    })
}

#[test]
fn watch_prints_changes_and_resumes_where_it_was() {
    let fake = watched();
    let ended = run(&["watch", "greeter", "--http", &fake.address()]);
    assert_eq!(
        ended.out,
        "8 registered greeter i-1 nova/tcp 10.0.0.7:9000\n\
         9 offline greeter (all) (disk, by ops)\n\
         40 reset: changes may have been missed, list again\n"
    );
    // Said once, and before there is anything to print.
    let began = format!("rollcall: watching greeter at {}, until Ctrl-C\n", fake.address());
    assert!(ended.err.starts_with(&began), "{}", ended.err);
    assert_eq!(ended.err.matches("watching").count(), 1, "{}", ended.err);
    assert_eq!(ended.code, 1, "a refusal ends it: {}", ended.err);
    let resumed: Vec<_> = fake
        .requests()
        .iter()
        .map(|seen| seen.header("last-event-id").map(str::to_owned))
        .collect();
    assert_eq!(resumed, [None, Some("1.9.0".into()), None]);
    assert_eq!(fake.lines()[0], "GET /v1/watch?app=greeter");
}

#[test]
fn watch_resumes_even_before_its_first_event() {
    let fake = Fake::start(|_, before| match before {
        0 => Reply::Events(": watching from 7\nid: 1.7.0\n\n".into()),
        _ => refusal(401, None, "a token is needed"),
    });
    let ended = run(&["watch", "--http", &fake.address()]);
    assert_eq!((ended.out.as_str(), ended.code), ("", 1), "{}", ended.err);
    assert_eq!(fake.requests()[1].header("last-event-id"), Some("1.7.0"));
}

#[test]
fn watch_prints_one_object_a_line() {
    let fake = watched();
    let process = Process::start(&mut rollcall(&["watch", "--json", "--http", &fake.address()]));
    process.prints("\"reset\"");
    let ended = process.end();
    let causes: Vec<_> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["cause"].clone())
        .collect();
    assert_eq!(causes, ["registered", "offline", "reset"]);
    assert_eq!(fake.lines()[0], "GET /v1/watch");
}

#[test]
fn completions_and_help_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(&["completions", shell]);
        assert_eq!(ended.code, 0);
        assert!(ended.out.contains("deregister") && ended.out.contains("drain"), "{shell}");
    }
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    for command in
        ["serve", "run", "register", "ls", "watch", "offline", "query", "check", "config"]
    {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}");
        let own = run(&[command, "--help"]);
        assert!(own.code == 0 && own.out.contains("rollcall "), "{command}");
    }
    let version = run(&["--version"]);
    assert_eq!(version.out, format!("rollcall {}\n", env!("CARGO_PKG_VERSION")));
}
