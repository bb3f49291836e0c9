//! What the benchmarks of whole servers share: processes and what they cost, cores, figures and reports.
//!
//! ```text
//! machine, process, figures, report, options          any benchmark
//! zone --> questions --> load --> tally                what is asked, how, and what became of it
//!     (on its lanes: datagrams, stream, each with slots)
//! servers, roles, echo                                who is asked
//! live, steady, question                              a server while its registry changes
//! ```
#![allow(dead_code, reason = "each benchmark uses a part of this")]

pub(crate) mod comparison;
pub(crate) mod datagrams;
pub(crate) mod echo;
pub(crate) mod figures;
pub(crate) mod live;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod options;
pub(crate) mod process;
pub(crate) mod question;
pub(crate) mod questions;
pub(crate) mod report;
pub(crate) mod roles;
pub(crate) mod servers;
pub(crate) mod slots;
pub(crate) mod steady;
pub(crate) mod stream;
pub(crate) mod tally;
pub(crate) mod zone;

/// The real programs of the tests: rollcall itself, etcd, an HTTP client.
#[path = "../../tests/support/mod.rs"]
pub(crate) mod programs;

/// What stands behind `--` of `./dev bench NAME -- …`; none where this is no benchmark run, as under
/// `cargo test --all-targets`, which starts benchmarks too and must not wait for them.
pub(crate) fn arguments() -> Option<Vec<String>> {
    let mut given: Vec<String> = std::env::args().skip(1).collect();
    let all = given.len();
    given.retain(|argument| argument != "--bench");
    (given.len() < all).then_some(given)
}
