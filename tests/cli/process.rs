//! The binary as a process, with what it prints so far.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Reached only by failures.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Something that other threads change, and that a test waits on.
pub(crate) struct Shared<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Arc<Self> {
        Arc::new(Self { value: Mutex::new(value), changed: Condvar::new() })
    }

    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.value.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        result
    }

    /// Whether the condition came true in time.
    pub(crate) fn wait(&self, longest: Duration, mut until: impl FnMut(&T) -> bool) -> bool {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let (_value, waited) =
            self.changed.wait_timeout_while(value, longest, |value| !until(value)).unwrap();
        !waited.timed_out()
    }
}

/// A running rollcall; killed when dropped.
pub(crate) struct Process {
    pid: Pid,
    pub(crate) stdin: Option<std::process::ChildStdin>,
    out: Arc<Shared<Text>>,
    err: Arc<Shared<Text>>,
    code: Arc<Shared<Option<i32>>>,
}

#[derive(Default)]
struct Text {
    text: String,
    ended: bool,
}

/// How a rollcall ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The binary, untouched by the environment of whoever runs the tests.
pub(crate) fn rollcall(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ROLLCALL_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    Process::start(&mut rollcall(args)).end()
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let stdin = child.stdin.take();
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        let code = Shared::new(None);
        reap(child, Arc::clone(&code));
        Self { pid, stdin, out, err, code }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// To its process group, as a terminal does; it must have been started as the leader of one.
    pub(crate) fn signal_group(&self, signal: Signal) {
        killpg(self.pid, signal).unwrap();
    }

    /// Whether that appears on standard output within a time.
    pub(crate) fn prints_within(&self, text: &str, longest: Duration) -> bool {
        self.out.wait(longest, |out| out.text.contains(text))
    }

    #[track_caller]
    pub(crate) fn prints(&self, text: &str) {
        assert!(self.prints_within(text, DEADLINE), "no {text:?} on stdout: {}", self.so_far());
    }

    #[track_caller]
    pub(crate) fn notes(&self, text: &str) {
        let found = self.err.wait(DEADLINE, |err| err.text.contains(text));
        assert!(found, "no {text:?} on stderr: {}", self.so_far());
    }

    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        self.stdin = None;
        let ended = self.code.wait(DEADLINE, Option::is_some);
        assert!(ended, "does not end: {}", self.so_far());
        let whole = |text: &Shared<Text>| {
            text.wait(DEADLINE, |text| text.ended);
            text.change(|text| text.text.clone())
        };
        let code = self.code.change(|code| code.unwrap());
        Ended { code, out: whole(&self.out), err: whole(&self.err) }
    }

    fn so_far(&self) -> String {
        let text = |text: &Shared<Text>| text.change(|text| text.text.clone());
        format!("\n-- stdout\n{}\n-- stderr\n{}", text(&self.out), text(&self.err))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.code.change(|code| code.is_none()) {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> Arc<Shared<Text>> {
    let text = Shared::new(Text::default());
    let to = Arc::clone(&text);
    thread::spawn(move || {
        let mut octets = [0; 4_096];
        while let Ok(len @ 1..) = from.read(&mut octets) {
            to.change(|to| to.text.push_str(&String::from_utf8_lossy(&octets[..len])));
        }
        to.change(|to| to.ended = true);
    });
    text
}

fn reap(mut child: Child, code: Arc<Shared<Option<i32>>>) {
    thread::spawn(move || {
        let status = child.wait().unwrap();
        code.change(|code| *code = Some(status.code().unwrap_or(-1)));
    });
}
