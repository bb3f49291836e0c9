//! `rollcall config`: the default configuration with a comment on every setting.

use super::error::{DONE, Outcome};
use super::output;
use crate::config::DEFAULT_TOML;

/// Print the default configuration, every setting explained
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Print the default configuration with a comment on every setting there is.",
    after_help = "\
Example:
  rollcall config > rollcall.toml"
)]
pub(super) struct Args {}

pub(super) fn config(_: &Args) -> Outcome {
    output::text(DEFAULT_TOML.as_bytes())?;
    Ok(DONE)
}
