//! Sends a file through the main job, again and again, under every fault there is, and compares every store with the
//! file after each run. `cargo xtask chaos -- --help`
#![allow(clippy::print_stdout, reason = "what was asked for")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use penstock_faults::chaos::{ChaosOptions, Outcome, run};
use penstock_faults::penstock;

/// Runs workers, source and client behind gates that throttle, fail, reset, hang, delay, cut off and deliver twice; kills and
/// freezes them meanwhile, and reshards the stream. Then compares every store with the file, by boto3.
#[derive(Debug, Parser)]
struct Args {
    /// How many runs; each has the seed after that of the run before.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// The seed of the first run: a run that went wrong is done again by its seed. Default: one by chance.
    #[arg(long)]
    seed: Option<u64>,
    /// The file to send; a generated one, another for each seed, when absent.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Rows of the generated file.
    #[arg(long, default_value_t = 10_000)]
    rows: u64,
    /// Rows per second, so that the faults meet work in progress; 0 for as fast as it goes.
    #[arg(long, default_value_t = 600)]
    rate: u32,
    /// Worker processes of each sink.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    workers: u16,
    /// The longest that a request hangs or a worker is frozen, in milliseconds; a lease expires after 10 seconds.
    #[arg(long, default_value_t = 12_000)]
    patience: u64,
    /// The source puts each row by itself.
    #[arg(long)]
    no_aggregation: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let first = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    let options = ChaosOptions {
        penstock: penstock()?,
        file: args.file,
        rows: args.rows,
        rate: args.rate,
        workers: usize::from(args.workers),
        patience: Duration::from_millis(args.patience),
        aggregated: !args.no_aggregation,
    };
    let mut wrong = Vec::new();
    for seed in first..first.saturating_add(args.runs) {
        match run(&options, seed) {
            Ok(outcome) => {
                print(seed, &outcome);
                if !outcome.verdict.problems.is_empty() {
                    wrong.push(seed);
                }
            }
            Err(error) => {
                println!("seed {seed}: BROKEN: {error:#}");
                wrong.push(seed);
            }
        }
    }
    println!("{} runs, {} wrong", args.runs, wrong.len());
    if wrong.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("again: cargo xtask chaos -- --seed SEED, with the same other arguments; seeds {wrong:?}");
    Ok(ExitCode::FAILURE)
}

fn print(seed: u64, outcome: &Outcome) {
    let verdict = &outcome.verdict;
    let requests = outcome.faults.get("").copied().unwrap_or_default();
    let faults: u64 = outcome.faults.iter().filter(|(name, _)| !name.is_empty()).map(|(_, count)| count).sum();
    println!(
        "seed {seed}: {} rows, {} buffered ({} again), {} objects, {} invoice items, {} customer items, revenue {}; \
         {requests} requests, {faults} faults; {} worker kills, {} freezes, {} source kills, {} client starts, \
         {} reshards; {:.0} s: {}",
        verdict.rows,
        verdict.buffered,
        verdict.repeats,
        verdict.objects,
        verdict.invoice_items,
        verdict.customer_items,
        verdict.revenue,
        outcome.kills,
        outcome.freezes,
        outcome.source_kills,
        outcome.client_starts,
        outcome.reshards,
        outcome.seconds,
        if verdict.problems.is_empty() { "0 lost, 0 doubled" } else { "THE STORES DIFFER" },
    );
    let counted = outcome.faults.iter().filter(|(name, _)| !name.is_empty());
    println!("  {}", counted.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", "));
    for problem in &verdict.problems {
        println!("  WRONG: {problem}");
    }
    if let Some(left) = &outcome.left {
        println!("  what was left is in {}", left.display());
    }
}
