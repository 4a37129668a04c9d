//! `penstock local-aws`: the engines as a server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use penstock_embedded::{Engines, Limits, Options};
use penstock_runtime::Stop;

use crate::signals;

/// Kinesis, DynamoDB and S3 on one address, for `AWS_ENDPOINT_URL`; any credentials will do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The address to listen on. Anybody who reaches it can read and write everything.
    #[arg(long, default_value = "127.0.0.1:4566")]
    listen: SocketAddr,
    /// Where the data are kept.
    #[arg(long, default_value = ".penstock/local-aws")]
    data_dir: PathBuf,
    /// The region that names and ARNs are in.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Which of the service's limits hold. Sizes always do.
    #[arg(long, value_enum, default_value = "enforced")]
    limits: LimitsArg,
}

/// Which of the service's limits the engines enforce.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum LimitsArg {
    /// Sizes and rates: 1 MB/s and 1000 records/s into a shard, 2 MB/s and five reads a second out of it.
    Enforced,
    /// Sizes only: as fast as the machine is.
    Sizes,
}

impl From<LimitsArg> for Limits {
    fn from(limits: LimitsArg) -> Self {
        match limits {
            LimitsArg::Enforced => Self::Enforced,
            LimitsArg::Sizes => Self::SizesOnly,
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let stop = Stop::new();
    signals::drain_on_signals(&stop).context("signals cannot be caught")?;
    let options = Options {
        data_dir: args.data_dir,
        limits: args.limits.into(),
        region: args.region.clone(),
        listen: args.listen,
    };
    let engines = Engines::start(options).await.context("the engines did not start")?;
    eprintln!("Kinesis, DynamoDB and S3 answer at {}", engines.endpoint_url());
    eprintln!("  export AWS_ENDPOINT_URL={} AWS_REGION={}", engines.endpoint_url(), args.region);
    eprintln!("  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local");
    stop.drain.cancelled().await;
    engines.stop().await;
    Ok(ExitCode::SUCCESS)
}
