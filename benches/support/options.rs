//! What can be said behind `--` of `./dev bench NAME -- …`.

use super::machine::{self, Cores};
use super::report::{Report, say};

const HELP: &str = "\
./dev bench NAME -- [OPTION…]
  --quick             fewer rounds: a first look
  --rounds N          so many rounds
  --polite            do not go before everything else on the machine (which takes root)
  --mixes A,B         only these kinds of questions; see the first column of the summary
  --servers A,B       only these beside rollcall: knot, nsd, bind";

/// The options as given.
pub(crate) struct Options {
    given: Vec<String>,
    quick: bool,
    polite: bool,
    rounds: Option<usize>,
    mixes: Option<Vec<String>>,
    servers: Option<Vec<String>>,
}

impl Options {
    /// None where nothing is to be measured: `cargo test --all-targets` starts benchmarks too and must not
    /// wait for them, and some only ask for help.
    pub(crate) fn of_this_run() -> Option<Self> {
        let given = super::arguments()?;
        let mut options = Self {
            given: given.clone(),
            quick: false,
            polite: false,
            rounds: None,
            mixes: None,
            servers: None,
        };
        let list = |value: &str| Some(value.split(',').map(str::to_owned).collect());
        let mut given = given.iter().map(String::as_str);
        while let Some(option) = given.next() {
            let understood = match option {
                "--quick" => {
                    options.quick = true;
                    true
                }
                "--polite" => {
                    options.polite = true;
                    true
                }
                "--rounds" => {
                    options.rounds = given.next().and_then(|rounds| rounds.parse().ok());
                    options.rounds.is_some_and(|rounds| rounds > 0)
                }
                "--mixes" => {
                    options.mixes = given.next().and_then(list);
                    options.mixes.is_some()
                }
                "--servers" => {
                    options.servers = given.next().and_then(list);
                    options.servers.is_some()
                }
                _ => false,
            };
            if !understood {
                say(HELP);
                return None;
            }
        }
        Some(options)
    }

    /// As written.
    pub(crate) fn given(&self) -> &[String] {
        &self.given
    }

    pub(crate) fn quick(&self) -> bool {
        self.quick
    }

    /// Takes the cores, and begins the report with where load and server run.
    pub(crate) fn begin(&self, report: &mut Report) -> Cores {
        let cores = Cores::choose();
        machine::pin(&[cores.load]);
        let rank = if self.polite { "politely" } else { machine::come_first() };
        report.line(&format!("{}, {rank}", cores.describe()));
        cores
    }

    pub(crate) fn rounds(&self, usual: usize, quick: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { quick } else { usual })
    }

    pub(crate) fn wants_mix(&self, key: &str) -> bool {
        wants(self.mixes.as_ref(), key)
    }

    pub(crate) fn wants_server(&self, name: &str) -> bool {
        wants(self.servers.as_ref(), name)
    }
}

fn wants(only: Option<&Vec<String>>, name: &str) -> bool {
    only.is_none_or(|only| only.iter().any(|one| one == name))
}
