//! Programs in other languages that use the libraries of PyPI and npm which `./dev test` got.

use std::path::Path;
use std::process::Command;

/// Where they are.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients");

/// A Python script, given on the command line.
pub(crate) fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", Path::new(FOLDER).join("pip")).args(["-c", script]);
    command
}

/// A script for Node.js, likewise.
pub(crate) fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    // A folder for each package.
    let packages = std::fs::read_dir(Path::new(FOLDER).join("npm")).into_iter().flatten();
    let modules = packages.map(|package| package.unwrap().path().join("node_modules"));
    command.env("NODE_PATH", std::env::join_paths(modules).unwrap()).args(["-e", script]);
    command
}
