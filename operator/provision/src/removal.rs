//! Deleting what belongs to a Pipeline and is to go: only what is tagged as its own, and consumers that bear its name.

use std::error::Error;

use penstock_api::plan::PipelineRef;

use crate::error::{CallError, Kind, ProvisionError};
use crate::pace::Look;
use crate::{Clients, Options, stream, table};

/// A stream, a table or a registered consumer that is to go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doomed {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Of a consumer: the stream that it is registered with.
    pub stream: Option<String>,
}

impl Doomed {
    /// A stream or a table.
    #[must_use]
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), stream: None }
    }
}

/// What became of one resource.
#[derive(Debug)]
pub struct Removed {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub state: Removal,
}

/// What became of a resource that was to be deleted.
#[derive(Debug)]
pub enum Removal {
    /// It is not there, or not any more.
    Gone,
    /// It is not tagged as this Pipeline's, and stays.
    NotOurs,
    /// It is being deleted.
    Waiting(&'static str),
    /// A call failed in a way that passes.
    Failing(Box<dyn Error + Send + Sync>),
    /// Somebody has to act.
    Failed(ProvisionError),
}

impl Removal {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Gone | Self::NotOurs)
    }

    fn of(look: Result<Look<Self>, CallError>) -> Self {
        match look {
            Ok(Look::Ready(removal) | Look::Deferred(removal)) => removal,
            Ok(Look::Again(state)) => Self::Waiting(state),
            Err(CallError::NotFound) => Self::Gone,
            Err(CallError::Passing(error) | CallError::InUse(error) | CallError::Limited(error)) => {
                Self::Failing(error)
            }
            Err(CallError::Lasting(error)) => Self::Failed(error),
        }
    }
}

/// Takes one step towards the deletion of each, when it is tagged as the Pipeline's. A bucket is never deleted. A consumer has no
/// tags: whose it is, is told by its name, which begins with the Pipeline's.
pub async fn remove(doomed: &[Doomed], owner: &PipelineRef, clients: &Clients, options: &Options) -> Vec<Removed> {
    let mut removed = Vec::new();
    for Doomed { kind, name, stream } in doomed {
        let state = match kind {
            Kind::Stream => Removal::of(stream::remove(name, owner, &clients.kinesis, options).await),
            Kind::Table => Removal::of(table::remove(name, owner, &clients.dynamodb, options).await),
            Kind::Consumer if !bears_the_name_of(owner, name) => Removal::NotOurs,
            Kind::Consumer => Removal::of(stream::deregister(name, stream.as_deref(), &clients.kinesis).await),
            Kind::Bucket => Removal::NotOurs,
        };
        removed.push(Removed { kind: *kind, name: name.clone(), state });
    }
    removed
}

/// As the plan of a Pipeline names the consumers of its sinks by default.
fn bears_the_name_of(owner: &PipelineRef, consumer: &str) -> bool {
    let of_sink = consumer.strip_prefix(&owner.namespace).and_then(|rest| rest.strip_prefix('.'));
    of_sink.and_then(|rest| rest.strip_prefix(&owner.name)).is_some_and(|rest| rest.starts_with('.'))
}
