//! What is shown: Pipelines, where their stages answer, and the way to what they store.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use penstock_api::spec::{Condition, Pipeline};
use serde::Serialize;

/// A Pipeline to show.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The Pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Its stages, sources first.
    pub stages: Vec<StageAt>,
    /// What the operator says about it; empty where there is no operator.
    pub conditions: Vec<Condition>,
    /// What the operator told lately.
    pub events: Events,
    /// Why its processes cannot be found, where they cannot.
    pub trouble: Option<String>,
    /// The way to streams, tables and buckets; without it there is no look inside.
    pub stores: Option<Stores>,
}

/// What was told about a Pipeline as it happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    /// Newest first.
    pub newest: Vec<Event>,
    /// Why it is not known, where it is not.
    pub trouble: Option<String>,
}

/// Something that was told about a Pipeline, once or several times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When it was told last (RFC 3339).
    pub last: String,
    /// How often.
    pub times: u32,
    /// Whether it is about trouble.
    pub is_warning: bool,
    /// The reason's name.
    pub reason: String,
    /// What it says.
    pub message: String,
}

/// A stage, and where its processes answer.
#[derive(Debug, Clone, Default)]
pub struct StageAt {
    /// Its name.
    pub name: String,
    /// Its processes.
    pub processes: Vec<ProcessAt>,
    /// Whether it has no processes since none are wanted.
    pub rests: bool,
    /// Where people reach it, for sources and apis.
    pub url: Option<String>,
    /// What an api is asked with that demands a key; without it, the page does not ask such an api.
    pub key: Option<ApiKey>,
}

/// A key of an api. It shows nowhere.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// A process of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessAt {
    /// What it is called where somebody looks for it.
    pub name: String,
    /// How it can be asked.
    pub admin: Admin,
}

/// How a process can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// At the base URL of its `/readyz` and `/metrics`.
    At(String),
    /// Not yet: what it waits for.
    Starting(String),
    /// Not any more: what went wrong.
    Broken(String),
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

/// A line in the list of Pipelines: what is known without asking its processes.
#[derive(Debug, Clone)]
pub struct Outline {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// What the operator says about it; empty where there is no operator, or when it has not looked yet.
    pub conditions: Vec<Condition>,
    /// How many stages it has.
    pub stages: usize,
    /// How many of them are ready, where the operator says so.
    pub ready: usize,
}

/// All Pipelines.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// In no order.
    pub pipelines: Vec<Outline>,
    /// Why this may be old, where it may.
    pub trouble: Option<String>,
}

/// Something cannot be told now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotTell(pub String);

/// Who knows what there is to show.
pub trait Subjects: Send + Sync + 'static {
    /// Begins to look. Whatever that takes is given back when the look is dropped.
    fn look(&self) -> Arc<dyn Look>;

    /// Whether every Pipeline is watched all the time, so that its last hour is there when somebody comes. If not, each
    /// is watched from when somebody asks for it until some minutes after.
    fn are_always_watched(&self) -> bool;
}

/// Looking, until it is dropped.
pub trait Look: Send + Sync {
    /// All Pipelines.
    fn all(&self) -> BoxFuture<'_, Result<Listing, CannotTell>>;

    /// One Pipeline with its processes; `None` when there is none of the name.
    fn one<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<Subject>>, CannotTell>>;
}

/// The namespace and the name of a Pipeline.
pub(crate) type Key = (String, String);

impl Subject {
    /// The namespace and the name.
    pub(crate) fn key(&self) -> Key {
        let metadata = &self.pipeline.metadata;
        (metadata.namespace().to_owned(), metadata.name.clone())
    }
}

impl ProcessAt {
    /// One that is known by where it answers.
    #[must_use]
    pub fn at(url: String) -> Self {
        Self { name: url.clone(), admin: Admin::At(url) }
    }
}

/// Pipelines that stay the same for as long as they are shown.
#[derive(Debug, Clone)]
pub struct Fixed(pub Vec<Arc<Subject>>);

impl Subjects for Fixed {
    fn look(&self) -> Arc<dyn Look> {
        Arc::new(self.clone())
    }

    fn are_always_watched(&self) -> bool {
        true
    }
}

impl Look for Fixed {
    fn all(&self) -> BoxFuture<'_, Result<Listing, CannotTell>> {
        let outline = |subject: &Arc<Subject>| {
            let (namespace, name) = subject.key();
            let conditions = subject.conditions.clone();
            Outline { namespace, name, conditions, stages: subject.stages.len(), ready: 0 }
        };
        let pipelines = self.0.iter().map(outline).collect();
        Box::pin(std::future::ready(Ok(Listing { pipelines, trouble: None })))
    }

    fn one<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<Subject>>, CannotTell>> {
        let is_meant = |subject: &&Arc<Subject>| {
            let metadata = &subject.pipeline.metadata;
            metadata.namespace() == namespace && metadata.name == name
        };
        Box::pin(std::future::ready(Ok(self.0.iter().find(is_meant).cloned())))
    }
}
