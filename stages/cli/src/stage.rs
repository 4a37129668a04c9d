//! `penstock stage`: one stage, from the file that the operator renders.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use penstock_api::plan::{StageConfig, StageKind};
use penstock_runtime::{Aws, Health, Metrics, Stop, label_logs, serve_admin};

use crate::run::secrets::{self, NamedKey};
use crate::signals;
use crate::starting::{self, Surroundings};

/// Runs one stage until SIGTERM, which it drains on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The stage's configuration: one element of `stages` in what `penstock render` prints, as YAML or JSON.
    #[arg(long)]
    config: PathBuf,
    /// The address of an HTTP source or an API.
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The address of `/livez`, `/readyz` and `/metrics`.
    #[arg(long, default_value = "0.0.0.0:9090")]
    admin: SocketAddr,
    /// The folder with a folder for each Secret, which holds a file for each key.
    #[arg(long, default_value = "/etc/penstock/secrets")]
    secrets_dir: PathBuf,
    /// This worker's name among those of the same sink, such as the pod's. Default: the machine's host name.
    #[arg(long, env = "POD_NAME")]
    worker_id: Option<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = read(&args.config)?;
    let (whose, stage) = (&config.pipeline, config.name.as_str());
    label_logs([("namespace", whose.namespace.as_str()), ("pipeline", whose.name.as_str()), ("stage", stage)]);
    let stop = Stop::new();
    signals::drain_on_signals(&stop).context("signals cannot be caught")?;
    let health = Health::new();
    let metrics = Metrics::install()?;
    // The admin port outlives the drain, so that the last seconds can be seen as well.
    serve_admin(args.admin, health.clone(), metrics, tokio_util::sync::CancellationToken::new()).await?;
    let around = Surroundings { aws: Aws::load(&config.aws).await, stop, health, is_alone: false };
    match &config.kind {
        StageKind::Http(stage) => {
            let keys = keys(&args.secrets_dir, stage.api_keys_secret.as_deref())?;
            starting::http(&config, stage, args.listen, keys, &around).await?.finished().await?;
        }
        StageKind::Sink(stage) => {
            let worker_id = args.worker_id.map_or_else(host_name, Ok)?;
            starting::sink(&config, stage, &worker_id, &around).await?;
        }
        StageKind::Api(stage) => {
            let keys = keys(&args.secrets_dir, stage.api_keys_secret.as_deref())?;
            starting::api(&config, stage, args.listen, keys, &around).await?.finished().await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn keys(folder: &Path, secret: Option<&str>) -> anyhow::Result<Vec<NamedKey>> {
    Ok(secret.map_or(Ok(Vec::new()), |secret| secrets::read(&folder.join(secret)))?)
}

fn read(path: &PathBuf) -> anyhow::Result<StageConfig> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("{} is not the configuration of a stage", path.display()))
}

fn host_name() -> anyhow::Result<String> {
    let name =
        fs::read_to_string("/proc/sys/kernel/hostname").context("the host's name cannot be read: give --worker-id")?;
    Ok(name.trim().to_owned())
}
