//! unbound in front of rollcall: asks for no more of a name than it must, and writes names in mixed case.

use tempfile::TempDir;

use crate::forwarder;
use crate::glibc::ahosts;
use crate::program::{example, program};
use crate::space::Space;
use crate::support::ask::ask;
use crate::support::running::Running;
use crate::tap::Tap;
use crate::world::{PORT_1053, two};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, SRV};

/// The example, with what a test needs besides, and a trust anchor for the root such as Debian's package has.
fn start(files: &TempDir) -> Running {
    let besides = "
server:
    username: \"\"
    chroot: \"\"
    directory: \"\"
    pidfile: \"\"
    use-syslog: no
    qname-minimisation: yes
    use-caps-for-id: yes
    private-address: 10.0.0.0/8
    trust-anchor: \". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\"
";
    let path = files.path().join("unbound.conf");
    std::fs::write(&path, example("unbound.conf") + besides).unwrap();
    let mut command = program("unbound");
    command.arg("-d").arg("-c").arg(path);
    Running::start(command)
}

#[tokio::test]
async fn with_unbound_answers_are_as_direct() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.stub"));
    let server = two(&PORT_1053).await;
    let files = TempDir::new().unwrap();
    let mut unbound = start(&files);
    let forwarder = forwarder::ready(&mut unbound).await;
    forwarder::agrees(&server, forwarder).await;
    forwarder::passes_forty(&server, forwarder).await;
    let all = ["10.9.0.1", "10.9.0.2", "fd00::9:1"].map(str::to_owned);
    assert_eq!(ahosts("app").await, all.into(), "by the search list");
    forwarder::forgets("unbound", &server, forwarder).await;
}

#[tokio::test]
async fn with_unbound_every_step_to_a_name_exists_and_keeps_its_case() {
    let _space = Space::enter();
    let server = two(&["--dns", "127.0.0.1:5300"]).await;
    let tap = Tap::between("127.0.0.1:1053", server.dns[0]).await;
    let files = TempDir::new().unwrap();
    let mut unbound = start(&files);
    let forwarder = forwarder::ready(&mut unbound).await;
    tap.clear();
    let service = "_nova._tcp.app.svc";
    assert_eq!(ask(forwarder, service, SRV).await.records().len(), 2);
    let heard = tap.heard();
    let asked: Vec<_> = heard.iter().map(|(question, _)| question.lower()).collect();
    let service_type = ("_nova._tcp.app.svc.", A);
    let steps = [("app.svc.", A), ("_tcp.app.svc.", A), service_type, ("_nova._tcp.app.svc.", SRV)];
    assert_eq!(asked, steps.map(|(name, rtype)| (name.to_owned(), rtype)));
    for (question, reply) in &heard {
        assert_eq!(reply.status(), ResponseCode::NoError, "{reply:?}");
        assert_eq!(question.name(), reply.0.queries[0].name().to_ascii(), "octet for octet");
    }
    assert!(heard.iter().any(|(question, _)| question.name() != question.lower().0), "{heard:?}");
}
