//! A program beside a test.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::until;

/// A program that runs beside the test, its output in files; told to end with its value.
pub(crate) struct Running {
    process: Child,
    files: TempDir,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let files = TempDir::new().unwrap();
        let file = |name: &str| std::fs::File::create(files.path().join(name)).unwrap();
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        Self { process: command.spawn().unwrap(), files }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written so far.
    pub(crate) fn out(&self) -> String {
        std::fs::read_to_string(self.files.path().join("out")).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        std::fs::read_to_string(self.files.path().join("err")).unwrap()
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end and gives its exit code.
    pub(crate) async fn ended(&mut self) -> i32 {
        until("the program's end", async || !self.runs()).await;
        self.process.wait().unwrap().code().expect("an exit code, not a signal")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.runs() {
            // Twice, so that `rollcall run` takes its program along without waiting.
            self.signal(Signal::SIGTERM);
            self.signal(Signal::SIGINT);
        }
    }
}
