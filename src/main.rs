//! The binary: exit codes, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall::cli::main()
}
