//! What the benchmarks of whole servers share: processes and what they cost, cores, figures and reports.
//!
//! Knows nothing of DNS; what knows it is in the modules that say so.
#![allow(dead_code, reason = "each benchmark uses a part of this")]

pub(crate) mod figures;
pub(crate) mod live;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod question;
pub(crate) mod report;
pub(crate) mod steady;

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
