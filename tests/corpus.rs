//! Replays what fuzzing has kept: each target of `fuzz/targets/` with each input of `fuzz/seeds/` and, where there is
//! one, of `fuzz/corpus/`. Finding new ones is `./dev fuzz`'s.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

// The targets are compiled here as they stand: what they call the fuzzer's macro is this one.
extern crate self as libfuzzer_sys;

/// Makes a plain function of a target.
#[macro_export]
macro_rules! fuzz_target {
    (|$input:ident: &[u8]| $body:block) => {
        pub(crate) fn run($input: &[u8]) $body
    };
    (|$input:ident: &str| $body:block) => {
        pub(crate) fn run(octets: &[u8]) {
            let Ok($input) = std::str::from_utf8(octets) else { return };
            $body
        }
    };
}

/// The targets, by name.
macro_rules! targets {
    ($($name:ident: $path:literal,)*) => {
        $(#[path = $path] mod $name;)*
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name::run),)*];
    };
}

targets! {
    body: "../fuzz/targets/body.rs",
    consul: "../fuzz/targets/consul.rs",
    forward: "../fuzz/targets/forward.rs",
    foreign: "../fuzz/targets/foreign.rs",
    haunt: "../fuzz/targets/haunt.rs",
    layout: "../fuzz/targets/layout.rs",
    query: "../fuzz/targets/query.rs",
    tags: "../fuzz/targets/tags.rs",
    tars: "../fuzz/targets/tars.rs",
    tcp: "../fuzz/targets/tcp.rs",
    v2_keys: "../fuzz/targets/v2_keys.rs",
    zonefile: "../fuzz/targets/zonefile.rs",
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder);
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_input_that_was_kept_is_answered_for() {
    for (name, run) in TARGETS {
        let seeds = files(&format!("seeds/{name}"));
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for file in seeds.into_iter().chain(files(&format!("corpus/{name}"))) {
            let input = std::fs::read(&file).unwrap();
            let outcome = std::panic::catch_unwind(|| run(&input));
            assert!(outcome.is_ok(), "{name} fails with {}", file.display());
        }
    }
}

#[test]
fn every_target_is_replayed() {
    let stem = |file: &PathBuf| file.file_stem().unwrap().to_string_lossy().into_owned();
    let written: BTreeSet<String> = files("targets").iter().map(stem).collect();
    let replayed = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(written, replayed);
}
