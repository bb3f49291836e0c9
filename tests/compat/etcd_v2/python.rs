//! python-etcd, a client of other people's, where `./dev test compat` has put it.

use std::path::Path;
use std::process::Command;

use super::start_on;
use crate::support::etcd::Etcd;
use crate::support::server::run;

/// Libraries of Python.
const LIBRARIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients/python");

#[tokio::test]
async fn with_python_etcd_all_that_clients_do_is_done() {
    let etcd = Etcd::start().await;
    let layout = "[[layout]]\nkind = \"registrator\"\nprefix = \"/services/\"";
    let (_server, at) = start_on(&etcd, layout).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/etcd_v2/python_etcd.py");
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", LIBRARIES).env("PYTHONDONTWRITEBYTECODE", "1");
    python.arg(script).arg(at.port().to_string());
    assert_eq!(run(python).await.done(), "done\n");
}
