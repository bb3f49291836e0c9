//! The resolver of musl, which is Alpine's: no EDNS, no TCP before 1.2.4, and one NXDOMAIN is the end of a lookup.

use std::fmt::Write as _;

use tempfile::TempDir;

use crate::program::{example, printed};
use crate::space::Space;
use crate::support::server::Home;
use crate::world::{PORT_53, lasting, many, two};

/// Prints what getaddrinfo gives, an address a line, or the error.
const LOOKUP: &str = r#"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

int main(int argc, char **argv) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found, *next;
    int error = getaddrinfo(argv[1], "80", &hints, &found);
    if (error) { puts(gai_strerror(error)); return 0; }
    for (next = found; next; next = next->ai_next) {
        char text[INET6_ADDRSTRLEN];
        void *address = next->ai_family == AF_INET
            ? (void *)&((struct sockaddr_in *)next->ai_addr)->sin_addr
            : (void *)&((struct sockaddr_in6 *)next->ai_addr)->sin6_addr;
        puts(inet_ntop(next->ai_family, address, text, sizeof text));
    }
}
"#;

/// That program, linked with musl.
struct Lookup {
    folder: TempDir,
}

impl Lookup {
    async fn compile() -> Self {
        let folder = TempDir::new().unwrap();
        let (source, program) = (folder.path().join("lookup.c"), folder.path().join("lookup"));
        std::fs::write(&source, LOOKUP).unwrap();
        let arguments = ["-static", "-o", program.to_str().unwrap(), source.to_str().unwrap()];
        printed("musl-gcc", &arguments).await;
        Self { folder }
    }

    /// Sorted addresses, or the one line that says why there are none.
    async fn run(&self, name: &str) -> Vec<String> {
        let program = self.folder.path().join("lookup");
        let said = printed(program.to_str().unwrap(), &[name]).await;
        let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

#[tokio::test]
async fn with_musl_an_app_without_ipv6_is_found() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let lookup = Lookup::compile().await;
    let server = Home::new().start(&PORT_53).await;
    server.register("app", "i-1", lasting("10.9.0.1", 80)).await;
    assert_eq!(lookup.run("app").await, ["10.9.0.1"]);
    assert_eq!(lookup.run("i-1.app").await, ["10.9.0.1"]);
    assert_eq!(lookup.run("nope.svc.").await, ["Name does not resolve"]);
}

#[tokio::test]
async fn with_musl_both_families_are_found() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let lookup = Lookup::compile().await;
    let _server = two(&PORT_53).await;
    assert_eq!(lookup.run("app").await, ["10.9.0.1", "10.9.0.2", "fd00::9:1"]);
}

#[tokio::test]
async fn with_musl_of_a_hundred_addresses_as_many_come_as_fit() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let lookup = Lookup::compile().await;
    let server = Home::new().start(&PORT_53).await;
    many(&server, "app", 100).await;
    let found = lookup.run("app").await;
    let mut said = String::new();
    for address in &found {
        write!(said, "{address} ").unwrap();
        assert!(address.starts_with("10.8.0."), "{address}");
    }
    assert!(found.len() >= 20, "an answer that is too long is not an empty one: {said}");
}
