//! How a Pipeline that runs somewhere is, asked of its lease tables and its stages.

mod metrics;
mod state;
mod table;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use penstock_api::Plan;
use penstock_api::plan::{SinkStage, StageConfig, StageKind};
use penstock_consumer::read_lease_table;

use super::{Args, EXIT_UNKNOWN, Output, PAUSE};
use crate::running::Running;
use crate::{starting, validate};

use metrics::Samples;
use state::{Known, SinkState, State};

/// Shows the state of the Pipeline in the file: again and again on a terminal, once elsewhere.
pub(super) async fn run(file: &Path, args: &Args) -> anyhow::Result<ExitCode> {
    let Some((_, plan)) = validate::plan_of(file)? else { return Ok(ExitCode::from(EXIT_UNKNOWN)) };
    let on_terminal = std::io::stdout().is_terminal() && args.output == Output::Text;
    let mut asking = match Asking::new(args, &plan).await {
        Ok(asking) => asking,
        Err(error) => return Ok(unknown(&error)),
    };
    loop {
        let state = match asking.ask(&plan).await {
            Ok(state) => state,
            Err(error) => return Ok(unknown(&error)),
        };
        let text = match (args.output, args.watch) {
            (Output::Json, true) => serde_json::to_string(&state)? + "\n",
            (Output::Json, false) => serde_json::to_string_pretty(&state)? + "\n",
            (Output::Text, _) if on_terminal => format!("\x1b[2J\x1b[H{}", table::of(&state)),
            (Output::Text, _) => table::of(&state),
        };
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Whoever read it has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            other => other.context("the status could not be printed")?,
        }
        drop(out);
        if !args.watch && !on_terminal {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn unknown(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(EXIT_UNKNOWN)
}

/// Whom to ask, and what was seen of heartbeats until now.
struct Asking {
    dynamodb: aws_sdk_dynamodb::Client,
    stages: Vec<String>,
    heartbeats: BTreeMap<(String, String), (u64, Instant)>,
}

impl Asking {
    async fn new(args: &Args, plan: &Plan) -> anyhow::Result<Self> {
        let dynamodb = starting::clients(&args.place.way_to_aws(plan).await?).dynamodb;
        let stages = if args.metrics.is_empty() {
            // All stages of a `penstock run` are one process, and each address shows the numbers of all of them.
            let elsewhere = args.place.aws || args.place.engines.is_some();
            let running = if elsewhere { None } else { Running::of_folder(args.place.data_dir())? };
            running.and_then(|running| running.admin.into_values().next()).into_iter().collect()
        } else {
            args.metrics.clone()
        };
        Ok(Self { dynamodb, stages, heartbeats: BTreeMap::new() })
    }

    async fn ask(&mut self, plan: &Plan) -> anyhow::Result<State> {
        let mut state = State::default();
        let samples = self.samples(&mut state.missing);
        for config in &plan.stages {
            state.pipeline = format!("{}/{}", config.pipeline.namespace, config.pipeline.name);
            if let StageKind::Sink(sink) = &config.kind {
                state.sinks.push(self.sink(config, sink, samples.as_ref()).await?);
            }
        }
        Ok(state)
    }

    fn samples(&self, missing: &mut Vec<String>) -> Option<Samples> {
        let mut samples = None;
        for stage in &self.stages {
            if let Err(error) = samples.get_or_insert_with(Samples::default).ask(stage) {
                missing.push(format!("{error:#}"));
            }
        }
        if self.stages.is_empty() {
            missing.push(
                "what the stages say of themselves: name their addresses with --metrics, such as http://127.0.0.1:9090 \
                 after `kubectl port-forward`"
                    .to_owned(),
            );
        }
        samples
    }

    async fn sink(
        &mut self,
        config: &StageConfig,
        sink: &SinkStage,
        samples: Option<&Samples>,
    ) -> anyhow::Result<SinkState> {
        let name = &sink.lease_table;
        let table = read_lease_table(&self.dynamodb, name)
            .await
            .with_context(|| format!("the lease table {name} of the sink {:?} cannot be read", config.name))?;
        let now = Instant::now();
        let mut still = BTreeMap::new();
        for worker in &table.workers {
            let seen = self.heartbeats.entry((name.clone(), worker.id.clone())).or_insert((worker.heartbeat, now));
            if seen.0 != worker.heartbeat {
                *seen = (worker.heartbeat, now);
            }
            // After the first look nothing is known yet.
            let stood = now.duration_since(seen.1);
            if stood > Duration::ZERO {
                still.insert(worker.id.clone(), stood.as_secs_f64());
            }
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(SinkState::new(config, name, &table, &Known { samples, still: &still, now: since_epoch.as_secs_f64() }))
    }
}
