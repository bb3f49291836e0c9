//! `rollcall completions`: scripts for shells.

use clap_complete::Shell;

use super::error::{DONE, Outcome};
use super::output;

/// Print a shell's completion script
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Print the completion script of a shell.",
    after_help = "\
Examples:
  rollcall completions bash > /etc/bash_completion.d/rollcall
  rollcall completions zsh > ~/.zfunc/_rollcall
  rollcall completions fish > ~/.config/fish/completions/rollcall.fish"
)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::definitions(), "rollcall", &mut script);
    output::text(&script)?;
    Ok(DONE)
}
