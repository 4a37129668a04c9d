//! A few short runs of `cargo xtask chaos`, with seeds that stay the same.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use penstock_faults::chaos::{ChaosOptions, run};
use penstock_faults::penstock;

/// Each row is stored once, whatever happened on the way.
fn holds(seed: u64, aggregated: bool) {
    if let Err(error) = penstock_conformance::python() {
        penstock_conformance::may_skip("comparing the stores with the file by boto3", &error).unwrap();
        eprintln!("skipped: comparing the stores with the file by boto3, since {error:#}");
        return;
    }
    let options = ChaosOptions {
        penstock: penstock().unwrap(),
        file: None,
        rows: 3_000,
        rate: 500,
        workers: 2,
        patience: Duration::from_secs(3),
        aggregated,
    };
    let outcome = run(&options, seed).unwrap();
    eprintln!("seed {seed}: {outcome:?}");
    assert_eq!(outcome.verdict.problems, Vec::<String>::new(), "see {:?}", outcome.left);
    assert_eq!(outcome.verdict.rows, 3_000);
    assert_eq!(outcome.verdict.buffered, outcome.verdict.rows + outcome.verdict.repeats);
    assert!(outcome.faults.len() > 5 && outcome.kills > 0, "the run was too quiet to show anything: {outcome:?}");
}

#[test]
fn nothing_is_lost_or_doubled_under_all_faults_when_rows_are_put_together() {
    holds(1, true);
}

#[test]
fn nothing_is_lost_or_doubled_under_all_faults_when_each_row_is_put_by_itself() {
    holds(2, false);
}
