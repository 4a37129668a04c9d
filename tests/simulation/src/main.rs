//! `simulate`: many seeds, one seed with its whole story, or how soon a broken rule is noticed.
#![allow(clippy::print_stdout, reason = "what was asked for")]

use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Parser;
use parking_lot::Mutex;
use penstock_simulation::{Failure, Mutation, run, sweep};

/// The consumer under schedules of crashes, pauses, partitions, lost answers and resharding.
#[derive(Parser)]
struct Arguments {
    /// The seeds to run: FROM..TO.
    #[arg(long, default_value = "0..10000", value_parser = range)]
    seeds: Range<u64>,
    /// One seed alone, with its whole trace.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Break a rule of the protocol, and see it noticed; `all` breaks one after the other.
    #[arg(long)]
    mutation: Option<String>,
    /// Threads; as many as there are cores when it is not given.
    #[arg(long)]
    jobs: Option<usize>,
}

fn range(text: &str) -> anyhow::Result<Range<u64>> {
    let (from, to) = text.split_once("..").context("expected FROM..TO")?;
    Ok(from.parse()?..to.parse()?)
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.unwrap_or(cores).max(1);
    if arguments.mutation.as_deref() == Some("all") {
        return Ok(all_mutations(arguments.seeds, jobs));
    }
    let mutation = arguments.mutation.as_deref().map(named).transpose()?;
    match arguments.seed {
        Some(seed) => Ok(one(seed, mutation)),
        None => Ok(many(arguments.seeds, mutation, jobs)),
    }
}

fn named(name: &str) -> anyhow::Result<Mutation> {
    let names: Vec<_> = Mutation::ALL.iter().map(|(name, _)| *name).collect();
    let found = Mutation::ALL.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, mutation)| *mutation)
        .ok_or_else(|| anyhow!("there is no mutation {name:?}, but {names:?} and `all`"))
}

fn one(seed: u64, mutation: Option<Mutation>) -> ExitCode {
    let outcome = run(seed, mutation, true);
    println!("{}\n", outcome.trace.join("\n"));
    coverage(&outcome.coverage);
    for violation in &outcome.violations {
        println!("VIOLATION  {violation}");
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(seeds: Range<u64>, mutation: Option<Mutation>, jobs: usize) -> ExitCode {
    let began = Instant::now();
    let told = Mutex::new(began);
    let progress = |done: u64| {
        let mut told = told.lock();
        if told.elapsed() > Duration::from_secs(5) {
            *told = Instant::now();
            eprintln!("{done} of {} schedules, {:.0} s", seeds.end - seeds.start, began.elapsed().as_secs_f64());
        }
    };
    let report = sweep(seeds.clone(), mutation, jobs, progress);
    coverage(&report.coverage);
    let schedules = report.coverage.get("schedules").copied().unwrap_or(0);
    println!("\n{schedules} schedules in {:.1} s on {jobs} threads", began.elapsed().as_secs_f64());
    match &report.failure {
        None => {
            println!("nothing was lost, doubled or stuck");
            ExitCode::SUCCESS
        }
        Some(failure) => {
            println!("\n{}", Failure::text(failure, mutation));
            ExitCode::FAILURE
        }
    }
}

/// How many schedules it takes until each broken rule is noticed.
fn all_mutations(seeds: Range<u64>, jobs: usize) -> ExitCode {
    let mut unnoticed = 0;
    for (name, mutation) in Mutation::ALL {
        match sweep(seeds.clone(), Some(mutation), jobs, |_| {}).failure {
            Some(Failure { seed, violations, .. }) => {
                println!("{name:<18} noticed after {:>4} schedules: {}", seed - seeds.start + 1, violations[0]);
            }
            None => {
                unnoticed += 1;
                println!("{name:<18} NOT NOTICED in {} schedules", seeds.end - seeds.start);
            }
        }
    }
    if unnoticed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn coverage(counts: &std::collections::BTreeMap<&'static str, u64>) {
    for (what, count) in counts {
        println!("{count:>12}  {what}");
    }
}
