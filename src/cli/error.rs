//! How a command ends: exit codes, and the one line that is printed on the way.

use std::fmt;

/// A command's exit code, or why it could not do what it was told.
pub(super) type Outcome = Result<u8, Error>;

/// Done.
pub(super) const DONE: u8 = 0;
/// Refused, or not found.
pub(super) const REFUSED: u8 = 1;
/// Cannot reach the server, or it can't answer now.
pub(super) const UNREACHABLE: u8 = 3;

/// Why a command could not do what it was told. Displays as one line (several problems: one line each).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// Refused by the server or by a rule of ours, or not found.
    Refused(String),
    /// The command line itself is wrong.
    Usage(String),
    /// The server can't be reached, or can't do it now.
    Unreachable(String),
    /// Nobody reads our output any more, as under `rollcall ls | head`: the end, but no failure.
    OutputClosed,
    /// The output can't be written.
    Output(String),
    /// The program to run can't be started; the code is the one that shells use.
    Program(u8, String),
}

impl Error {
    /// The one place that knows exit codes.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => DONE,
            Self::Refused(_) | Self::Output(_) => REFUSED,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => UNREACHABLE,
            Self::Program(code, _) => *code,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(message)
            | Self::Usage(message)
            | Self::Unreachable(message)
            | Self::Output(message)
            | Self::Program(_, message) => f.write_str(message),
            Self::OutputClosed => f.write_str("nobody reads the output"),
        }
    }
}
