//! Deleting what belongs to a Pipeline that goes: only what is tagged as its own and marked for deletion.

use std::error::Error;

use penstock_api::plan::Resources;
use penstock_api::spec::DeletionPolicy;

use crate::error::{CallError, Kind, ProvisionError};
use crate::pace::Look;
use crate::{Clients, Options, stream, table};

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
            Ok(Look::Ready(removal)) => removal,
            Ok(Look::Again(state)) => Self::Waiting(state),
            Err(CallError::NotFound) => Self::Gone,
            Err(CallError::Passing(error)) => Self::Failing(error),
            Err(CallError::Lasting(error)) => Self::Failed(error),
        }
    }
}

/// Takes one step towards the deletion of each stream and table of the plan whose policy is `Delete`.
pub async fn remove(resources: &Resources, clients: &Clients, options: &Options) -> Vec<Removed> {
    let mut removed = Vec::new();
    for plan in resources.streams.iter().filter(|plan| plan.deletion_policy == DeletionPolicy::Delete) {
        let state = Removal::of(stream::remove(plan, &clients.kinesis, options).await);
        removed.push(Removed { kind: Kind::Stream, name: plan.name.clone(), state });
    }
    for plan in resources.tables.iter().filter(|plan| plan.deletion_policy == DeletionPolicy::Delete) {
        let state = Removal::of(table::remove(plan, &clients.dynamodb, options).await);
        removed.push(Removed { kind: Kind::Table, name: plan.name.clone(), state });
    }
    removed
}
