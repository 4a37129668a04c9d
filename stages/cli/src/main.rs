//! `penstock`: one binary for users and for pods.
//!
//! The only crate that sees everything: it reads arguments, starts stages and engines, and prints. What
//! it prints stands here; what is done stands in the crates that it calls.

mod audit;
mod cost;
mod iam_policy;
mod lake;
mod local_aws;
mod ready;
mod render;
mod run;
mod running;
mod sample;
mod send;
mod signals;
mod stage;
mod starting;
mod status;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use penstock_runtime::{LogFormat, init_logs, raise_open_files};

/// Each row, request and record is a small allocation, freed on another thread than it was made on. The system's
/// allocator takes longer for that, and keeps more; `.cargo/config.toml` says how soon this one gives memory back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Streaming data pipelines: HTTP in, Kinesis between, S3 and DynamoDB out, each record once.
#[derive(Debug, Parser)]
#[command(name = "penstock", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How log lines look; they go to standard error. `PENSTOCK_LOG` chooses what is logged.
    #[arg(long, global = true, value_enum, default_value = "text", env = "PENSTOCK_LOG_FORMAT")]
    logs: Logs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Logs {
    /// For people.
    Text,
    /// A JSON document a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole Pipeline in this process, on engines of its own or on AWS.
    Run(Box<run::Args>),
    /// Send the rows of a CSV file to an HTTP source.
    Send(Box<send::Args>),
    /// Check Pipelines, without a cluster.
    Validate(validate::Args),
    /// Show the stages that follow from a Pipeline, each with its full configuration.
    Render(render::Args),
    /// Print the least IAM policies that the operator and the stages of Pipelines need.
    IamPolicy(iam_policy::Args),
    /// Estimate what a Pipeline costs in a month, beside what people would run instead.
    Cost(Box<cost::Args>),
    /// Show how Pipelines in a cluster are, and what to do about those that are not ready.
    Status(status::Args),
    /// Check that what a Pipeline stored is what came in, each record once.
    Audit(audit::Args),
    /// Serve Kinesis, DynamoDB and S3 on this machine.
    LocalAws(local_aws::Args),
    /// Write shop data of any size, and the totals that must come out of it.
    Sample(sample::Args),
    /// Run one stage from its configuration file: what pods do.
    Stage(stage::Args),
    /// Wait until the operator or a stage says that it is ready.
    Ready(ready::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = match cli.logs {
        Logs::Text => LogFormat::Text,
        Logs::Json => LogFormat::Json,
    };
    init_logs(format, "warn,penstock=info");
    raise_open_files();
    match execute(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::from(1)
        }
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Validate(args) => validate::run(args),
        Command::Render(args) => render::run(args),
        Command::IamPolicy(args) => iam_policy::run(&args),
        Command::Cost(args) => cost::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Sample(args) => sample::run(args),
        Command::Ready(args) => ready::run(&args),
        Command::Audit(args) => runtime()?.block_on(audit::run(args)),
        Command::Run(args) => runtime()?.block_on(run::run(*args)),
        Command::Send(args) => runtime()?.block_on(send::run(*args)),
        Command::LocalAws(args) => runtime()?.block_on(local_aws::run(args)),
        Command::Stage(args) => runtime()?.block_on(stage::run(args)),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("penstock").build()
}
