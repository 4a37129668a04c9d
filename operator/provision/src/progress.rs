//! One step towards everything being ready, without waiting: for those who come again by themselves.

use std::error::Error;
use std::sync::atomic::AtomicBool;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self as futures_stream, StreamExt as _};
use penstock_api::plan::Resources;

use crate::error::{CallError, Kind, ProvisionError};
use crate::pace::Look;
use crate::{AT_ONCE, Clients, Options, Provisioned, bucket, stream, table};

/// How far one resource is.
#[derive(Debug)]
pub struct Progress {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: State,
}

/// How far a resource is.
#[derive(Debug)]
pub enum State {
    /// It is ready.
    Ready(Provisioned),
    /// It works, and a change of it is still to come; its drift says which, and what it waits for.
    Deferred(Provisioned),
    /// Something was done, or is on its way; the words say what it waits for.
    Waiting(&'static str),
    /// A call failed in a way that passes: throttling, a service that fails, no answer. What a call without an answer
    /// did, the next look finds out: names are fixed.
    Failing(Box<dyn Error + Send + Sync>),
    /// Somebody has to act.
    Failed(ProvisionError),
}

/// Looks at everything that the plan names and takes the next step of each, in the order of the plan.
pub async fn advance(resources: &Resources, clients: &Clients, options: &Options) -> Vec<Progress> {
    // Boxed one by one: a stream of futures that borrow is more than the compiler can show to be `Send`.
    let mut looks: Vec<BoxFuture<'_, Progress>> = Vec::new();
    for plan in &resources.streams {
        let look = async move {
            let look = stream::look(plan, clients, options, &AtomicBool::default()).await;
            progress(Kind::Stream, &plan.name, look)
        };
        looks.push(look.boxed());
    }
    for plan in &resources.tables {
        let look = async move {
            let look = table::look(plan, &clients.dynamodb, options, &AtomicBool::default()).await;
            progress(Kind::Table, &plan.name, look)
        };
        looks.push(look.boxed());
    }
    for plan in &resources.buckets {
        let look = async move { progress(Kind::Bucket, &plan.name, bucket::look(plan, &clients.s3, options).await) };
        looks.push(look.boxed());
    }
    futures_stream::iter(looks).buffered(AT_ONCE).collect().await
}

fn progress(kind: Kind, name: &str, look: Result<Look<Provisioned>, CallError>) -> Progress {
    let state = match look {
        Ok(Look::Ready(ready)) => State::Ready(ready),
        Ok(Look::Deferred(ready)) => State::Deferred(ready),
        Ok(Look::Again(state)) => State::Waiting(state),
        Err(CallError::NotFound) => State::Waiting("it was there and is gone"),
        Err(CallError::Passing(error) | CallError::InUse(error) | CallError::Limited(error)) => State::Failing(error),
        Err(CallError::Lasting(error)) => State::Failed(error),
    };
    Progress { kind, name: name.to_owned(), state }
}
