//! `register` and `run`: a registration's life, and a program's.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, Reserved, life, refusal};
use crate::process::{Process, Shared, rollcall, run};

/// Long enough that a test which waited for it would fail by its deadline.
const NEVER: &str = "1h";
/// How long something that must not happen is given to happen.
const WRONGLY: Duration = Duration::from_millis(300);

const PUT: &str = "PUT /v1/apps/greeter/instances/10-0-0-7-9000?incarnation=new";
const HEARTBEAT: &str = "PUT /v1/apps/greeter/instances/10-0-0-7-9000/heartbeat?incarnation=694d9f";
const DELETE: &str = "DELETE /v1/apps/greeter/instances/10-0-0-7-9000?incarnation=694d9f";

fn register(fake: &Fake, more: &[&str]) -> Process {
    let args = [
        "register",
        "greeter",
        "--port",
        "9000",
        "--address",
        "10.0.0.7",
        "--http",
        &fake.address(),
    ];
    Process::start(&mut rollcall(&[&args, more].concat()))
}

/// The flags before the program of most runs.
fn run_args<'a>(server: &'a str, port: &'a str, drain: &'a str) -> Vec<&'a str> {
    let instance = ["run", "greeter", "--port", port, "--address", "127.0.0.1"];
    [&instance[..], &["--drain", drain, "--http", server]].concat()
}

/// A `run` whose program is a Python script.
fn python<'a>(flags: &[&'a str], script: &'a str, more: &[&'a str]) -> Command {
    rollcall(&[flags, &["--", "python3", "-uc", script], more].concat())
}

/// The same, running; `door` is a port that accepts already.
fn run_python(fake: &Fake, door: &TcpListener, drain: &str, script: &str) -> Process {
    let port = door.local_addr().unwrap().port().to_string();
    Process::start(&mut python(&run_args(&fake.address(), &port, drain), script, &[]))
}

fn open_door() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Says what it was sent and ends with code 7; other signals do what they do by default.
const ENDS_ON_TERM: &str = "\
import os, signal
def end(number, frame):
    print('got', number); os._exit(7)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
print('started')
while True: signal.pause()";

#[test]
fn register_keeps_alive_and_takes_its_leave() {
    let fake = Fake::registry(1);
    let process = register(
        &fake,
        &["--tag", "v2", "--meta", "version=1.4.2", "--ttl", "1m", "--endpoint", "http:8080"],
    );
    process.prints("registered greeter 10-0-0-7-9000\n");
    fake.hears(HEARTBEAT, 2);
    process.signal(Signal::SIGINT);
    let ended = process.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.out, "registered greeter 10-0-0-7-9000\nderegistered greeter 10-0-0-7-9000\n");
    let lines = fake.lines();
    assert_eq!(lines.first().unwrap(), PUT);
    assert_eq!(lines.last().unwrap(), DELETE);
    let endpoint = |protocol: &str, port: u16| json!({ "protocol": protocol, "transport": "tcp", "port": port });
    let body = json!({
        "addresses": ["10.0.0.7"], "endpoints": [endpoint("nova", 9000), endpoint("http", 8080)],
        "tags": ["v2"], "meta": { "version": "1.4.2" }, "ttl": 60,
    });
    assert_eq!(fake.requests()[0].body, body);
}

#[test]
fn without_an_address_the_default_routes_is_sent_or_none() {
    let fake = Fake::registry(30);
    let server = fake.address();
    let process = Process::start(&mut rollcall(&[
        "register", "greeter", "--port", "9000", "--http", &server,
    ]));
    process.prints("registered");
    let seen = fake.requests()[0].clone();
    match seen.body.get("addresses") {
        // The id is the default one of what is sent.
        Some(addresses) => {
            let address = addresses[0].as_str().unwrap();
            assert_ne!(address, "127.0.0.1");
            let id = format!("{address}-9000").replace(['.', ':'], "-");
            assert!(seen.line.contains(&format!("/instances/{id}?")), "{}", seen.line);
        }
        // Without a route the server takes the connection's own address, and so does the id.
        None => assert!(seen.line.contains("/instances/127-0-0-1-9000?"), "{}", seen.line),
    }
}

#[test]
fn register_prints_replies_as_json() {
    let fake = Fake::registry(30);
    let process = register(&fake, &["--json", "--id", "blue"]);
    process.prints("\n");
    process.signal(Signal::SIGTERM);
    let ended = process.end();
    let reply: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(reply["incarnation"], "694d9f");
    assert!(fake.lines()[0].contains("/instances/blue?"));
}

#[test]
fn a_forgotten_registration_is_made_again() {
    let fake = Fake::start(|seen, before| match before {
        1 => refusal(404, None, "there is no such registration"),
        _ => life(seen, 1),
    });
    let process = register(&fake, &[]);
    fake.hears(PUT, 2);
    fake.hears(HEARTBEAT, 2);
    assert_eq!(fake.lines()[..3], [PUT, HEARTBEAT, PUT]);
    process.notes("greeter 10-0-0-7-9000 is not registered any more: registering again");
}

#[test]
fn a_registration_that_was_taken_over_is_left_alone() {
    let fake = Fake::start(|seen, before| match before {
        0 => life(seen, 1),
        _ => refusal(409, None, "another registration holds the id"),
    });
    let ended = register(&fake, &[]).end();
    let line =
        "rollcall: greeter 10-0-0-7-9000 is another one's now: another registration holds the id\n";
    assert_eq!((ended.err.as_str(), ended.code), (line, 1));
    assert_eq!(fake.lines(), [PUT, HEARTBEAT]);
}

#[test]
fn what_the_server_refuses_is_not_tried_again() {
    let fake = Fake::start(|_, _| refusal(422, Some("namespace"), "no zone here serves it"));
    let ended = register(&fake, &[]).end();
    assert_eq!(
        (ended.err.as_str(), ended.code),
        ("rollcall: namespace: no zone here serves it\n", 1)
    );
    assert_eq!(fake.lines(), [PUT]);
}

#[test]
fn a_server_that_comes_late_or_comes_back_is_waited_for() {
    let place = Reserved::new();
    let server = place.address().to_string();
    let args =
        ["register", "greeter", "--port", "9000", "--address", "10.0.0.7", "--http", &server];
    let process = Process::start(&mut rollcall(&args));
    process.notes("connection refused");
    // Then it comes, answers that it can't, and at last can.
    let fake = Fake::start_late(place, |seen, before| match before {
        0 | 2 => refusal(503, None, "etcd does not answer"),
        _ => life(seen, 1),
    });
    process.prints("registered greeter 10-0-0-7-9000");
    process.notes("in touch again: greeter 10-0-0-7-9000 is renewed");
    assert_eq!(fake.lines()[..4], [PUT, PUT, HEARTBEAT, HEARTBEAT]);
}

#[test]
fn what_was_never_registered_does_not_end_well() {
    let place = Reserved::new();
    let server = place.address().to_string();
    let args =
        ["register", "greeter", "--port", "9000", "--address", "10.0.0.7", "--http", &server];
    let process = Process::start(&mut rollcall(&args));
    process.notes("connection refused");
    process.signal(Signal::SIGTERM);
    let ended = process.end();
    assert_eq!((ended.out.as_str(), ended.code), ("", 3), "{}", ended.err);
    assert_eq!(
        ended.err.lines().last(),
        Some(
            "rollcall: greeter 10-0-0-7-9000 was never registered: told to stop before a server took it"
        )
    );
}

#[test]
fn an_answer_that_nobody_waited_for_is_no_good_end_either() {
    let release = Shared::new(false);
    let gate = std::sync::Arc::clone(&release);
    let fake = Fake::start(move |seen, _| {
        gate.wait(crate::process::DEADLINE, |open| *open);
        life(seen, 30)
    });
    let process = register(&fake, &[]);
    fake.hears(PUT, 1);
    process.signal(Signal::SIGTERM);
    process.signal(Signal::SIGINT);
    let ended = process.end();
    release.change(|open| *open = true);
    assert!(ended.err.contains("greeter 10-0-0-7-9000 may be registered"), "{}", ended.err);
    assert_eq!((ended.out.as_str(), ended.code), ("", 3));
}

#[test]
fn a_reply_under_way_is_waited_for_so_that_nothing_is_left_behind() {
    let release = Shared::new(false);
    let gate = std::sync::Arc::clone(&release);
    let fake = Fake::start(move |seen, before| {
        if before == 0 {
            gate.wait(crate::process::DEADLINE, |open| *open);
        }
        life(seen, 30)
    });
    let process = register(&fake, &[]);
    fake.hears(PUT, 1);
    process.signal(Signal::SIGTERM);
    release.change(|open| *open = true);
    assert_eq!(process.end().code, 0);
    assert_eq!(fake.lines(), [PUT, DELETE]);
}

#[test]
fn a_program_is_registered_once_its_port_accepts() {
    let fake = Fake::registry(30);
    let door = Reserved::new();
    let port = door.address().port().to_string();
    let script = "\
import socket, sys
print('started'); sys.stdin.readline()
s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); print('open'); sys.stdin.readline(); sys.exit(42)";
    let server = fake.address();
    let mut command = python(&run_args(&server, &port, NEVER), script, &[&port]);
    // Standard input goes to the program, its output comes out untouched.
    let mut process = Process::start(&mut command);
    process.prints("started\n");
    assert_eq!(fake.lines(), [""; 0]);
    process.say("open");
    let id = format!("127-0-0-1-{port}");
    process.notes(&format!("registered greeter {id}"));
    // It ends by itself: deregistered, no drain, its own exit code.
    process.say("end");
    let ended = process.end();
    assert_eq!((ended.out.as_str(), ended.code), ("started\nopen\n", 42), "{}", ended.err);
    let base = format!("/v1/apps/greeter/instances/{id}");
    assert_eq!(
        fake.lines(),
        [format!("PUT {base}?incarnation=new"), format!("DELETE {base}?incarnation=694d9f")]
    );
}

#[test]
fn a_program_on_a_loopback_address_of_its_own_is_registered() {
    let fake = Fake::registry(30);
    let door = TcpListener::bind("127.0.0.11:0").unwrap();
    let (port, server) = (door.local_addr().unwrap().port().to_string(), fake.address());
    let args = ["run", "greeter", "--port", &port, "--address", "127.0.0.11", "--http", &server];
    let mut process = Process::start(&mut python(&args, "input()", &[]));
    process.notes(&format!("registered greeter 127-0-0-11-{port}"));
    process.say("end");
    assert_eq!(process.end().code, 0);
}

#[test]
fn a_signal_reaches_the_program_after_deregistration_and_drain() {
    let release = Shared::new(false);
    let gate = std::sync::Arc::clone(&release);
    let fake = Fake::start(move |seen, _| {
        if seen.line.starts_with("DELETE") {
            gate.wait(crate::process::DEADLINE, |open| *open);
        }
        life(seen, 30)
    });
    let door = open_door();
    let process = run_python(&fake, &door, "2s", ENDS_ON_TERM);
    process.prints("started");
    process.notes("registered greeter");
    process.signal(Signal::SIGTERM);
    fake.hears("DELETE", 1);
    assert!(
        !process.prints_within("got", WRONGLY),
        "the signal came before deregistration was done"
    );
    release.change(|open| *open = true);
    process.notes("deregistered greeter");
    assert!(
        !process.prints_within("got", Duration::from_millis(200)),
        "the signal came before the drain"
    );
    process.prints("got 15");
    assert_eq!(process.end().code, 7);
}

#[test]
fn a_second_signal_skips_the_drain() {
    let fake = Fake::registry(30);
    let door = open_door();
    let process = run_python(&fake, &door, NEVER, ENDS_ON_TERM);
    process.prints("started");
    process.notes("registered greeter");
    process.signal(Signal::SIGTERM);
    process.notes("deregistered greeter");
    process.signal(Signal::SIGINT);
    // The keyboard's signal goes to the program's group.
    process.prints("got 2");
    assert_eq!(process.end().code, 7);
}

#[test]
fn ctrl_c_at_the_terminal_reaches_rollcall_alone() {
    let fake = Fake::registry(30);
    let door = open_door();
    let (port, server) = (door.local_addr().unwrap().port().to_string(), fake.address());
    let mut command = python(&run_args(&server, &port, NEVER), ENDS_ON_TERM, &[]);
    // A terminal sends it to the whole group that it has in the foreground.
    let process = Process::start(command.process_group(0));
    process.prints("started");
    process.notes("registered greeter");
    process.signal_group(Signal::SIGINT);
    process.notes("deregistered greeter");
    assert!(!process.prints_within("got", WRONGLY), "the program got it too");
    process.signal_group(Signal::SIGINT);
    process.prints("got 2");
    assert_eq!(process.end().code, 7);
}

#[test]
fn a_program_without_a_tcp_port_is_registered_at_once() {
    let fake = Fake::registry(30);
    let server = fake.address();
    let instance = ["run", "greeter", "--port", "9000", "--address", "10.0.0.7"];
    let more = ["--transport", "udp", "--drain", "0s", "--http", &server];
    let flags = [instance, more].concat();
    let mut command = python(&flags, ENDS_ON_TERM, &[]);
    let process = Process::start(&mut command);
    process.notes("registered greeter 10-0-0-7-9000");
    assert_eq!(fake.requests()[0].body["endpoints"][0]["transport"], "udp");
    process.prints("started");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.end().code, 7);
}

#[test]
fn a_program_that_ends_during_the_drain_is_not_waited_for() {
    let fake = Fake::registry(30);
    let door = open_door();
    let mut process =
        run_python(&fake, &door, NEVER, "import sys; sys.stdin.readline(); sys.exit(3)");
    process.notes("registered greeter");
    process.signal(Signal::SIGTERM);
    process.notes("deregistered greeter");
    process.say("end");
    assert_eq!(process.end().code, 3);
}

#[test]
fn ended_by_a_signal_is_128_and_its_number() {
    let fake = Fake::registry(30);
    let door = open_door();
    let forever = "import signal; print('started'); signal.signal(signal.SIGINT, signal.SIG_DFL); signal.pause()";
    let process = run_python(&fake, &door, "0s", forever);
    process.notes("registered greeter");
    process.prints("started");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.end().code, 143);

    let ended = run_python(&fake, &door, NEVER, "import os; os.kill(os.getpid(), 9)").end();
    assert_eq!(ended.code, 137);
}

#[test]
fn a_program_that_was_never_registered_gets_its_signal_at_once() {
    let (place, door) = (Reserved::new(), Reserved::new());
    let server = place.address().to_string();
    let port = door.address().port().to_string();
    let mut command = python(
        &["run", "greeter", "--port", &port, "--drain", NEVER, "--http", &server],
        ENDS_ON_TERM,
        &[],
    );
    let process = Process::start(&mut command);
    process.prints("started");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.end().code, 7);
}

#[test]
fn a_program_runs_on_without_a_server_and_is_registered_when_it_comes() {
    let place = Reserved::new();
    let (door, server) = (open_door(), place.address().to_string());
    let port = door.local_addr().unwrap().port().to_string();
    let mut command = python(&run_args(&server, &port, "0s"), ENDS_ON_TERM, &[]);
    let process = Process::start(&mut command);
    process.prints("started");
    process.notes("connection refused");
    let fake = Fake::start_late(place, |seen, _| life(seen, 30));
    process.notes("registered greeter");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.end().code, 7);
    fake.hears("DELETE", 1);
}

#[test]
fn a_program_whose_id_was_taken_runs_on() {
    let fake = Fake::start(|seen, before| match before {
        0 => life(seen, 1),
        _ => refusal(409, None, "another registration holds the id"),
    });
    let door = open_door();
    let process = run_python(&fake, &door, NEVER, ENDS_ON_TERM);
    process.prints("started");
    process.notes("another registration holds the id: the program runs on, unregistered");
    process.signal(Signal::SIGTERM);
    let ended = process.end();
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(fake.lines().iter().all(|line| line.starts_with("PUT")), "{:?}", fake.lines());
}

#[test]
fn a_program_whose_registration_is_refused_runs_on() {
    let fake = Fake::start(|_, _| refusal(403, None, "the token does not allow it"));
    let door = open_door();
    let process = run_python(&fake, &door, NEVER, ENDS_ON_TERM);
    process.prints("started");
    process.notes("the token does not allow it (trying again)");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.end().code, 7);
}

#[test]
fn a_server_that_is_gone_does_not_hold_up_the_end() {
    // The goodbye is closed on without an answer, every time.
    let fake = Fake::start(|seen, _| match seen.line.starts_with("DELETE") {
        true => Reply::Hang,
        false => life(seen, 30),
    });
    let door = open_door();
    let process = run_python(&fake, &door, "0s", ENDS_ON_TERM);
    process.prints("started");
    process.notes("registered greeter");
    process.signal(Signal::SIGTERM);
    process.notes("it goes with its lease, in 30 s at most");
    assert_eq!(process.end().code, 7);
}

#[test]
fn programs_that_cannot_run_end_like_in_a_shell() {
    let start = |program: &str| run(&["run", "greeter", "--port", "9000", "--", program]);
    let ended = start("/nonexistent/program");
    let line = "rollcall: cannot run /nonexistent/program: no such program\n";
    assert_eq!((ended.err.as_str(), ended.code), (line, 127));
    assert_eq!(start("/etc/passwd").code, 126);
}
