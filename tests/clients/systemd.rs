//! systemd: whether it takes the unit that `docs/operations.md` speaks of.

use tempfile::TempDir;

use crate::program::{example, program};
use crate::support::server::run;

#[tokio::test]
async fn with_systemd_the_unit_is_one_without_faults() {
    let unit = example("rollcall.service");
    // What it starts has to be there.
    let installed = "/usr/local/bin/rollcall ";
    assert!(unit.contains(installed), "{unit}");
    let built = format!("{} ", env!("CARGO_BIN_EXE_rollcall"));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rollcall.service");
    std::fs::write(&path, unit.replace(installed, &built)).unwrap();

    let mut verify = program("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(&path);
    let ran = run(verify).await;
    assert_eq!((ran.code, ran.err.as_str(), ran.out.as_str()), (0, "", ""));
}
