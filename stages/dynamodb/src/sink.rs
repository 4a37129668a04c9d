//! The sink as the consumer sees it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use penstock_api::plan::{PipelineRef, SinkStage};
use penstock_contract::{Applied, Batch, Position, Pushed, Range, Recipe, Record, ShardId, Sink, SinkError};
use tokio::sync::Semaphore;

use crate::apply::{self, MAX_CALLS, Progress, Service};
use crate::batch::Writes;
use crate::config::{Config, ConfigError};
use crate::metrics::{Labels, Meters};

/// A range is closed at this age, so that a record can be read from its table within a second.
pub const MAX_AGE: Duration = Duration::from_millis(500);

/// A sink that writes items.
#[derive(Clone)]
pub struct DynamoDbSink {
    config: Arc<Config>,
    client: Client,
    slots: Arc<Semaphore>,
    /// Who counts; `None` until it is told, and nothing is counted then.
    labels: Option<Labels>,
    meters: Arc<[Meters]>,
}

impl fmt::Debug for DynamoDbSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbSink").field("config", &self.config).finish_non_exhaustive()
    }
}

impl DynamoDbSink {
    /// Compiles the stage's configuration. Does no I/O.
    ///
    /// # Errors
    /// When the configuration would not have passed validation.
    pub fn new(stage: &SinkStage, client: Client) -> Result<Self, ConfigError> {
        let config = Arc::new(Config::new(stage)?);
        let meters = meters(&config, None);
        Ok(Self { config, client, slots: Arc::new(Semaphore::new(MAX_CALLS)), labels: None, meters })
    }

    /// The same sink, counting under the names of its Pipeline and stage.
    #[must_use]
    pub fn labelled(mut self, pipeline: &PipelineRef, sink: &str) -> Self {
        let pipeline = format!("{}/{}", pipeline.namespace, pipeline.name);
        self.labels = Some(Labels { pipeline, sink: sink.to_owned() });
        self.meters = meters(&self.config, self.labels.as_ref());
        self
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }
}

fn meters(config: &Config, labels: Option<&Labels>) -> Arc<[Meters]> {
    config.tables.iter().map(|table| Meters::new(labels, &table.name)).collect()
}

impl Sink for DynamoDbSink {
    type Batch = DynamoDbBatch;

    fn recipe(&self) -> Recipe {
        self.config.recipe.clone()
    }

    fn with_recipe(&self, recipe: &Recipe) -> Result<Self, SinkError> {
        if *recipe == self.config.recipe {
            return Ok(self.clone());
        }
        let config = Arc::new(Config::from_recipe(recipe)?);
        let meters = meters(&config, self.labels.as_ref());
        Ok(Self { config, meters, ..self.clone() })
    }

    fn open(&self, shard: &ShardId, _first: &Position) -> DynamoDbBatch {
        DynamoDbBatch { sink: self.clone(), shard: shard.clone(), writes: Writes::new(&self.config), progress: None }
    }

    fn max_age(&self) -> Duration {
        MAX_AGE
    }
}

/// A range of one shard on its way into the tables.
#[derive(Debug)]
pub struct DynamoDbBatch {
    sink: DynamoDbSink,
    shard: ShardId,
    writes: Writes,
    /// What became of the writes; `None` until the first of them is sent.
    progress: Option<Progress>,
}

impl Batch for DynamoDbBatch {
    async fn push(&mut self, records: &[Record]) -> Result<Pushed, SinkError> {
        if self.progress.is_some() {
            return Err(SinkError::Spoiled {
                reason: "batch_closed",
                doing: "taking records into a range".to_owned(),
                message: "the range is being applied already".to_owned(),
            });
        }
        let mut pushed = Pushed::default();
        for (index, record) in records.iter().enumerate() {
            if let Err(rejection) = self.writes.push(&self.sink.config, &self.shard, record) {
                pushed.rejected.push((index, rejection));
            }
        }
        pushed.full = self.writes.is_full();
        Ok(pushed)
    }

    async fn apply(&mut self, range: &Range) -> Result<Applied, SinkError> {
        let Self { sink, writes, progress, .. } = self;
        let progress = progress.get_or_insert_with(|| apply::no_progress(writes));
        let service = Service { client: &sink.client, slots: &sink.slots, meters: &sink.meters };
        apply::run(&service, &sink.config, writes, range, progress).await?;
        let rejected = apply::refused(writes, progress);
        Ok(Applied { records: writes.taken.saturating_sub(rejected.len() as u64), rejected })
    }
}
