//! A browser of DNS-based service discovery (RFC 6763): what it lists, it has found by PTR, SRV and TXT records alone.

use serde_json::json;

use crate::program::{lines, program};
use crate::space::Space;
use crate::support::running::Running;
use crate::support::until;
use crate::world::{PORT_53, two};

/// A bus for the daemon and the browser to meet on, with no rules.
const BUS: &str = r#"<busconfig><type>system</type>
<listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/><allow receive_requested_reply="true"/></policy>
</busconfig>"#;

/// Asks name servers, not only neighbours.
const DAEMON: &str = "[server]\nuse-ipv6=no\nenable-dbus=yes\n[wide-area]\nenable-wide-area=yes\n\
                      [publish]\ndisable-publishing=yes\n";

/// The bus and the daemon on it.
async fn start(space: &Space) -> [Running; 2] {
    space.hide("/run");
    std::fs::create_dir_all("/run/dbus").unwrap();
    std::fs::create_dir_all("/run/avahi-daemon").unwrap();
    std::fs::write("/run/bus.conf", BUS).unwrap();
    std::fs::write("/run/avahi.conf", DAEMON).unwrap();
    let mut bus = program("dbus-daemon");
    bus.args(["--config-file=/run/bus.conf", "--nofork", "--nopidfile"]);
    let bus = Running::start(bus);
    until("the bus is there", async || {
        std::path::Path::new("/run/dbus/system_bus_socket").exists()
    })
    .await;
    let mut daemon = program("avahi-daemon");
    daemon.args([
        "-f",
        "/run/avahi.conf",
        "--no-drop-root",
        "--no-rlimits",
        "--no-chroot",
        "--debug",
    ]);
    let daemon = Running::start(daemon);
    until("the daemon runs", async || daemon.err().contains("Server startup complete")).await;
    [bus, daemon]
}

#[tokio::test]
async fn with_avahi_instances_are_browsed_with_what_they_say() {
    let space = Space::enter();
    space.link();
    space.resolv_conf("nameserver 127.0.0.1\n");
    let server = two(&PORT_53).await;
    let body =
        json!({"address": "10.9.0.3", "port": 8003, "ttl": 3600, "meta": {"version": "1.4"}});
    server.register("app", "i-3", body).await;
    let _daemons = start(&space).await;
    // `-p` prints one line for each instance that was resolved: =;;;name;type;domain;host;address;port;txt
    let browse = ["-d", "app.svc", "-t", "-r", "-p", "_nova._tcp"];
    let mut seen = Vec::new();
    until("all are browsed", async || {
        seen = lines("avahi-browse", &browse).await;
        seen.retain(|line| line.starts_with('='));
        seen.len() >= 3
    })
    .await;
    let found = |host: &str, rest: &str| {
        assert!(seen.iter().any(|line| line.contains(host) && line.ends_with(rest)), "{seen:?}");
    };
    found(";i-1.app.svc;", ";8001;");
    found(";i-2.app.svc;10.9.0.2;", ";8002;");
    found(";i-3.app.svc;10.9.0.3;", ";8003;\"version=1.4\"");
    // Browsing for all there is begins with the list of services.
    let types = lines("avahi-browse", &["-d", "app.svc", "-t", "-p", "-a"]).await;
    assert!(types.iter().any(|line| line.contains(";_nova._tcp;app.svc")), "{types:?}");
}
