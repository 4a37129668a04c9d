//! `penstock-operator`: reads its flags, finds its cluster, and runs the operator until SIGTERM.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kube::{Client, Config};
use penstock_operator::{ElectionSettings, SdkClients, Settings, metrics, page, uninstall};
use penstock_runtime::{Health, LogFormat, Metrics, init_logs, serve_admin};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What is kept of thousands of children comes and goes in between what lists and answers need for a moment: the system's
/// allocator keeps the memory of the latter. `.cargo/config.toml` says how soon this one gives it back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs the stages of Pipelines on Kubernetes.
#[derive(Debug, Parser)]
#[command(version, subcommand_negates_reqs = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The image of stages whose Pipeline names none.
    #[arg(long, env = "PENSTOCK_STAGE_IMAGE", required = true)]
    stage_image: Option<String>,
    /// Give running stages a new --stage-image at once, not only when their configuration changes.
    #[arg(long, env = "PENSTOCK_ROLL_ON_UPGRADE")]
    roll_on_upgrade: bool,
    /// When a node asks the registry for the image of a stage.
    #[arg(
        long,
        env = "PENSTOCK_STAGE_PULL_POLICY",
        default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"]
    )]
    stage_pull_policy: String,
    /// A Secret, in each Pipeline's own namespace, with which the images of stages are pulled. May be given several times.
    #[arg(long, env = "PENSTOCK_STAGE_PULL_SECRET", value_delimiter = ',')]
    stage_pull_secret: Vec<String>,
    /// An environment variable of every stage, as NAME=VALUE. May be given several times.
    #[arg(long, value_parser = name_and_value)]
    stage_env: Vec<(String, String)>,
    /// The name of this cluster, for the tags of what is created in AWS. Needed where several clusters share an account.
    #[arg(long, env = "PENSTOCK_CLUSTER")]
    cluster: Option<String>,
    /// Where AWS is for Pipelines without `spec.aws.endpointURL`: only for emulators, such as `penstock local-aws`.
    #[arg(long, env = "PENSTOCK_AWS_ENDPOINT_URL")]
    aws_endpoint_url: Option<String>,
    /// The namespaces to watch. Default: all.
    #[arg(long, env = "PENSTOCK_NAMESPACES", value_delimiter = ',', global = true)]
    namespace: Vec<String>,
    /// How many Pipelines are worked on at one time.
    #[arg(long, env = "PENSTOCK_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// How often, in seconds, a Pipeline that is as it should be is looked at again, its streams, tables and Secrets included.
    #[arg(long, env = "PENSTOCK_RECHECK_SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(10..))]
    recheck_seconds: u64,
    /// The address of /livez, /readyz and /metrics.
    #[arg(long, default_value = "0.0.0.0:9090")]
    admin: SocketAddr,
    /// The address of the page that shows the Pipelines, such as 127.0.0.1:8081 for `kubectl port-forward`. Without it there is
    /// none.
    // The last one counts: the chart gives one, and `operator.extraArgs` may give another.
    #[arg(long, env = "PENSTOCK_PAGE", overrides_with = "page")]
    page: Option<SocketAddr>,
    /// The token without which nobody gets to the page. Needed where its address is not on loopback.
    #[arg(long, env = "PENSTOCK_PAGE_TOKEN", hide_env_values = true)]
    page_token: Option<String>,
    /// Run without a lease: only where there is one replica for sure.
    #[arg(long, env = "PENSTOCK_NO_ELECTION")]
    no_election: bool,
    /// The name of the lease.
    #[arg(long, env = "PENSTOCK_LEASE_NAME", default_value = "penstock-operator")]
    lease_name: String,
    /// The namespace of the lease. Default: that of the pod.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Who this is. Default: the host's name.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell whether Pipelines still need the operator, and end: 0 when none does, 1 when one does or it cannot be told.
    CheckUninstall,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    match execute(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            error.chain().skip(1).for_each(|cause| eprintln!("  because: {cause}"));
            ExitCode::FAILURE
        }
    }
}

async fn execute(args: Args) -> anyhow::Result<()> {
    init_logs(LogFormat::Json, "info,kube_client=off");
    // A second provider cannot be there this early; if it were, it would do as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    match args.command {
        Some(Command::CheckUninstall) => Ok(uninstall::check(client(config().await?)?, &args.namespace).await?),
        None => operate(args).await,
    }
}

async fn operate(args: Args) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let recorder = Metrics::install()?;
    metrics::describe();
    let health = Health::new();
    health.fine("process");
    serve_admin(args.admin, health.clone(), recorder, CancellationToken::new()).await?;
    let config = config().await?;
    let client = client(config.clone())?;
    // Another connection: a lease must not wait behind a thousand applies.
    let lease_client = self::client(config)?;
    show(&args, &client, &stop).await?;
    let settings = settings(args, &client)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), instance = settings.instance, "the operator starts");
    penstock_operator::run(client, lease_client, Arc::new(SdkClients), settings, health, stop).await;
    tracing::info!("the operator has ended");
    Ok(())
}

/// Serves the page, where it is asked for.
async fn show(args: &Args, client: &Client, stop: &CancellationToken) -> anyhow::Result<()> {
    let Some(addr) = args.page else { return Ok(()) };
    let token = args.page_token.clone();
    let addr = page::serve(client.clone(), args.namespace.clone(), addr, token, stop.clone()).await?;
    tracing::info!(%addr, "the page is served");
    Ok(())
}

async fn config() -> anyhow::Result<Config> {
    let mut config =
        Config::infer().await.context("no cluster was found: neither a kubeconfig nor a pod's ServiceAccount")?;
    config.default_retry = false;
    Ok(config)
}

fn client(config: Config) -> anyhow::Result<Client> {
    Client::try_from(config).context("the cluster's address or credentials cannot be used")
}

fn settings(args: Args, client: &Client) -> anyhow::Result<Settings> {
    let identity = args.identity.map_or_else(host_name, Ok)?;
    let namespace = args.lease_namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let election = (!args.no_election).then(|| ElectionSettings::new(namespace, args.lease_name, identity.clone()));
    Ok(Settings {
        roll_on_upgrade: args.roll_on_upgrade,
        stage_pull_policy: args.stage_pull_policy,
        stage_pull_secrets: args.stage_pull_secret,
        stage_env: args.stage_env,
        cluster: args.cluster,
        aws_endpoint_url: args.aws_endpoint_url,
        namespaces: args.namespace,
        concurrency: args.concurrency,
        recheck: Duration::from_secs(args.recheck_seconds),
        instance: identity,
        election,
        ..Settings::new(args.stage_image.context("--stage-image is missing")?)
    })
}

fn host_name() -> anyhow::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .context("the host's name cannot be read: give --identity")?;
    Ok(name.trim().to_owned())
}

/// The first SIGTERM or Ctrl-C gives the lease back and ends; everything that is cut off is done again by the next leader.
fn stop_on_signals(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be caught")?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn another_address_of_the_page_may_follow_the_charts() {
        let given = ["penstock-operator", "--stage-image=x", "--page=127.0.0.1:8081", "--page=0.0.0.0:9000"];
        assert_eq!(Args::try_parse_from(given).unwrap().page, Some(([0, 0, 0, 0], 9000).into()));
    }
}
