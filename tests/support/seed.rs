//! Where random numbers of tests begin: the same each time, unless somebody wants others.

/// `ROLLCALL_SEED`, or a number that is as good as any.
pub(crate) fn seed() -> u64 {
    match std::env::var("ROLLCALL_SEED") {
        Ok(text) => text.parse().expect("ROLLCALL_SEED is a number"),
        Err(_) => 20_261_120,
    }
}
