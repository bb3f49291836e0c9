//! A network and a view of the files for one test: ports below 1024 are free in it, any address can be had, and
//! `/etc/resolv.conf` is its own.

use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

/// Holds for the thread that made it, which is the one that all of an async test runs on, and for every program
/// that is started from there. Ends with them.
pub(crate) struct Space {
    files: TempDir,
}

impl Space {
    /// A network that is nothing but loopback, and name service by `/etc/hosts` and DNS, whatever this machine uses.
    pub(crate) fn enter() -> Self {
        let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
        unshare(own).unwrap_or_else(|why| {
            panic!(
                "no network of its own for a test: {why}: run it as root, or by ./dev test clients"
            )
        });
        // What is mounted from now on is seen in here only.
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let space = Self { files: TempDir::new().unwrap() };
        ip("link set lo up");
        // The name service cache, where there is one, would ask for us, from outside.
        if Path::new("/run/nscd").exists() {
            space.hide("/run/nscd");
        }
        if Path::new("/etc/nsswitch.conf").exists() {
            space.file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
        }
        space
    }

    /// Gives loopback these addresses as well.
    pub(crate) fn addresses(&self, addresses: &[&str]) {
        for address in addresses {
            let length = if address.contains(':') { 128 } else { 32 };
            ip(&format!("address add {address}/{length} dev lo nodad"));
        }
    }

    /// Gives the network a link besides loopback.
    pub(crate) fn link(&self) {
        ip("link add near type veth peer name far");
        ip("address add 192.0.2.1/24 dev near");
        ip("link set near up");
        ip("link set far up");
    }

    /// Puts a text in the place of a file of this machine.
    pub(crate) fn file(&self, path: &str, text: &str) {
        let own = self.files.path().join(path.trim_start_matches('/').replace('/', "-"));
        std::fs::write(&own, text).unwrap();
        mount(Some(&own), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap_or_else(
            |why| panic!("cannot put a file of the test's in the place of {path}: {why}"),
        );
    }

    /// Puts an empty folder in the place of one of this machine.
    pub(crate) fn hide(&self, path: &str) {
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap_or_else(
            |why| panic!("cannot put an empty folder in the place of {path}: {why}"),
        );
    }

    /// What programs in here find name servers by.
    pub(crate) fn resolv_conf(&self, text: &str) {
        self.file("/etc/resolv.conf", text);
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.unwrap_or_else(|why| panic!("cannot run ip (package iproute2): {why}"));
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}
