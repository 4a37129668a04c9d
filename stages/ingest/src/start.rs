//! Starting the stage from its configuration.

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, Shared};
use http::HeaderValue;
use penstock_api::plan::{HttpStage, PipelineRef};
use penstock_process::cell::ColumnTypes;
use penstock_process::{RowSchema, SchemaError, Template, TemplateError};
use penstock_runtime::http::{ApiKeys, ConnectionLimits, listen, serve};
use penstock_runtime::{Health, Stop};
use tokio::sync::Semaphore;

use crate::body::BodyLimits;
use crate::budget::Budget;
use crate::check::RowRules;
use crate::put::{QueueRoom, Writer};
use crate::service::{Description, Service, X_ID_FIELD, X_PARTITION_KEY};
use crate::telemetry::Telemetry;

/// How long requests in flight may take once the stage is asked to end. A row may wait for the stream as long.
const DRAIN_LIMIT: Duration = Duration::from_secs(45);

/// What the stage needs beside its configuration.
#[derive(Debug)]
pub struct IngestContext {
    /// Whose stage it is; for metrics.
    pub pipeline: PipelineRef,
    /// The source's name; for metrics.
    pub name: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The keys that may post, when the configuration names a Secret. May be replaced while the stage runs.
    pub api_keys: ApiKeys,
    /// The way to the stream. Its retries are not used: the stage repeats what failed by itself.
    pub kinesis: aws_sdk_kinesis::Client,
    /// How the stage is asked to end.
    pub stop: Stop,
    /// Where the stage says how it is: the concerns `listener` and `stream`.
    pub health: Health,
}

/// Why the stage did not start.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The schema of the rows cannot be used.
    #[error("the schema of the source cannot be used")]
    Schema(#[source] SchemaError),
    /// The template of the partition key cannot be used.
    #[error("the partition key {template:?} of the source cannot be used")]
    PartitionKey {
        /// The template.
        template: String,
        /// What is wrong with it.
        #[source]
        source: TemplateError,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: is another server running there? Choose another port")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl IngestError {
    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Schema(_) => "schema",
            Self::PartitionKey { .. } => "partition_key",
            Self::Listen { .. } => "listen",
        }
    }
}

/// The stage's work ended in a panic, which is a defect.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the source ended in a panic: please report it")]
pub struct Panicked;

/// A stage that serves. It goes on when this is dropped; [`Stop::drain`] ends it.
#[derive(Debug, Clone)]
pub struct Running {
    local_addr: SocketAddr,
    finished: Shared<BoxFuture<'static, Result<(), Panicked>>>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until it has ended: asked to, with every request in flight answered.
    ///
    /// # Errors
    /// When it ended in a panic.
    pub async fn finished(&self) -> Result<(), Panicked> {
        self.finished.clone().await
    }
}

/// The HTTP source.
#[derive(Debug, Clone, Copy)]
pub struct Ingest;

impl Ingest {
    /// Compiles what the configuration holds, listens, and serves in tasks of its own.
    ///
    /// It serves when this returns, also while the stream cannot be reached yet: rows wait for it then.
    ///
    /// # Errors
    /// When the schema or the key's template is not valid, or the address cannot be listened on.
    pub fn start(stage: HttpStage, context: IngestContext) -> BoxFuture<'static, Result<Running, IngestError>> {
        // Boxed: the body of an `async fn` would be compiled again by every crate that awaits it.
        Self::begin(stage, context).boxed()
    }

    async fn begin(stage: HttpStage, context: IngestContext) -> Result<Running, IngestError> {
        let rules = rules(&stage)?;
        let (listener, local_addr) =
            listen(context.listen).await.map_err(|source| IngestError::Listen { addr: context.listen, source })?;
        let telemetry = Telemetry::new(&context.pipeline, &context.name);
        let room = QueueRoom { max_queued_bytes: stage.max_queued_bytes, max_row_bytes: stage.max_row_bytes };
        let (writer, queue) = Writer::new(
            &context.kinesis,
            &stage.stream,
            stage.aggregation,
            room,
            context.health.clone(),
            telemetry.clone(),
        );
        let patience = Duration::from_millis(stage.body_timeout_millis);
        let limits = ConnectionLimits { max_connections: stage.max_connections as usize, patience, drain: DRAIN_LIMIT };
        let service = Arc::new(Service {
            schema_path: format!("{}/schema", stage.path),
            description: description(&stage),
            keys: stage.api_keys_secret.is_some().then_some(context.api_keys),
            rules: Arc::new(rules),
            columns: Arc::new(stage.schema.as_ref().map(ColumnTypes::of).unwrap_or_default()),
            limits: BodyLimits { max_bytes: stage.max_body_bytes, time: patience },
            max_decompressed_bytes: stage.max_decompressed_bytes,
            bodies: Budget::new(memory_for_bodies(&stage)),
            processors: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get))),
            queue,
            telemetry,
            path: stage.path,
        });
        tracing::info!(addr = %local_addr, path = %service.path, stream = %stage.stream, "the source takes rows");
        let writing = tokio::spawn(writer.run());
        let watch = service.telemetry.clone();
        let respond = move |request| {
            let service = service.clone();
            // Boxed: a connection waits for its next request most of the time, and is small meanwhile.
            async move { Box::pin(service.respond(request)).await }
        };
        let serving = tokio::spawn(serve(listener, limits, watch, respond, context.stop.drain, context.health));
        let finished = async move {
            // The writer ends when the last connection has given up its way to the queue.
            let served = serving.await;
            let written = writing.await;
            served.and(written).map_err(|_| Panicked)
        };
        Ok(Running { local_addr, finished: finished.boxed().shared() })
    }
}

/// One body of the largest size must fit, compressed, decompressed and with its rows rewritten.
fn memory_for_bodies(stage: &HttpStage) -> u64 {
    let one = stage.max_body_bytes.saturating_add(stage.max_decompressed_bytes.saturating_mul(2));
    one.max(stage.max_queued_bytes)
}

fn rules(stage: &HttpStage) -> Result<RowRules, IngestError> {
    let schema = stage.schema.as_ref().map(RowSchema::compile).transpose().map_err(IngestError::Schema)?;
    let partition_key = Template::parse_for_rows(&stage.partition_key)
        .map_err(|source| IngestError::PartitionKey { template: stage.partition_key.clone(), source })?;
    Ok(RowRules {
        schema,
        partition_key,
        id_field: stage.id_field.clone(),
        max_row_bytes: usize::try_from(stage.max_row_bytes).unwrap_or(usize::MAX),
        max_rows: stage.max_rows as usize,
    })
}

fn description(stage: &HttpStage) -> Description {
    let told = [(X_PARTITION_KEY, Some(&stage.partition_key)), (X_ID_FIELD, stage.id_field.as_ref())];
    // Names that are not ASCII go as UTF-8. What no header can carry is left out; clients then do without.
    let header = |text: &String| HeaderValue::from_bytes(text.as_bytes()).ok();
    let headers = told.into_iter().filter_map(|(name, text)| Some((name, header(text?)?)));
    Description {
        // A JSON object read from JSON is JSON.
        schema: stage.schema.as_ref().map(|schema| Bytes::from(serde_json::to_vec(schema).unwrap_or_default())),
        headers: headers.collect(),
    }
}
