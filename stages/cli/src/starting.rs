//! Starts one stage from its configuration: the same way in a pod and in `penstock run`.

use std::net::SocketAddr;

use anyhow::Context;
use penstock_api::plan::{ApiStage, HttpStage, SinkStage, SinkTarget, StageConfig};
use penstock_consumer::{Clients, ConsumerConfig, Summary, WorkerId};
use penstock_contract::Sink;
use penstock_dynamodb::DynamoDbSink;
use penstock_ingest::{Ingest, IngestContext, Running};
use penstock_query::{Api, ApiContext};
use penstock_raw_storage::{MemoryBudget, RawStorageSink};
use penstock_runtime::http::{ApiKey, ApiKeys};
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
    /// No other process reads for the Pipeline's sinks: a consumer that this one registers goes when it ends.
    pub is_alone: bool,
}

/// The clients of all three services.
pub(crate) fn clients(aws: &Aws) -> penstock_provision::Clients {
    let s3 = aws_sdk_s3::config::Builder::from(&aws.config).force_path_style(aws.path_style).build();
    penstock_provision::Clients {
        kinesis: aws_sdk_kinesis::Client::new(&aws.config),
        dynamodb: aws_sdk_dynamodb::Client::new(&aws.config),
        s3: aws_sdk_s3::Client::from_conf(s3),
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
        api_keys: api_keys(keys),
        kinesis: clients(&around.aws).kinesis,
        stop: around.stop.clone(),
        health: around.health.clone(),
    };
    Ingest::start(stage.clone(), context).await.with_context(|| format!("the source {:?} did not start", config.name))
}

/// Starts an API; it answers when this returns.
pub(crate) async fn api(
    config: &StageConfig,
    stage: &ApiStage,
    listen: SocketAddr,
    keys: Vec<NamedKey>,
    around: &Surroundings,
) -> anyhow::Result<penstock_query::Running> {
    let context = ApiContext {
        pipeline: config.pipeline.clone(),
        name: config.name.clone(),
        listen,
        api_keys: api_keys(keys),
        dynamodb: clients(&around.aws).dynamodb,
        stop: around.stop.clone(),
        health: around.health.clone(),
    };
    Api::start(stage.clone(), context).await.with_context(|| format!("the api {:?} did not start", config.name))
}

fn api_keys(keys: Vec<NamedKey>) -> ApiKeys {
    keys.into_iter().map(|named| ApiKey::new(named.name, &named.key)).collect()
}

/// Runs a sink until it is asked to end.
pub(crate) async fn sink(
    config: &StageConfig,
    stage: &SinkStage,
    worker_id: &str,
    around: &Surroundings,
) -> anyhow::Result<Summary> {
    let cannot = || format!("the sink {:?} did not start", config.name);
    let clients = clients(&around.aws);
    match &stage.target {
        SinkTarget::S3(_) => {
            let memory = MemoryBudget::default();
            let sink = RawStorageSink::new(&config.pipeline, &config.name, stage, clients.s3.clone(), memory)
                .with_context(cannot)?;
            consume(config, stage, worker_id, around, clients, sink).await
        }
        SinkTarget::DynamoDb(_) => {
            let sink = DynamoDbSink::new(stage, clients.dynamodb.clone()).with_context(cannot)?;
            let sink = sink.labelled(&config.pipeline, &config.name);
            consume(config, stage, worker_id, around, clients, sink).await
        }
    }
}

async fn consume<S: Sink>(
    config: &StageConfig,
    stage: &SinkStage,
    worker_id: &str,
    around: &Surroundings,
    clients: penstock_provision::Clients,
    sink: S,
) -> anyhow::Result<Summary> {
    let mut consumer = ConsumerConfig::new(config, stage, WorkerId::new(worker_id));
    if let Some(fan_out) = &mut consumer.fan_out {
        fan_out.deregister = around.is_alone;
    }
    let clients = Clients { kinesis: clients.kinesis, dynamodb: clients.dynamodb, s3: clients.s3 };
    Box::pin(penstock_consumer::run(consumer, clients, sink, around.stop.clone(), around.health.clone()))
        .await
        .with_context(|| format!("the sink {:?} ended", config.name))
}
