//! The binary: exit codes, and nothing else.

fn main() {}
