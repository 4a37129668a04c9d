//! Where there is neither a control plane nor a Go to build one, everything here is left out and says so; in CI it fails.

use std::process::{Command, Output};

/// A test of this program, as on a machine without Go that has built nothing yet.
fn without_go(ci: bool) -> Output {
    let nothing = tempfile::tempdir().unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "verdicts::every_example_is_taken", "--nocapture"]);
    test.env("PATH", nothing.path()).env("XDG_CACHE_HOME", nothing.path()).env_remove("CI");
    if ci {
        test.env("CI", "true");
    }
    test.output().unwrap()
}

#[test]
fn what_needs_a_control_plane_is_left_out_without_go_and_says_so() {
    let output = without_go(false);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("SKIPPED: nothing is tested on a real API server") && said.contains("install Go"), "{said}");
}

#[test]
fn in_ci_nothing_is_left_out() {
    let output = without_go(true);
    assert!(!output.status.success());
}
