//! The stages of a Pipeline, started side by side in one process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use penstock_api::plan::{ApiStage, HttpStage, Plan, StageConfig, StageKind};
use penstock_consumer::Summary;
use penstock_ingest::Running;
use penstock_runtime::{Aws, Health, Metrics, Stop, serve_admin};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::endpoints::{ApiEndpoint, SourceEndpoint, base_url};
use super::{Args, secrets};
use crate::starting::{self, Surroundings};

/// The one worker of each sink in this process. Its name stays the same from run to run: the data folder
/// has one user at a time, so a restart finds its own leases and need not wait for them to expire.
const WORKER: &str = "local";

/// The running stages.
pub(super) struct Stages {
    sources: Vec<(SourceEndpoint, Running)>,
    sinks: JoinSet<(String, anyhow::Result<Summary>)>,
    apis: Vec<(ApiEndpoint, penstock_query::Running)>,
    admin: Vec<(String, SocketAddr)>,
    sources_stop: Stop,
    apis_stop: Stop,
    stop: Stop,
    admin_stop: CancellationToken,
}

impl Stages {
    /// Provisions what the plan needs, then starts sinks before sources, so that nothing waits unread.
    pub(super) async fn start(
        args: &Args,
        plan: &Plan,
        aws: &Aws,
        stop: &Stop,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let options = penstock_provision::Options { create_buckets: !args.aws, ..Default::default() };
        penstock_provision::provision(&plan.resources, &starting::clients(aws), &options)
            .await
            .context("the streams, tables and buckets of the Pipeline are not there")?;
        let mut stages = Self {
            sources: Vec::new(),
            sinks: JoinSet::new(),
            apis: Vec::new(),
            admin: Vec::new(),
            sources_stop: stop.child(),
            apis_stop: stop.child(),
            stop: stop.clone(),
            admin_stop: CancellationToken::new(),
        };
        for config in plan.stages.iter().rev() {
            let around = Surroundings {
                aws: aws.clone(),
                stop: match config.kind {
                    StageKind::Http(_) => stages.sources_stop.clone(),
                    StageKind::Sink(_) => stop.clone(),
                    StageKind::Api(_) => stages.apis_stop.clone(),
                },
                health: Health::new(),
                is_alone: true,
            };
            stages.start_one(args, plan, config, around, &metrics).await?;
        }
        stages.sources.reverse();
        stages.apis.reverse();
        stages.admin.reverse();
        Ok(stages)
    }

    async fn start_one(
        &mut self,
        args: &Args,
        plan: &Plan,
        config: &StageConfig,
        around: Surroundings,
        metrics: &Metrics,
    ) -> anyhow::Result<()> {
        let admin = SocketAddr::new(args.bind, nth_port(args.admin_port, self.admin.len())?);
        let admin = serve_admin(admin, around.health.clone(), metrics.clone(), self.admin_stop.clone()).await?;
        self.admin.push((config.name.clone(), admin));
        match &config.kind {
            StageKind::Http(stage) => self.start_source(args, config, stage, around).await,
            StageKind::Sink(stage) => {
                let (config, stage) = (config.clone(), stage.clone());
                let name = config.name.clone();
                self.sinks.spawn(async move { (name, starting::sink(&config, &stage, WORKER, &around).await) });
                Ok(())
            }
            StageKind::Api(stage) => self.start_api(args, plan, config, stage, around).await,
        }
    }

    async fn start_source(
        &mut self,
        args: &Args,
        config: &StageConfig,
        stage: &HttpStage,
        around: Surroundings,
    ) -> anyhow::Result<()> {
        let listen = SocketAddr::new(args.bind, nth_port(args.http_port, self.sources.len())?);
        let Keys { keys, folder, file } = Keys::read(args, stage.api_keys_secret.as_deref())?;
        let running = starting::http(config, stage, listen, keys, &around).await?;
        let endpoint = SourceEndpoint {
            name: config.name.clone(),
            url: format!("{}{}", base_url(running.local_addr()), stage.path),
            api_keys_dir: folder,
            api_key_file: file,
        };
        self.sources.push((endpoint, running));
        Ok(())
    }

    /// APIs have the ports after those of the sources, in the order of the Pipeline; the last is started first.
    async fn start_api(
        &mut self,
        args: &Args,
        plan: &Plan,
        config: &StageConfig,
        stage: &ApiStage,
        around: Surroundings,
    ) -> anyhow::Result<()> {
        let serving = plan.stages.iter().filter(|other| !matches!(other.kind, StageKind::Sink(_)));
        let place = serving.take_while(|other| other.name != config.name).count();
        let listen = SocketAddr::new(args.bind, nth_port(args.http_port, place)?);
        let Keys { keys, file, .. } = Keys::read(args, stage.api_keys_secret.as_deref())?;
        let running = starting::api(config, stage, listen, keys, &around).await?;
        let url = base_url(running.local_addr());
        self.apis.push((ApiEndpoint { name: config.name.clone(), url, api_key_file: file }, running));
        Ok(())
    }

    /// The APIs, in the order of the Pipeline.
    pub(super) fn apis(&self) -> impl Iterator<Item = &ApiEndpoint> {
        self.apis.iter().map(|(endpoint, _)| endpoint)
    }

    /// The HTTP sources, in the order of the Pipeline.
    pub(super) fn sources(&self) -> impl Iterator<Item = &SourceEndpoint> {
        self.sources.iter().map(|(endpoint, _)| endpoint)
    }

    /// Name and admin address of each stage.
    pub(super) fn admin(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.admin.iter().map(|(name, addr)| (name.as_str(), *addr))
    }

    /// The HTTP source of the name, or the first.
    pub(super) fn source(&self, name: Option<&str>) -> Option<&SourceEndpoint> {
        match name {
            Some(name) => self.sources().find(|source| source.name == name),
            None => self.sources().next(),
        }
    }

    /// Waits until draining is asked for or a sink ends by itself, which none should.
    pub(super) async fn disturbed(&mut self) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        tokio::select! {
            // First: sinks end when they are told to, and that is no disturbance.
            biased;
            () = stop.drain.cancelled() => Ok(()),
            ended = self.sinks.join_next(), if !self.sinks.is_empty() => {
                self.stop.drain.cancel();
                match ended {
                    Some(Ok((name, outcome))) => outcome.and_then(|_| bail!("the sink {name:?} ended by itself")),
                    _ => bail!(PANICKED),
                }
            }
        }
    }

    /// Ends the sources, with every request in flight answered.
    pub(super) async fn end_sources(&self) -> anyhow::Result<()> {
        self.sources_stop.drain.cancel();
        for (endpoint, running) in &self.sources {
            running.finished().await.with_context(|| format!("the source {:?} ended", endpoint.name))?;
        }
        Ok(())
    }

    /// Ends the sources, then lets the sinks go on until everything in the streams is stored.
    pub(super) async fn drain_to_the_tip(&self) -> anyhow::Result<()> {
        self.end_sources().await?;
        self.stop.at_tip.cancel();
        Ok(())
    }

    /// Waits for all stages to end; gives what each sink counted.
    pub(super) async fn finished(mut self) -> anyhow::Result<BTreeMap<String, Summary>> {
        let mut counted = BTreeMap::new();
        let mut failed = None;
        while let Some(ended) = self.sinks.join_next().await {
            match ended {
                Ok((name, Ok(summary))) => {
                    counted.insert(name, summary);
                }
                Ok((_, Err(error))) => failed = Some(error),
                Err(_) => failed = Some(anyhow!(PANICKED)),
            }
            if failed.is_some() {
                // The others end too, but in order: what they hold is committed first.
                self.stop.drain.cancel();
            }
        }
        self.end_sources().await?;
        self.apis_stop.drain.cancel();
        for (endpoint, running) in &self.apis {
            running.finished().await.with_context(|| format!("the api {:?} ended", endpoint.name))?;
        }
        self.admin_stop.cancel();
        failed.map_or(Ok(counted), Err)
    }
}

/// The API keys of a stage, and where they are kept.
struct Keys {
    keys: Vec<secrets::NamedKey>,
    folder: Option<String>,
    /// The file of the first key.
    file: Option<String>,
}

impl Keys {
    fn read(args: &Args, secret: Option<&str>) -> anyhow::Result<Self> {
        let folder: Option<PathBuf> = secret.map(|secret| args.data_dir.join("secrets").join(secret));
        let keys = folder.as_deref().map_or(Ok(Vec::new()), secrets::read_or_create)?;
        let file = folder.as_ref().zip(keys.first()).map(|(folder, key)| folder.join(&key.name));
        let shown = |path: PathBuf| path.display().to_string();
        Ok(Self { keys, folder: folder.map(shown), file: file.map(shown) })
    }
}

const PANICKED: &str = "a sink ended in a panic: please report it";

fn nth_port(first: u16, index: usize) -> anyhow::Result<u16> {
    if first == 0 {
        return Ok(0);
    }
    u16::try_from(index)
        .ok()
        .and_then(|index| first.checked_add(index))
        .context("there are not enough ports above the first")
}
