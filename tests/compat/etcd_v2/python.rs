//! python-etcd, a client of other people's, where `./dev test compat` has put it.

use super::start_on;
use crate::support::etcd::Etcd;
use crate::support::library::python;
use crate::support::server::run;

#[tokio::test]
async fn with_python_etcd_all_that_clients_do_is_done() {
    let etcd = Etcd::start().await;
    let layout = "[[layout]]\nkind = \"registrator\"\nprefix = \"/services/\"";
    let (_server, at) = start_on(&etcd, layout).await;
    let mut python = python(include_str!("python_etcd.py"));
    python.env("PYTHONDONTWRITEBYTECODE", "1").arg(at.port().to_string());
    assert_eq!(run(python).await.done(), "done\n");
}
