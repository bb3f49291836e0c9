//! dnsmasq in front of rollcall.

use std::process::Command;

use crate::forwarder;
use crate::glibc::{ahosts, ordinary};
use crate::program::{example, program};
use crate::space::Space;
use crate::support::running::Running;
use crate::world::{PORT_1053, two};

/// The example as it stands.
fn start() -> Running {
    let mut command: Command = program("dnsmasq");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/dnsmasq.conf");
    command.args(["--keep-in-foreground", "--user=root", "--pid-file"]);
    command.args([&format!("--conf-file={path}"), "--log-facility=-"]);
    Running::start(command)
}

#[tokio::test]
async fn with_dnsmasq_answers_are_as_direct() {
    let space = Space::enter();
    // glibc looks for a family only where the host has an address of it.
    space.addresses(&["192.0.2.53", "fd00::53"]);
    space.resolv_conf(&example("resolv.conf.stub"));
    let server = two(&PORT_1053).await;
    let _other = ordinary("192.0.2.53:53").await;
    let mut dnsmasq = start();
    let forwarder = forwarder::ready(&mut dnsmasq).await;
    forwarder::agrees(&server, forwarder).await;
    forwarder::passes_forty(&server, forwarder).await;
    let all = ["10.9.0.1", "10.9.0.2", "fd00::9:1"].map(str::to_owned);
    assert_eq!(ahosts("app").await, all.into(), "by the search list");
    assert_eq!(ahosts("www.example.net").await, ["93.184.215.14".to_owned()].into());
    forwarder::forgets("dnsmasq", &server, forwarder).await;
}
