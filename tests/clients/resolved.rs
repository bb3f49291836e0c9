//! systemd-resolved in front of rollcall. It runs without the rest of systemd, and without D-Bus.

use std::fs::File;
use std::os::unix::fs::chown;
use std::path::Path;

use hickory_proto::rr::RecordType::SRV;

use crate::forwarder;
use crate::glibc::ahosts;
use crate::program::{example, program};
use crate::space::Space;
use crate::support::ask::ask;
use crate::support::running::Running;
use crate::world::{PORT_1053, two};

/// The user that it insists on becoming; made up for the test where this machine has none.
const USER: &str = "systemd-resolve";
const ID: u32 = 991;

/// The example as it stands, in the folder for settings that last until the next start.
fn start(space: &Space) -> Running {
    for (file, entry) in [
        ("/etc/passwd", format!("{USER}:x:{ID}:{ID}::/:/usr/sbin/nologin\n")),
        ("/etc/group", format!("{USER}:x:{ID}:\n")),
    ] {
        let others = std::fs::read_to_string(file).unwrap();
        let others = others.lines().filter(|line| !line.starts_with(USER));
        space.file(file, &(others.map(|line| format!("{line}\n")).collect::<String>() + &entry));
    }
    space.hide("/run");
    // Where this machine itself has systemd-resolved, resolv.conf is a link to what is hidden now.
    if let Ok(target) = std::fs::read_link("/etc/resolv.conf") {
        let target = Path::new("/etc").join(target);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        File::options().append(true).create(true).open(target).unwrap();
    }
    space.resolv_conf(&example("resolv.conf.stub"));
    std::fs::create_dir_all("/run/systemd/resolve").unwrap();
    chown("/run/systemd/resolve", Some(ID), Some(ID)).unwrap();
    std::fs::create_dir_all("/run/systemd/resolved.conf.d").unwrap();
    std::fs::write("/run/systemd/resolved.conf.d/svc.conf", example("resolved.conf")).unwrap();
    Running::start(program("systemd-resolved"))
}

#[tokio::test]
async fn with_resolved_answers_are_as_direct() {
    let space = Space::enter();
    space.link();
    let server = two(&PORT_1053).await;
    let mut resolved = start(&space);
    let forwarder = forwarder::ready(&mut resolved).await;
    forwarder::agrees(&server, forwarder).await;
    let glue = ask(forwarder, "_nova._tcp.app.svc", SRV).await.additional();
    let expected =
        ["i-1.app.svc. A 10.9.0.1", "i-1.app.svc. AAAA fd00::9:1", "i-2.app.svc. A 10.9.0.2"];
    assert_eq!(glue, expected, "it passes them on");
    forwarder::passes_forty(&server, forwarder).await;
    let all = ["10.9.0.1", "10.9.0.2", "fd00::9:1"].map(str::to_owned);
    assert_eq!(ahosts("app").await, all.into(), "by the search list");
    forwarder::forgets("systemd-resolved", &server, forwarder).await;
}
