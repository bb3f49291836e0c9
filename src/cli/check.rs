//! `rollcall check`: what is wrong with a configuration, without starting anything.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::error::{DONE, Error, Outcome, REFUSED};
use super::output;
use crate::config::{Config, Overrides, Problem, RegistryChoice};
use crate::serve::certificate_warnings;

/// Check a configuration and the zone files it names
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Check a configuration and all that it names (zone files, tokens), without starting anything.\n\n\
Prints every problem with file and line, of zone files with the column too. Exit code 0 if there is none, 1 if \
there is one. Without FILE the defaults are checked, with the zone files in ./zones.",
    after_help = "\
Examples:
  rollcall check rollcall.toml
  rollcall config > rollcall.toml && rollcall check rollcall.toml"
)]
pub(super) struct Args {
    /// The configuration file
    #[arg(env = "ROLLCALL_CONFIG")]
    file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn check(args: &Args) -> Outcome {
    let (config, problems, mut warnings) =
        match Config::load(args.file.as_deref(), &Overrides::default()) {
            Ok(loaded) => (Some(loaded.config), Vec::new(), loaded.warnings),
            Err(problems) => (None, problems.0, Vec::new()),
        };
    warnings.extend(config.iter().flat_map(certificate_warnings));
    if args.json {
        let rows = |problems: &[Problem]| problems.iter().map(row).collect::<Vec<_>>();
        output::json(&json!({ "problems": rows(&problems), "warnings": rows(&warnings) }))?;
    } else {
        print(args, config.as_ref(), &problems, warnings)?;
    }
    Ok(if problems.is_empty() { DONE } else { REFUSED })
}

fn print(
    args: &Args,
    config: Option<&Config>,
    problems: &[Problem],
    warnings: Vec<Problem>,
) -> Result<(), Error> {
    for problem in problems {
        output::line(&problem.to_string())?;
    }
    for warning in warnings {
        let message = format!("warning: {}", warning.message);
        output::line(&Problem { message, ..warning }.to_string())?;
    }
    let Some(config) = config else { return Ok(()) };
    let name = args
        .file
        .as_ref()
        .map_or_else(|| "the default config".into(), |file| file.display().to_string());
    let zones: Vec<_> = config
        .zones
        .iter()
        .map(|zone| match &zone.file {
            Some(file) => format!("{} from {}", zone.name, file.path().display()),
            None => format!("{} built in", zone.name),
        })
        .collect();
    let registry = match &config.registry {
        RegistryChoice::Embedded => format!("registry embedded in {}", config.data_dir.display()),
        RegistryChoice::Etcd(etcd) => format!("registry etcd at {}", etcd.endpoints.join(", ")),
    };
    output::line(&format!("{name} is good: zones {}; {registry}", zones.join(", ")))
}

fn row(problem: &Problem) -> Value {
    json!({ "file": problem.file, "line": problem.line, "column": problem.column, "message": problem.message })
}
