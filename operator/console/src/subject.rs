//! What is shown: a Pipeline, where its stages answer, and the way to what they store.

use std::sync::Arc;

use penstock_api::spec::{Condition, Pipeline};

/// A Pipeline to show.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The Pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Its stages, sources first.
    pub stages: Vec<StageAt>,
    /// What the operator says about it; empty where there is no operator.
    pub conditions: Vec<Condition>,
    /// The way to streams, tables and buckets; without it there is no look inside.
    pub stores: Option<Stores>,
}

/// A stage, and where its processes answer.
#[derive(Debug, Clone)]
pub struct StageAt {
    /// Its name.
    pub name: String,
    /// The base URL of `/readyz` and `/metrics` of each process.
    pub admin: Vec<String>,
    /// Where people reach it, for sources and apis.
    pub url: Option<String>,
}

/// Clients that may read.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Streams.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Buckets.
    pub s3: aws_sdk_s3::Client,
}

/// Who knows what there is to show, at any moment.
pub trait Subjects: Send + Sync + 'static {
    /// All Pipelines, in no order.
    fn all(&self) -> Vec<Arc<Subject>>;
}

impl Subject {
    /// The namespace and the name.
    pub(crate) fn key(&self) -> (String, String) {
        let metadata = &self.pipeline.metadata;
        (metadata.namespace().to_owned(), metadata.name.clone())
    }
}

impl Subjects for Vec<Arc<Subject>> {
    fn all(&self) -> Vec<Arc<Subject>> {
        self.clone()
    }
}
