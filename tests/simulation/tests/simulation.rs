//! A thousand schedules, that a seed decides everything, and that broken rules are noticed.
#![allow(clippy::unwrap_used, reason = "tests")]

use penstock_simulation::{Mutation, run, sweep};

/// As many as run in about a minute of one core.
const SCHEDULES: u64 = 1_000;
/// Each broken rule is noticed in fewer; docs/simulation.md says how many it takes.
const ENOUGH_TO_NOTICE: u64 = 1_000;

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn a_thousand_schedules_lose_double_and_hold_up_nothing() {
    let report = sweep(0..SCHEDULES, None, jobs(), |_| {});
    assert!(report.failure.is_none(), "{}", report.failure.unwrap().text(None));
    let happened = |what: &str| report.coverage.get(what).copied().unwrap_or(0);
    assert_eq!(happened("schedules"), SCHEDULES);
    for what in [
        "answers lost",
        "answers that never came",
        "batches spoiled",
        "crashes",
        "crashes after a call whose answer was lost",
        "crashes before a call",
        "dead letters that were there already",
        "iterators that ran out",
        "leases given back",
        "leases handed over",
        "leases of an earlier stream written anew",
        "merges",
        "partitions",
        "pauses",
        "pushes",
        "ranges applied again by another process",
        "records from before reading began",
        "records deleted unread",
        "repeats",
        "repeats of a record in a shard before",
        "requests lost",
        "requests that hung",
        "resizes",
        "restarts under another id",
        "restarts under the same id",
        "schedules with leases of a KCL application",
        "shard ends",
        "splits",
        "streams created again",
        "subscriptions that ended",
        "subscriptions that were taken over",
        "take-overs",
        "twins",
        "workers drained and replaced",
        "workers with wrong clocks",
        "writes that were there already",
    ] {
        assert!(happened(what) > 0, "{what}: never in {SCHEDULES} schedules");
    }
}

#[test]
fn a_seed_decides_everything() {
    let twice = || (0..8).map(|seed| run(seed, None, true)).collect::<Vec<_>>();
    let (first, second) = std::thread::scope(|scope| {
        let (first, second) = (scope.spawn(twice), scope.spawn(twice));
        (first.join().unwrap(), second.join().unwrap())
    });
    for (first, second) in first.iter().zip(&second) {
        assert!(first.trace.len() > 100, "a schedule of {} lines is none", first.trace.len());
        let differs = first.trace.iter().zip(&second.trace).position(|(a, b)| a != b);
        let at = |trace: &[String]| trace[differs.unwrap_or(0)].clone();
        assert_eq!(differs, None, "{}\n{}", at(&first.trace), at(&second.trace));
        assert_eq!(first.trace.len(), second.trace.len());
        assert_eq!(first.coverage, second.coverage);
    }
}

#[test]
fn every_broken_rule_is_noticed() {
    for (name, mutation) in Mutation::ALL {
        let report = sweep(0..ENOUGH_TO_NOTICE, Some(mutation), jobs(), |_| {});
        assert!(report.failure.is_some(), "{name}: nobody noticed in {ENOUGH_TO_NOTICE} schedules");
    }
}
