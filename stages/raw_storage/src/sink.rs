//! The sink: what it is made of, and what makes it do the same again.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use penstock_api::plan::{PipelineRef, SinkStage, SinkTarget};
use penstock_contract::{Position, Recipe, ShardId, Sink, SinkError};
use penstock_process::{ProgramError, Template, TemplateError, Transform};

use crate::batch::ObjectBatch;
use crate::budget::MemoryBudget;
use crate::key;
use crate::line::Lines;
use crate::object::Surroundings;
use crate::recipe::{Ingredients, fingerprint};
use crate::stamp::Stamp;
use crate::store::Store;
use crate::telemetry::Telemetry;

/// Stores records as JSON lines in S3 objects.
#[derive(Clone)]
pub struct RawStorageSink {
    plan: Arc<Plan>,
    rotate_bytes: u64,
    rotate_age: Duration,
}

/// What follows from a recipe, shared by the sink and its batches.
pub(crate) struct Plan {
    ingredients: Ingredients,
    recipe: Recipe,
    fingerprint: String,
    pub(crate) lines: Lines,
    pub(crate) around: Surroundings,
}

/// A configuration that no sink can be made of. One that passed validation never gives this.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The stage writes to something else.
    #[error("the sink {sink:?} does not write to S3")]
    NotS3 {
        /// The sink's name.
        sink: String,
    },
    /// The template of the keys cannot be read.
    #[error("`s3.key` {template:?} is not a template")]
    Template {
        /// The template as written.
        template: String,
        /// What is wrong with it.
        #[source]
        source: TemplateError,
    },
    /// The program cannot be compiled.
    #[error("`process` does not compile")]
    Process(#[source] ProgramError),
    /// The recipe cannot be written down.
    #[error("the recipe cannot be written as JSON")]
    Recipe(#[source] serde_json::Error),
}

impl ConfigError {
    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotS3 { .. } => "not_s3",
            Self::Template { .. } => "template",
            Self::Process(_) => "process",
            Self::Recipe(_) => "recipe",
        }
    }
}

impl RawStorageSink {
    /// Makes the sink of a stage. `memory` is shared by all shards that the sink reads in this process.
    ///
    /// # Errors
    /// When the stage is no S3 sink, or its template or program is not valid.
    pub fn new(
        pipeline: &PipelineRef,
        sink_name: &str,
        stage: &SinkStage,
        client: Client,
        memory: MemoryBudget,
    ) -> Result<Self, ConfigError> {
        let SinkTarget::S3(target) = &stage.target else {
            return Err(ConfigError::NotS3 { sink: sink_name.to_owned() });
        };
        let ingredients = Ingredients::new(pipeline, sink_name, stage, target);
        let around = Surroundings {
            store: Store::new(client, &target.bucket),
            compression: target.compression,
            budget: memory,
            telemetry: Telemetry::new(pipeline, sink_name),
        };
        Ok(Self {
            plan: Arc::new(Plan::new(ingredients, around)?),
            rotate_bytes: target.rotate_bytes,
            rotate_age: Duration::from_millis(target.rotate_age_millis),
        })
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl Sink for RawStorageSink {
    type Batch = ObjectBatch;

    fn recipe(&self) -> Recipe {
        self.plan.recipe.clone()
    }

    fn with_recipe(&self, recipe: &Recipe) -> Result<Self, SinkError> {
        if *recipe == self.plan.recipe {
            return Ok(self.clone());
        }
        let unreadable = |error: &dyn std::error::Error| SinkError::Fatal {
            reason: "recipe_unreadable",
            doing: "following the recipe of a pinned range".to_owned(),
            message: format!(
                "{error}. The Penstock that pinned the range can apply it: run that version until the range is done"
            ),
        };
        let ingredients = Ingredients::from_recipe(recipe).map_err(|error| unreadable(&error))?;
        let around = Surroundings {
            store: self.plan.around.store.with_bucket(&ingredients.bucket),
            compression: ingredients.compression,
            ..self.plan.around.clone()
        };
        let plan = Plan::new(ingredients, around).map_err(|error| unreadable(&error))?;
        Ok(Self { plan: Arc::new(plan), ..self.clone() })
    }

    fn open(&self, shard: &ShardId, first: &Position) -> ObjectBatch {
        ObjectBatch::new(Arc::clone(&self.plan), shard.clone(), first.clone(), self.rotate_bytes)
    }

    fn max_age(&self) -> Duration {
        self.rotate_age
    }
}

impl Plan {
    fn new(ingredients: Ingredients, around: Surroundings) -> Result<Self, ConfigError> {
        let template = Template::parse(&ingredients.key)
            .map_err(|source| ConfigError::Template { template: ingredients.key.clone(), source })?;
        let transform = Transform::new(ingredients.process.as_deref()).map_err(ConfigError::Process)?;
        let recipe = ingredients.to_recipe().map_err(ConfigError::Recipe)?;
        Ok(Self {
            fingerprint: fingerprint(&recipe),
            recipe,
            lines: Lines::new(template, transform, ingredients.id_field.clone()),
            ingredients,
            around,
        })
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) fn stamp(&self, shard: &ShardId, first: &Position, trimmed: bool) -> Stamp {
        Stamp { recipe: self.fingerprint.clone(), shard: shard.clone(), first: first.clone(), trimmed }
    }

    pub(crate) fn file_name(&self, shard: &ShardId, first: &Position) -> String {
        let Ingredients { pipeline, sink, compression, .. } = &self.ingredients;
        key::file_name(pipeline, sink, shard, first, *compression)
    }
}
