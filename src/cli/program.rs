//! The program that `run` runs: started in a process group of its own, so that Ctrl-C at the terminal reaches
//! us first and the program only when it is time.
//!
//! The price: it does not read from the terminal. Standard input and output are handed down untouched.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::error::Error;

/// Exit code of shells for a program that is not there.
const NOT_FOUND: u8 = 127;
/// Exit code of shells for a file that can't be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Shells add the signal's number to this.
const BY_SIGNAL: i32 = 128;

/// A running program.
pub(super) struct Program {
    child: Child,
}

impl Program {
    /// Starts it.
    pub(super) fn start(command: &[OsString]) -> Result<Self, Error> {
        let Some((program, args)) = command.split_first() else {
            return Err(Error::Usage("there is no program to run: give it after --".into()));
        };
        let child = Command::new(program).args(args).process_group(0).spawn().map_err(|error| {
            let name = program.to_string_lossy();
            match error.kind() {
                io::ErrorKind::NotFound => {
                    Error::Program(NOT_FOUND, format!("cannot run {name}: no such program"))
                }
                _ => Error::Program(NOT_EXECUTABLE, format!("cannot run {name}: {error}")),
            }
        })?;
        Ok(Self { child })
    }

    /// Its end. May be asked again after a cancelled wait.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, Error> {
        self.child
            .wait()
            .await
            .map_err(|error| Error::Refused(format!("cannot wait for the program: {error}")))
    }

    /// Passes a signal on. What the keyboard sends goes to the whole group, as it would have without us;
    /// everything else to the program alone, as `kill` does.
    pub(super) fn signal(&self, signal: Signal) {
        let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
        let pid = Pid::from_raw(pid);
        // It may have ended this very moment, which is what was wanted.
        let _ = match signal {
            Signal::SIGINT | Signal::SIGQUIT => killpg(pid, signal),
            _ => kill(pid, signal),
        };
    }
}

/// Our exit code for the program's end: its own, or 128+n for signal n.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
