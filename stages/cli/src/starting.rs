//! Starts one stage from its configuration: the same way in a pod and in `penstock run`.

use std::net::SocketAddr;

use anyhow::Context;
use penstock_api::plan::{HttpStage, SinkStage, SinkTarget, StageConfig};
use penstock_consumer::{Clients, ConsumerConfig, Summary};
use penstock_contract::Sink;
use penstock_dynamodb::DynamoDbSink;
use penstock_ingest::{ApiKey, Ingest, IngestContext, Running};
use penstock_raw_storage::{MemoryBudget, RawStorageSink};
use penstock_runtime::{Aws, Health, Stop};

use crate::run::secrets::NamedKey;

/// What a stage needs beside its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// The way to AWS.
    pub aws: Aws,
    /// How the stage is asked to end.
    pub stop: Stop,
    /// Where the stage says how it is.
    pub health: Health,
}

impl Surroundings {
    fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(&self.aws.config)
    }

    fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.aws.config)
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.aws.config).force_path_style(self.aws.path_style).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The clients of all three services, for provisioning and for looking at what was stored.
    pub(crate) fn clients(&self) -> penstock_provision::Clients {
        penstock_provision::Clients { kinesis: self.kinesis(), dynamodb: self.dynamodb(), s3: self.s3() }
    }
}

/// Starts an HTTP source; it serves when this returns.
pub(crate) async fn http(
    config: &StageConfig,
    stage: &HttpStage,
    listen: SocketAddr,
    keys: Vec<NamedKey>,
    around: &Surroundings,
) -> anyhow::Result<Running> {
    let context = IngestContext {
        pipeline: config.pipeline.clone(),
        name: config.name.clone(),
        listen,
        api_keys: keys.into_iter().map(|named| ApiKey::new(named.name, &named.key)).collect(),
        kinesis: around.kinesis(),
        stop: around.stop.clone(),
        health: around.health.clone(),
    };
    Ingest::start(stage.clone(), context).await.with_context(|| format!("the source {:?} did not start", config.name))
}

/// Runs a sink until it is asked to end.
pub(crate) async fn sink(
    config: &StageConfig,
    stage: &SinkStage,
    worker_id: &str,
    around: &Surroundings,
) -> anyhow::Result<Summary> {
    let of = || format!("the sink {:?} did not start", config.name);
    match &stage.target {
        SinkTarget::S3(_) => {
            let sink = RawStorageSink::new(&config.pipeline, &config.name, stage, around.s3(), MemoryBudget::default())
                .with_context(of)?;
            consume(config, stage, worker_id, around, sink).await
        }
        SinkTarget::DynamoDb(_) => {
            let sink = DynamoDbSink::new(stage, around.dynamodb()).with_context(of)?;
            consume(config, stage, worker_id, around, sink).await
        }
    }
}

async fn consume<S: Sink>(
    config: &StageConfig,
    stage: &SinkStage,
    worker_id: &str,
    around: &Surroundings,
    sink: S,
) -> anyhow::Result<Summary> {
    let consumer = ConsumerConfig::new(config, stage, worker_id);
    let clients = Clients { kinesis: around.kinesis(), dynamodb: around.dynamodb(), s3: around.s3() };
    penstock_consumer::run(consumer, clients, sink, around.stop.clone(), around.health.clone())
        .await
        .with_context(|| format!("the sink {:?} ended", config.name))
}
