//! Go, whose own resolver sends EDNS, asks again over TCP and sorts SRV records by itself.

use tempfile::TempDir;

use crate::program::{example, program};
use crate::space::Space;
use crate::support::server::run;
use crate::world::{PORT_53, many, two};

/// Prints for each app how many instances `LookupSRV` finds, or whether there is none; then a host's addresses.
const LOOKUP: &str = r#"
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
)

func main() {
	for _, app := range os.Args[1:] {
		_, found, err := net.LookupSRV("nova", "tcp", app)
		var gone *net.DNSError
		switch {
		case errors.As(err, &gone) && gone.IsNotFound:
			fmt.Println(app, "no such host")
		case err != nil:
			fmt.Println(app, err)
		default:
			fmt.Println(app, len(found))
		}
	}
	fmt.Println(net.LookupHost("i-2.app"))
}
"#;

#[tokio::test]
async fn with_go_services_and_hosts_are_found_over_udp_and_tcp() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let server = two(&PORT_53).await;
    many(&server, "big", 40).await;
    let files = TempDir::new().unwrap();
    let path = |name: &str| files.path().join(name);
    std::fs::write(path("lookup.go"), LOOKUP).unwrap();
    let mut build = program("go");
    build.args(["build", "-o"]).arg(path("lookup")).arg(path("lookup.go"));
    // Without cgo its own resolver is the only one.
    build.env("CGO_ENABLED", "0").env("GOCACHE", path("cache")).env("GOPATH", path("path"));
    build.env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local");
    run(build).await.done();
    let mut lookup = program(path("lookup").to_str().unwrap());
    lookup.args(["app.svc", "app", "big.svc", "nope.svc"]);
    let said = run(lookup).await.done();
    let expected =
        ["app.svc 2", "app 2", "big.svc 40", "nope.svc no such host", "[10.9.0.2] <nil>"];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}
