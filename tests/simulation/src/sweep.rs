//! Many seeds, side by side.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::mutation::Mutation;
use crate::world::run;

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Report {
    /// How often what happened.
    pub coverage: BTreeMap<&'static str, u64>,
    /// The first seed that failed, if one did.
    pub failure: Option<Failure>,
}

/// A seed that failed.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What must not be.
    pub violations: Vec<String>,
    /// Who called what and what came of it.
    pub trace: Vec<String>,
}

/// Lines of a trace that are shown: what led to a violation is at its end.
const SHOWN: usize = 150;

impl Failure {
    /// For people: the end of the trace, what is wrong, and how to see it again.
    #[must_use]
    pub fn text(&self, mutation: Option<Mutation>) -> String {
        let left_out = self.trace.len().saturating_sub(SHOWN);
        let mut text = format!("seed {}; {left_out} lines are left out\n\n", self.seed);
        text += &self.trace[left_out..].join("\n");
        text += "\n\n";
        for violation in &self.violations {
            text += &format!("VIOLATION  {violation}\n");
        }
        let mutation = mutation.map(|mutation| format!(" --mutation {}", mutation.name())).unwrap_or_default();
        text + &format!("\nagain, in full: cargo xtask simulate -- --seed {}{mutation}\n", self.seed)
    }
}

/// Runs the seeds on so many threads, in order, until one fails; says now and then how many are done.
pub fn sweep(seeds: Range<u64>, mutation: Option<Mutation>, jobs: usize, told: impl Fn(u64) + Sync) -> Report {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicU64::new(u64::MAX);
    let coverage = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // Seeds before one that failed are still run, so that the first one is found.
            if seed >= seeds.end || seed > failed.load(Ordering::Relaxed) {
                return;
            }
            let outcome = run(seed, mutation, false);
            if !outcome.violations.is_empty() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
            let mut coverage = coverage.lock();
            for (what, count) in outcome.coverage {
                *coverage.entry(what).or_default() += count;
            }
            told(coverage["schedules"]);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner();
    let failure = (failed != u64::MAX).then(|| {
        let outcome = run(failed, mutation, true);
        Failure { seed: failed, violations: outcome.violations, trace: outcome.trace }
    });
    Report { coverage: coverage.into_inner(), failure }
}
