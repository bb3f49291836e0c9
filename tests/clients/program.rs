//! The programs of other people: where they are, and what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::server::run;

/// Where `./dev test` unpacks those that it does not install, since installing would start daemons.
const UNPACKED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients");

/// A program by its name, from this machine or as it was unpacked.
pub(crate) fn program(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let system = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/lib/systemd", "/lib/systemd"]);
    let system = system.map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    if let Some(path) = system {
        return Command::new(path);
    }
    let folders = ["usr/bin", "usr/sbin", "usr/lib/systemd", "lib/systemd"];
    let unpacked = folders.map(|folder| Path::new(UNPACKED).join(folder).join(name));
    let path = unpacked.into_iter().find(|path| path.is_file());
    let path = path.unwrap_or_else(|| panic!("{name} is not here: ./dev test clients gets it"));
    let mut command = Command::new(path);
    command.env("LD_LIBRARY_PATH", libraries());
    command
}

/// The folders of the libraries that were unpacked beside them.
fn libraries() -> std::ffi::OsString {
    let below = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    };
    let roots = ["usr/lib", "lib"].map(|folder| Path::new(UNPACKED).join(folder));
    let triplets: Vec<_> = roots.into_iter().flat_map(below).collect();
    let own = triplets.iter().map(|folder| folder.join("systemd")).filter(|path| path.is_dir());
    std::env::join_paths(own.collect::<Vec<_>>().iter().chain(&triplets)).unwrap()
}

/// What a program prints that has to end well.
pub(crate) async fn printed(name: &str, arguments: &[&str]) -> String {
    let mut command = program(name);
    command.args(arguments);
    run(command).await.done()
}

/// The same in lines.
pub(crate) async fn lines(name: &str, arguments: &[&str]) -> Vec<String> {
    printed(name, arguments).await.lines().map(str::to_owned).collect()
}

/// The text of one of `docs/examples`, which `docs/resolver-setup.md` shows.
pub(crate) fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}
