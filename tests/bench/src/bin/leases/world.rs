//! Engines, a stream with its lease table, and the workers on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamStatus};
use penstock_consumer::Clients;
use penstock_embedded::{Engines, Limits, Options};
use penstock_runtime::Aws;
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

const REGION: &str = "eu-west-1";
pub(crate) const BUCKET: &str = "letters";
const KEY: &str = "leaseKey";
/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the lease table is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Engines in this process, for as long as the folder is there.
pub(crate) async fn engines(folder: &tempfile::TempDir) -> anyhow::Result<Engines> {
    let options = Options {
        data_dir: PathBuf::from(folder.path()),
        limits: Limits::SizesOnly,
        region: REGION.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
    };
    let engines = Engines::start(options).await?;
    clients(&engines.endpoint_url()).await.s3.create_bucket().bucket(BUCKET).send().await?;
    Ok(engines)
}

/// The ways to the services at an endpoint.
pub(crate) async fn clients(endpoint: &str) -> Clients {
    let aws = Aws::local(REGION, endpoint).await;
    let s3 = aws_sdk_s3::config::Builder::from(&aws.config).force_path_style(true).build();
    Clients {
        kinesis: aws_sdk_kinesis::Client::new(&aws.config),
        dynamodb: aws_sdk_dynamodb::Client::new(&aws.config),
        s3: aws_sdk_s3::Client::from_conf(s3),
    }
}

/// A stream, its lease table and its workers.
pub(crate) struct World {
    pub(crate) clients: Clients,
    endpoint: String,
    name: String,
    shards: usize,
    workers: BTreeMap<String, Child>,
    started: usize,
}

impl World {
    pub(crate) async fn new(endpoint: &str, name: &str, shards: usize) -> anyhow::Result<Self> {
        let clients = clients(endpoint).await;
        clients.kinesis.create_stream().stream_name(name).shard_count(i32::try_from(shards)?).send().await?;
        let key = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash).build()?;
        let attribute = AttributeDefinition::builder().attribute_name(KEY).attribute_type(ScalarAttributeType::S);
        let table = clients.dynamodb.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        table.attribute_definitions(attribute.build()?).key_schema(key).send().await?;
        let (endpoint, name) = (endpoint.to_owned(), name.to_owned());
        let world = Self { clients, endpoint, name, shards, workers: BTreeMap::new(), started: 0 };
        let began = Instant::now();
        loop {
            let answer = world.clients.kinesis.describe_stream_summary().stream_name(&world.name).send().await?;
            let summary = answer.stream_description_summary().context("a summary without its content")?;
            if summary.stream_status() == &StreamStatus::Active {
                return Ok(world);
            }
            ensure!(began.elapsed() < PATIENCE, "the stream is not active");
            sleep(LOOK).await;
        }
    }

    /// Starts a worker with a name that no other had.
    pub(crate) fn start(&mut self, parked: bool) -> anyhow::Result<String> {
        self.started += 1;
        let id = format!("worker-{}", self.started);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", "--endpoint", &self.endpoint, "--stream", &self.name, "--id", &id]);
        if parked {
            command.arg("--parked");
        }
        let child = command.stdout(Stdio::piped()).spawn().context("starting a worker")?;
        self.workers.insert(id.clone(), child);
        Ok(id)
    }

    pub(crate) fn workers(&self) -> impl Iterator<Item = (&String, u32)> {
        self.workers.iter().map(|(id, child)| (id, child.id()))
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self, id: &str) -> anyhow::Result<()> {
        let mut child = self.workers.remove(id).context("no such worker")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Tells a worker to end, as the kubelet does, and does not wait for it.
    pub(crate) fn tell(&mut self, id: &str) -> anyhow::Result<Child> {
        let child = self.workers.remove(id).context("no such worker")?;
        let pid = Pid::from_raw(i32::try_from(child.id())?).context("a process without a number")?;
        kill_process(pid, Signal::TERM)?;
        Ok(child)
    }

    /// The owner of each lease.
    pub(crate) async fn owners(&self) -> anyhow::Result<BTreeMap<String, Option<String>>> {
        let mut pages =
            self.clients.dynamodb.scan().table_name(&self.name).consistent_read(true).into_paginator().send();
        let mut owners = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for item in page?.items() {
                let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
                if let Some(key) = text(KEY).filter(|key| key.starts_with("shardId-")) {
                    owners.insert(key, text("leaseOwner"));
                }
            }
        }
        Ok(owners)
    }

    /// Waits until every shard is with a worker that lives, and no two differ by more than one lease.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let owners = self.owners().await?;
            let mut held: BTreeMap<&str, usize> = self.workers.keys().map(|id| (id.as_str(), 0)).collect();
            for owner in owners.values().flatten() {
                if let Some(count) = held.get_mut(owner.as_str()) {
                    *count += 1;
                }
            }
            let (least, most) = (held.values().min().copied().unwrap_or(0), held.values().max().copied().unwrap_or(0));
            if held.values().sum::<usize>() == self.shards && most - least <= 1 {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("the leases of {} do not come to rest: {held:?}", self.name);
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until none of the leases that a worker holds is its own any more; says after how many seconds each went.
    pub(crate) async fn gone_from(&self, id: &str, held: usize, began: Instant) -> anyhow::Result<Vec<f64>> {
        let mut after = Vec::new();
        while after.len() < held {
            let owners = self.owners().await?;
            let now = began.elapsed();
            let with_others = owners.values().flatten().filter(|owner| *owner != id).count();
            let free = self.shards - with_others;
            after.resize(held - free.min(held), now.as_secs_f64());
            ensure!(now < PATIENCE, "leases of {id} are with nobody: {owners:?}");
            sleep(LOOK).await;
        }
        Ok(after)
    }

    pub(crate) async fn held_by(&self, id: &str) -> anyhow::Result<usize> {
        Ok(self.owners().await?.values().flatten().filter(|owner| *owner == id).count())
    }

    /// Puts records whose keys lie all over the shards.
    pub(crate) async fn put(&self, count: usize) -> anyhow::Result<()> {
        let entry = || {
            let key = format!("{:016x}", fastrand::u64(..));
            PutRecordsRequestEntry::builder().data(Blob::new(key.as_bytes())).partition_key(&key).build()
        };
        let entries = (0..count).map(|_| entry()).collect::<Result<Vec<_>, _>>()?;
        let answer =
            self.clients.kinesis.put_records().stream_name(&self.name).set_records(Some(entries)).send().await?;
        ensure!(answer.failed_record_count() == Some(0), "the engine refused records");
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in self.workers.values_mut() {
            // Ended already, or about to be.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// What a worker printed at its end: records read, and records stored. Waits beside the engines, which run on the same
/// threads: a worker cannot end without them.
pub(crate) async fn ended(child: Child) -> anyhow::Result<(u64, u64)> {
    let output = spawn_blocking(move || child.wait_with_output()).await??;
    ensure!(output.status.success(), "a worker ended with {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let (read, stored) = text.trim().split_once(' ').context("a worker says what it did")?;
    Ok((read.parse()?, stored.parse()?))
}
