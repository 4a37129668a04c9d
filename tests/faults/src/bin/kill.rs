//! Sends a file through the main job while server and client are killed again and again, then compares
//! every store with the file. `cargo xtask kill -- --help`
#![allow(clippy::print_stdout, reason = "what was asked for")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use penstock_faults::{Client, Server, ServerOptions, Verdict, penstock, root, sample, verify};

/// Kills the server (and the client) at random moments while a file is sent, and compares stores with file.
#[derive(Debug, Parser)]
struct Args {
    /// The file to send; a generated one when absent.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Rows of the generated file.
    #[arg(long, default_value_t = 40_000)]
    rows: u64,
    /// How often the server is killed.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// How often the client is killed, spread over the kills of the server.
    #[arg(long, default_value_t = 0)]
    client_kills: u32,
    /// Rows per second, so that the kills meet work in progress; 0 for as fast as it goes.
    #[arg(long, default_value_t = 3_000)]
    rate: u32,
    /// The longest time between two kills, in milliseconds.
    #[arg(long, default_value_t = 1_200)]
    max_pause: u64,
    /// The seed of the moments; printed, so that a run can be repeated.
    #[arg(long)]
    seed: Option<u64>,
}

/// The longest that the whole may take.
const DEADLINE: Duration = Duration::from_secs(1_800);

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let verdict = run(&args, seed)?;
    println!(
        "rows {}, buffered {} ({} of them sent again), {} objects, {} invoice items, {} customer items, revenue {}",
        verdict.rows,
        verdict.buffered,
        verdict.repeats,
        verdict.objects,
        verdict.invoice_items,
        verdict.customer_items,
        verdict.revenue
    );
    for problem in &verdict.problems {
        println!("WRONG: {problem}");
    }
    println!("{}", if verdict.problems.is_empty() { "0 lost, 0 doubled" } else { "the stores differ" });
    Ok(if verdict.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(args: &Args, seed: u64) -> anyhow::Result<Verdict> {
    let penstock = penstock()?;
    let folder = tempfile::tempdir()?;
    let file = match &args.file {
        Some(file) => file.clone(),
        None => {
            let file = folder.path().join("shop.csv");
            sample(&penstock, args.rows, seed, &file)?;
            file
        }
    };
    let pipeline = root().join("examples/ecommerce/pipeline.yaml");
    let options = ServerOptions::new(&penstock, &pipeline, &folder.path().join("data"))?;
    let outcome = send_under_fire(args, seed, &options, &penstock, &file);
    if outcome.is_err() {
        let kept = folder.keep();
        println!("what was left is in {}", kept.display());
    }
    outcome
}

fn send_under_fire(
    args: &Args,
    seed: u64,
    options: &ServerOptions,
    penstock: &Path,
    file: &Path,
) -> anyhow::Result<Verdict> {
    let mut random = fastrand::Rng::with_seed(seed);
    let journal = options.data_dir.with_file_name("journal");
    let rate = args.rate.to_string();
    let arguments: &[&str] = if args.rate == 0 { &[] } else { &["--rate", &rate] };
    let began = Instant::now();
    let mut server = Server::start(options)?;
    let source = server.ready.sources.first().context("the Pipeline has no source")?.clone();
    let start_client = || Client::start(penstock, file, &source, &journal, arguments);
    let mut client = start_client()?;

    for kill in 0..args.kills {
        std::thread::sleep(Duration::from_millis(random.u64(20..=args.max_pause)));
        server.kill()?;
        if kill * args.client_kills / args.kills.max(1) != (kill + 1) * args.client_kills / args.kills.max(1) {
            client.kill()?;
            client = start_client()?;
        }
        server = Server::start(options)?;
    }
    loop {
        if let Some(status) = client.ended()? {
            if !status.success() {
                bail!("the client ended with {status}; see {}", journal.with_extension("log").display());
            }
            break;
        }
        if began.elapsed() > DEADLINE {
            bail!("the client did not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    server.drain(Duration::from_secs(120))?;
    drained(options)?;
    let server = Server::start(options)?;
    let verdict = verify(&server.ready, file, true)?;
    server.drain(Duration::from_secs(120))?;
    Ok(verdict)
}

/// Lets a server run until everything in its stream is stored.
fn drained(options: &ServerOptions) -> anyhow::Result<()> {
    let status =
        options.command().args(["--until-drained", "--no-read-back"]).stdout(std::process::Stdio::null()).status()?;
    if !status.success() {
        bail!("the server that was to drain ended with {status}");
    }
    Ok(())
}
