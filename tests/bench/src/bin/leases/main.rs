//! What leases cost and how quickly they change hands: `cargo xtask leases -- --help`.
//!
//! Workers are processes of their own, so that they can be killed; the engines run in this one, which counts the calls
//! that they get. The sink does nothing: what is measured is the consumer.
#![allow(clippy::print_stdout, reason = "what was asked for")]

mod handover;
mod idle;
mod worker;
mod world;

use clap::{Parser, Subcommand};

/// As the stages have it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures leases.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kills workers (or tells them to end) and measures until all their leases are with others.
    Takeover(handover::Args),
    /// Counts calls and CPU time of workers that have nothing to do.
    Idle(idle::Args),
    /// One worker, as the other commands start it.
    #[command(hide = true)]
    Worker(worker::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Takeover(args) => handover::run(args).await,
        Command::Idle(args) => idle::run(args).await,
        Command::Worker(args) => worker::run(args).await,
    }
}
