//! `examples/gateway`, run as its README says.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::program::program;
use crate::space::Space;
use crate::support::running::Running;
use crate::support::server::run;

/// Far longer than it takes: it waits for drains of 6 s, for leases and for gateways.
const DEADLINE: Duration = Duration::from_secs(300);
/// What happens, in order; HAProxy and nginx have a row each.
const STEPS: [&str; 11] = [
    "GET / to service_2",
    "GET /user?id=1 to service_1",
    "twelve GETs to service_1",
    "GET / to service_9",
    "inst-2 is stopped (TERM)",
    "inst-2 starts again",
    "inst-2's program is killed",
    "inst-2's machine crashes",
    "inst-3, the last one, is stopped",
    "inst-3 starts again",
    "etcd is stopped",
];

#[tokio::test]
async fn with_haproxy_and_with_nginx_and_with_python3_the_example_loses_no_request() {
    let _space = Space::enter();
    let mut command: Command = program("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gateway/run.py"));
    // A minute, when people run it.
    // As people write it, from where they are.
    let rollcall = Path::new(env!("CARGO_BIN_EXE_rollcall"));
    command.current_dir(rollcall.parent().unwrap());
    command.args(["--outage", "20", "--rollcall", "./rollcall"]);
    let mut path = std::env::var_os("PATH").unwrap();
    for gateway in ["haproxy", "nginx"].map(program) {
        let folder = Path::new(gateway.get_program()).parent().unwrap();
        path.push(":");
        path.push(folder);
        command.envs(gateway.get_envs().filter_map(|(name, value)| Some((name, value?))));
    }
    command.env("PATH", path);
    let mut example = Running::start(command);
    let ended = async {
        while example.runs() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let ended = timeout(DEADLINE, ended).await;
    show(&example.out());
    assert!(ended.is_ok(), "still not after {DEADLINE:?}: the example's end");
    let code = example.ended().await;
    assert_eq!(code, 0, "a request failed that should not have: {}", example.err());

    let out = example.out();
    for step in STEPS {
        for gateway in ["HAProxy", "nginx"] {
            let row = format!("{step:<34} {gateway:<8} ");
            assert!(out.lines().any(|line| line.starts_with(&row)), "no row {row:?} in\n{out}");
        }
    }
    let twelve = out.lines().find(|line| line.starts_with(STEPS[2]) && line.contains("HAProxy"));
    assert!(twelve.expect("a row").ends_with("6 by inst-1, 6 by inst-2"), "in turns: {twelve:?}");
}

#[tokio::test]
async fn with_python3_a_program_that_is_not_there_is_told_in_one_line() {
    let mut command: Command = program("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gateway/run.py"));
    command.args(["--rollcall", "no/such"]);
    let ran = run(command).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    let said = "run.py: --rollcall no/such: no such program: cargo build --release makes target/release/rollcall\n";
    assert_eq!(ran.err, said);
}

#[expect(clippy::print_stdout, reason = "the test harness keeps it for `--show-output`")]
fn show(table: &str) {
    println!("{table}");
}
