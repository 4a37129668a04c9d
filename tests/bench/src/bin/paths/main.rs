//! Each path of a pipeline alone, against a stand-in for AWS: `cargo xtask bench -- paths --help`.
//!
//! What is measured runs on one core. The stand-in, the load generator and the engines behind them run in this process,
//! on another; how busy that one was stands beside each figure, and what it can do at most in a row of its own.
#![allow(clippy::print_stdout, reason = "what was asked for")]

mod cores;
mod figure;
mod floor;
mod lambda;
mod path;
mod plot;
mod report;
mod stage;
mod subject;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;

use figure::Figure;
use path::Path;
use report::Setting;

/// Measures paths.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The paths; all when none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Path>,
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// How long each is measured, in seconds, after a warm-up of three.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// A shop's file whose rows are sent; a generated one when none is named.
    #[arg(long)]
    file: Option<PathBuf>,
    /// The least time that the stand-in takes for an answer, in milliseconds.
    #[arg(long, default_value_t = 0)]
    delay_millis: u64,
    /// Also write the figures to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also write a page about them to this file, with plots beside it.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Be the server that does nothing but answer.
    #[arg(long, hide = true)]
    serve_floor: Option<SocketAddr>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(addr) = args.serve_floor {
        return floor::serve(addr);
    }
    cores::keep_to_the_second()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&args))
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let rows = subject::rows(args.file.as_deref())?;
    let paths = if args.only.is_empty() { Path::all() } else { args.only.clone() };
    let measure = Duration::from_secs(args.seconds);
    let mut figures = Vec::new();
    println!("{}", Figure::HEADER);
    for run in 0..args.runs {
        for path in &paths {
            let delay = Duration::from_millis(args.delay_millis);
            for system in path.systems() {
                let figure = path.measure(*system, &rows, measure, delay).await?;
                let figure = Figure { run, ..figure };
                println!("{figure}");
                figures.push(figure);
            }
        }
    }
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&figures)?)?;
    }
    if let Some(page) = &args.report {
        report::write(page, &setting(args)?, &figures)?;
    }
    Ok(())
}

fn setting(args: &Args) -> anyhow::Result<Setting> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").context("the system does not tell its processors")?;
    let models = cpus.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let models: Vec<_> = models.map(|(_, model)| model.trim()).collect();
    let kernel =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").context("the system does not tell its kernel")?;
    let Args { runs, seconds, delay_millis, .. } = args;
    let of = if args.file.is_some() { "a shop's file" } else { "a generated shop file" };
    Ok(Setting {
        machine: format!("{} × {}, Linux {}", models.len(), models.first().unwrap_or(&"unknown"), kernel.trim()),
        command: ["cargo xtask bench -- paths".to_owned()]
            .into_iter()
            .chain(std::env::args().skip(1))
            .collect::<Vec<_>>()
            .join(" "),
        rows: format!(
            "Rows of {of}, about 200 bytes as JSON; {runs} runs of {seconds} s each; the stand-in takes {delay_millis} ms for an answer"
        ),
    })
}
