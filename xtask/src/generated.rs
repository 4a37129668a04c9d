//! Files that are made from code.

use std::process::ExitCode;

use crate::paths;
use crate::process::{cargo, run};

/// Writes `crds/` from the Pipeline types; with `check` only tells whether it is up to date.
///
/// It runs as a test of the crate that has the types, so that this command need not be built with them.
pub(crate) fn crds(check: bool) -> anyhow::Result<ExitCode> {
    let mut test = cargo(["test", "--release", "--locked", "--quiet", "--workspace"]);
    test.args(["--test", "generated"]).current_dir(paths::root());
    if !check {
        test.env("PENSTOCK_WRITE_GENERATED", "1");
    }
    run(&mut test)?;
    Ok(ExitCode::SUCCESS)
}
