//! What decides the keys and bytes of a sink, as canonical text.

use penstock_api::plan::PipelineRef;
use penstock_api::spec::{Compression, ObjectFormat};
use penstock_contract::Recipe;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Counts changes of this crate that would make other keys or lines of the same recipe.
const VERSION: u32 = 1;

/// What decides keys and bytes. Rotation is not part of it: it decides where ranges end, and a range in the
/// making is pinned with its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ingredients {
    version: u32,
    pub(crate) pipeline: PipelineRef,
    pub(crate) sink: String,
    pub(crate) stream: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) format: ObjectFormat,
    pub(crate) compression: Compression,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) process: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id_field: Option<String>,
}

/// Why a recipe cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecipeError {
    /// It is none of ours.
    #[error("it is not the recipe of an S3 sink")]
    Unreadable(#[source] serde_json::Error),
    /// It was made by a newer Penstock.
    #[error("it is of version {0}, and this Penstock knows {VERSION}")]
    Version(u32),
}

impl Ingredients {
    pub(crate) fn new(
        pipeline: &PipelineRef,
        sink: &str,
        stage: &penstock_api::plan::SinkStage,
        target: &penstock_api::plan::ObjectStoreTarget,
    ) -> Self {
        Self {
            version: VERSION,
            pipeline: pipeline.clone(),
            sink: sink.to_owned(),
            stream: stage.stream.clone(),
            bucket: target.bucket.clone(),
            key: target.key.clone(),
            format: target.format,
            compression: target.compression,
            process: stage.process.clone(),
            id_field: stage.id_field.clone(),
        }
    }

    /// The same ingredients always give the same bytes: the order is that of the fields above.
    pub(crate) fn to_recipe(&self) -> Result<Recipe, serde_json::Error> {
        Ok(Recipe(serde_json::to_vec(self)?.into()))
    }

    pub(crate) fn from_recipe(recipe: &Recipe) -> Result<Self, RecipeError> {
        let ingredients: Self = serde_json::from_slice(&recipe.0).map_err(RecipeError::Unreadable)?;
        if ingredients.version != VERSION {
            return Err(RecipeError::Version(ingredients.version));
        }
        Ok(ingredients)
    }
}

/// A short name for a recipe, for an object's metadata.
pub(crate) fn fingerprint(recipe: &Recipe) -> String {
    hex::encode(Sha256::digest(&recipe.0))
}
