//! One run, from the empty folder to the verdict.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use penstock_conformance::{LocalAws, LocalAwsOptions, free_ports};
use penstock_runtime::Aws;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::events::{Event, Events};
use super::reshard::reshard;
use super::workers::Process;
use crate::proxy::{Counts, Gate, Schedule};
use crate::stage::{StageOptions, rendered};
use crate::{Client, Server, ServerOptions, Source, Verdict, audit, root, sample, verify};

const REGION: &str = "eu-west-1";
/// The source's stage in the example.
const SOURCE: &str = "orders";
/// How long a whole run may take.
const DEADLINE: Duration = Duration::from_secs(900);
/// How long the faults go on when everything is sent, so that the last rows meet some as well.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// How hard a run is.
#[derive(Debug, Clone)]
pub struct ChaosOptions {
    /// The `penstock` command.
    pub penstock: PathBuf,
    /// The file to send; a generated one when absent.
    pub file: Option<PathBuf>,
    /// Rows of the generated file.
    pub rows: u64,
    /// Rows a second; 0 for as fast as it goes.
    pub rate: u32,
    /// Workers of each sink.
    pub workers: usize,
    /// The longest that a request hangs or a worker is frozen.
    pub patience: Duration,
    /// Whether the source puts rows together.
    pub aggregated: bool,
}

/// What a run did, and what it came to.
#[derive(Debug)]
pub struct Outcome {
    /// What boto3 found.
    pub verdict: Verdict,
    /// Faults by name; the empty name counts requests.
    pub faults: Counts,
    /// Workers that were killed.
    pub kills: u32,
    /// Times that the source was killed.
    pub source_kills: u32,
    /// How often the client was started: at the beginning, after each kill, and when it gave up.
    pub client_starts: u32,
    /// Workers that were frozen.
    pub freezes: u32,
    /// Reshards that the stream took.
    pub reshards: u32,
    /// From the first process to the last one's end.
    pub seconds: f64,
    /// Where everything is that a run left whose stores differ from the file.
    pub left: Option<PathBuf>,
}

/// Does one run. What is left of one that fails stays in its folder, which the error names.
///
/// # Errors
/// When a process does not do what it must, apart from what the verdict says of the stores.
pub fn run(options: &ChaosOptions, seed: u64) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let mut outcome = World::new(options, seed, folder.path()).and_then(World::run);
    if outcome.as_ref().is_ok_and(|outcome| outcome.verdict.problems.is_empty()) {
        return outcome;
    }
    let kept = folder.keep();
    if let Ok(outcome) = &mut outcome {
        outcome.left = Some(kept.clone());
    }
    outcome.with_context(|| format!("what was left is in {}", kept.display()))
}

struct World {
    seed: u64,
    options: ChaosOptions,
    file: PathBuf,
    server: ServerOptions,
    runtime: Runtime,
    engines: LocalAws,
    kinesis: aws_sdk_kinesis::Client,
    stream: String,
    source: Process,
    sinks: Vec<Process>,
    gate: Gate,
    entrance: Source,
    journal: PathBuf,
    began: Instant,
    kills: u32,
    source_kills: u32,
    client_starts: u32,
    freezes: u32,
    reshards: u32,
}

impl World {
    fn new(options: &ChaosOptions, seed: u64, folder: &Path) -> anyhow::Result<Self> {
        let pipeline = pipeline(folder, options.aggregated)?;
        let file = match &options.file {
            Some(file) => file.clone(),
            None => {
                let file = folder.join("shop.csv");
                sample(&options.penstock, options.rows, seed, &file)?;
                file
            }
        };
        let server = ServerOptions::new(&options.penstock, &pipeline, &folder.join("data"))?;
        // Makes stream, tables, bucket and key.
        drained(&server)?;
        let engines = LocalAws::start(&LocalAwsOptions::new(&folder.join("data/engines")))?;
        let runtime = Runtime::new()?;
        let kinesis = runtime
            .block_on(async { aws_sdk_kinesis::Client::new(&Aws::local(REGION, engines.endpoint()).await.config) });
        let began = Instant::now();
        let port = free_ports(1)?;
        let start = |config: &Value, worker: String| {
            let schedule = Schedule::new(seed, &worker, options.patience);
            let options = StageOptions {
                penstock: options.penstock.clone(),
                config: config.clone(),
                endpoint: engines.endpoint().to_owned(),
                worker,
                listen: format!("127.0.0.1:{port}"),
                secrets: folder.join("data/secrets"),
                folder: folder.to_owned(),
            };
            Process::start(runtime.handle(), options, schedule)
        };
        let (mut source, mut sinks, mut stream) = (None, Vec::new(), None);
        for config in rendered(&options.penstock, &pipeline)? {
            let name = config["name"].as_str().context("a stage without a name")?;
            if name == SOURCE {
                stream = config["http"]["stream"].as_str().map(str::to_owned);
                source = Some(start(&config, name.to_owned())?);
            } else if config["sink"].is_object() {
                // Nobody asks the example's api here.
                for worker in 0..options.workers {
                    sinks.push(start(&config, format!("{name}-{worker}"))?);
                }
            }
        }
        let inside = format!("http://127.0.0.1:{port}");
        let schedule = Schedule::new(seed, "client", options.patience);
        let gate = runtime.block_on(Gate::to_source(&inside, schedule))?;
        let entrance = Source {
            url: format!("{}/orders", gate.endpoint()),
            api_key_file: Some(only_file(&folder.join("data/secrets/ecommerce-keys"))?),
        };
        Ok(Self {
            seed,
            options: options.clone(),
            file,
            server,
            runtime,
            engines,
            kinesis,
            stream: stream.context("the source has no stream")?,
            source: source.context("the Pipeline has no source")?,
            sinks,
            gate,
            entrance,
            journal: folder.join("journal"),
            began,
            kills: 0,
            source_kills: 0,
            client_starts: 0,
            freezes: 0,
            reshards: 0,
        })
    }

    fn run(mut self) -> anyhow::Result<Outcome> {
        self.send_under_fire()?;
        for process in self.sinks.iter_mut().chain([&mut self.source]) {
            process.ask_to_drain()?;
        }
        for process in self.sinks.iter_mut().chain([&mut self.source]) {
            process.drained()?;
        }
        let mut faults = self.gate.counts();
        for counts in self.sinks.iter().chain([&self.source]).map(Process::counts) {
            counts.into_iter().for_each(|(name, count)| *faults.entry(name).or_default() += count);
        }
        self.engines.kill()?;
        drained(&self.server)?;
        let seconds = self.began.elapsed().as_secs_f64();
        let server = Server::start(&self.server)?;
        let mut verdict = verify(&server.ready, &self.file, true)?;
        verdict.problems.extend(audit(&self.server, &server.ready)?);
        Ok(Outcome {
            verdict,
            faults,
            kills: self.kills,
            source_kills: self.source_kills,
            client_starts: self.client_starts,
            freezes: self.freezes,
            reshards: self.reshards,
            seconds,
            left: None,
        })
    }

    fn send_under_fire(&mut self) -> anyhow::Result<()> {
        let mut client = Some(self.start_client()?);
        let mut sent = None;
        for (pause, event) in Events::new(self.seed, self.sinks.len(), self.options.patience) {
            let until = Instant::now() + pause;
            while Instant::now() < until {
                let now = Instant::now();
                for process in self.sinks.iter_mut().chain([&mut self.source]) {
                    process.look(now)?;
                }
                if let Some(running) = &mut client
                    && let Some(status) = running.ended()?
                {
                    client = match status.code() {
                        Some(0) => {
                            sent = Some(now);
                            None
                        }
                        // It could not begin, or gave up: people would start it again.
                        Some(1 | 4) => Some(self.start_client()?),
                        _ => bail!(
                            "the client ended with {status}; see {}",
                            self.journal.with_extension("log").display()
                        ),
                    };
                }
                if sent.is_some_and(|sent| now.duration_since(sent) > AFTERWARDS) {
                    return Ok(());
                }
                if self.began.elapsed() > DEADLINE {
                    bail!("the client did not end within {DEADLINE:?}");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            self.happen(event, &mut client)?;
        }
        Ok(())
    }

    fn happen(&mut self, event: Event, client: &mut Option<Client>) -> anyhow::Result<()> {
        match event {
            Event::KillWorker { worker, renamed } => {
                self.sinks[worker].kill(renamed)?;
                self.kills += 1;
            }
            Event::FreezeWorker { worker, time } => {
                self.sinks[worker].freeze(Instant::now() + time)?;
                self.freezes += 1;
            }
            Event::KillSource => {
                self.source.kill(false)?;
                self.source_kills += 1;
            }
            Event::KillClient => {
                if let Some(running) = client.take() {
                    running.kill()?;
                    *client = Some(self.start_client()?);
                }
            }
            Event::Reshard(how) => {
                let taken = self.runtime.block_on(reshard(&self.kinesis, &self.stream, how))?;
                self.reshards += u32::from(taken);
            }
        }
        Ok(())
    }

    fn start_client(&mut self) -> anyhow::Result<Client> {
        self.client_starts += 1;
        let rate = self.options.rate.to_string();
        let arguments: &[&str] = if self.options.rate == 0 { &[] } else { &["--rate", &rate] };
        Client::start(&self.options.penstock, &self.file, &self.entrance, &self.journal, arguments)
    }
}

/// The example, with objects that are closed soon: a run is to have many ranges, not one a shard.
fn pipeline(folder: &Path, aggregated: bool) -> anyhow::Result<PathBuf> {
    let example = fs::read_to_string(root().join("examples/ecommerce/pipeline.yaml"))?;
    let mut changed = example.replace("bytes: 64Mi", "bytes: 64Ki").replace("age: 5m", "age: 1s");
    if !aggregated {
        // Rows of one key would wait for each other, one call a row.
        changed = changed.replace("partitionKey: \"{InvoiceNo}\"", "aggregation: None\n      partitionKey: \"{_id}\"");
        anyhow::ensure!(changed.contains("aggregation: None"), "the example has another partition key");
    }
    anyhow::ensure!(changed.contains("bytes: 64Ki") && changed.contains("age: 1s"), "the example has another rotation");
    let file = folder.join("pipeline.yaml");
    fs::write(&file, changed)?;
    Ok(file)
}

fn only_file(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut files = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    Ok(files.next().context("there is no API key")??.path())
}

/// Lets a server run until everything in its stream is stored.
fn drained(options: &ServerOptions) -> anyhow::Result<()> {
    let log = fs::File::options().append(true).create(true).open(options.data_dir.with_extension("log"))?;
    let status = options
        .command()
        .args(["--until-drained", "--no-read-back"])
        .stdout(Stdio::null())
        .stderr(log)
        .status()
        .context("the server that was to drain cannot be started")?;
    if !status.success() {
        bail!("the server that was to drain ended with {status}");
    }
    Ok(())
}
