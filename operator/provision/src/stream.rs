//! Streams: what was seen, what is decided about it ([`decide`]), and the call that does it ([`calls`]).

mod calls;
mod decide;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use penstock_api::plan::{PipelineRef, StreamPlan};

use self::decide::{Seen, State, Step, drift, next_step, waits_for_aws, waits_for_readers};
use crate::error::{CallError, Kind, ProvisionError};
use crate::ownership::Owner;
use crate::pace::{Look, until_ready};
use crate::reading::has_stored;
use crate::removal::Removal;
use crate::{Clients, Options, Origin, Provisioned};

pub(crate) async fn provision(
    plan: &StreamPlan,
    clients: &Clients,
    options: &Options,
) -> Result<Provisioned, ProvisionError> {
    let created = AtomicBool::new(false);
    until_ready(Kind::Stream, &plan.name, || look(plan, clients, options, &created)).await
}

pub(crate) async fn look(
    plan: &StreamPlan,
    clients: &Clients,
    options: &Options,
    created: &AtomicBool,
) -> Result<Look<Provisioned>, CallError> {
    let kinesis = &clients.kinesis;
    let seen = calls::see(&plan.name, &plan.owner, kinesis, options).await?;
    let step = next_step(plan, options, seen.as_ref()).map_err(CallError::Lasting)?;
    let Some(seen) = seen else {
        return create(plan, kinesis, options, created).await;
    };
    let provisioned = |drift| Provisioned {
        kind: Kind::Stream,
        name: plan.name.clone(),
        origin: Origin::of(created.load(Ordering::Relaxed), &seen.owner),
        drift,
    };
    match &step {
        Step::Create => create(plan, kinesis, options, created).await,
        Step::Wait(state) => Ok(Look::Again(state)),
        Step::Ready(drift) => Ok(Look::Ready(provisioned(drift.clone()))),
        Step::Adopt => {
            calls::tag(plan, kinesis, options).await?;
            Ok(Look::Again("the stream is being tagged as this Pipeline's"))
        }
        Step::Shorten if !nothing_is_missed(plan, clients).await => {
            Ok(Look::Deferred(provisioned(vec![waits_for_readers(plan, &seen)])))
        }
        step => match (change(step, plan, &seen, kinesis).await, waits_for_aws(step)) {
            (Ok(doing), _) => Ok(Look::Again(doing)),
            // The stream works as it is, and holds nothing up.
            (Err(CallError::Limited(error)), Some(waits)) => {
                let error: &dyn std::error::Error = error.as_ref();
                tracing::info!(stream = plan.name, error, "AWS does not let a stream be changed as often as that");
                let waits = std::iter::once(waits.to_owned());
                Ok(Look::Deferred(provisioned(drift(plan, &seen).into_iter().chain(waits).collect())))
            }
            (Err(error), _) => Err(error),
        },
    }
}

async fn create(
    plan: &StreamPlan,
    kinesis: &Client,
    options: &Options,
    created: &AtomicBool,
) -> Result<Look<Provisioned>, CallError> {
    match calls::create(plan, kinesis, options).await {
        Ok(()) => created.store(true, Ordering::Relaxed),
        // An answer that was lost, a race, or a stream that was not to be seen yet: the next look tells.
        Err(CallError::InUse(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(Look::Again("the stream is being created"))
}

/// Changes the stream; says what is being done.
async fn change(step: &Step, plan: &StreamPlan, seen: &Seen, kinesis: &Client) -> Result<&'static str, CallError> {
    match step {
        Step::Lengthen => {
            calls::lengthen_retention(plan, kinesis).await.map(|()| "the stream's retention is being lengthened")
        }
        Step::Shorten => {
            tracing::warn!(
                stream = plan.name,
                from_hours = seen.retention_hours,
                to_hours = plan.retention_hours,
                "a retention is being shortened: older records are deleted; every sink has stored them"
            );
            calls::shorten_retention(plan, kinesis).await.map(|()| "the stream's retention is being shortened")
        }
        Step::RaiseRecordSize(kib) => calls::set_record_size(plan, &seen.arn, *kib, kinesis)
            .await
            .map(|()| "the stream's largest record is being raised"),
        Step::Encrypt(key) => {
            calls::encrypt(plan, key, kinesis).await.map(|()| "the stream's encryption is being switched on")
        }
        Step::StopEncryption(key) => {
            calls::stop_encryption(plan, key, kinesis).await.map(|()| "the stream's encryption is being switched off")
        }
        Step::SetMode => calls::set_mode(plan, &seen.arn, kinesis).await.map(|()| "the stream's mode is being changed"),
        Step::Reshard(shards) => calls::reshard(plan, *shards, kinesis).await.map(|()| "the stream is being resharded"),
        Step::Create | Step::Wait(_) | Step::Ready(_) | Step::Adopt => Ok("the stream is being looked at"),
    }
}

/// Whether no sink would miss a record that a shorter retention deletes; not when that cannot be told.
async fn nothing_is_missed(plan: &StreamPlan, clients: &Clients) -> bool {
    let kept = Duration::from_secs(u64::from(plan.retention_hours) * 3600);
    let before = SystemTime::now().checked_sub(kept).unwrap_or(SystemTime::UNIX_EPOCH);
    for lease_table in &plan.readers {
        match has_stored(&plan.name, lease_table, Some(before), clients).await {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    stream = plan.name,
                    lease_table,
                    error,
                    "it cannot be told whether a sink would miss records, so the retention is not shortened"
                );
                return false;
            }
        }
    }
    true
}

/// One step towards the stream being gone, when it is this Pipeline's.
pub(crate) async fn remove(
    name: &str,
    owner: &PipelineRef,
    kinesis: &Client,
    options: &Options,
) -> Result<Look<Removal>, CallError> {
    let Some(seen) = calls::see(name, owner, kinesis, options).await? else { return Ok(Look::Ready(Removal::Gone)) };
    match (seen.owner, seen.state) {
        (Owner::Another(_) | Owner::OfUnnamedCluster(_) | Owner::Nobody, _) => {
            return Ok(Look::Ready(Removal::NotOurs));
        }
        (Owner::Ours, State::Deleting) => {}
        (Owner::Ours, _) => match calls::delete(name, kinesis).await {
            // It is being made, changed or deleted just now.
            Ok(()) | Err(CallError::InUse(_)) => {}
            Err(error) => return Err(error),
        },
    }
    Ok(Look::Again("the stream is being deleted"))
}

/// Takes a consumer's registration away. AWS finishes it by itself.
pub(crate) async fn deregister(
    consumer: &str,
    stream: Option<&str>,
    kinesis: &Client,
) -> Result<Look<Removal>, CallError> {
    let stream = stream.ok_or(CallError::NotFound)?;
    let arn = calls::arn(stream, kinesis).await?;
    match calls::deregister(consumer, &arn, kinesis).await {
        Ok(()) => Ok(Look::Ready(Removal::Gone)),
        // It is being registered just now, or deregistered.
        Err(CallError::InUse(_)) => Ok(Look::Again("the consumer is being deregistered")),
        Err(error) => Err(error),
    }
}
