//! Zan's calls as PHP makes them.

use std::path::Path;
use std::process::Command;

use super::start;
use crate::support::server::run;

#[tokio::test]
async fn with_php_zan_registers_and_is_found() {
    let (_server, at) = start("[[layout]]\nkind = \"nova\"\nprefix = \"/nova:\"").await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/etcd_v2/zan.php");
    let mut php = Command::new("php");
    php.arg(script).arg(format!("http://{at}"));
    assert_eq!(run(php).await.done(), "done\n");
}
