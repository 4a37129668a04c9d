//! The command as people start it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};

fn penstock(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    Command::new(env!("CARGO_BIN_EXE_penstock")).args(arguments).current_dir(root).output().unwrap()
}

#[test]
fn the_examples_are_valid() {
    let output = penstock(&["validate", "examples/ecommerce/pipeline.yaml", "examples/minimal/pipeline.yaml"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_file_that_is_not_there_is_a_usage_error_that_names_it() {
    let output = penstock(&["validate", "nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere.yaml"));
}

#[test]
fn the_same_seed_gives_the_same_sample() {
    let sample = || penstock(&["sample", "--rows", "200", "--seed", "5", "--out", "-"]);
    let first = sample();
    assert!(first.status.success() && !first.stdout.is_empty());
    assert_eq!(first.stdout, sample().stdout);
}
