//! Tables: what was seen, what is decided about it ([`decide`]), and the call that does it ([`calls`]).

mod calls;
mod decide;
mod keys;

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::Client;
use penstock_api::plan::{PipelineRef, TablePlan};

use self::decide::{State, Step, Wanted, next_step, waits_for_aws};
use crate::error::{CallError, Kind, ProvisionError};
use crate::ownership::Owner;
use crate::pace::{Look, until_ready};
use crate::removal::Removal;
use crate::{Options, Origin, Provisioned};

pub(crate) async fn provision(
    plan: &TablePlan,
    dynamodb: &Client,
    options: &Options,
) -> Result<Provisioned, ProvisionError> {
    let created = AtomicBool::new(false);
    until_ready(Kind::Table, &plan.name, || look(plan, dynamodb, options, &created)).await
}

pub(crate) async fn look(
    plan: &TablePlan,
    dynamodb: &Client,
    options: &Options,
    created: &AtomicBool,
) -> Result<Look<Provisioned>, CallError> {
    let seen = calls::see(&plan.name, &plan.owner, Wanted::of(plan), dynamodb, options).await?;
    let step = next_step(plan, options, seen.as_ref()).map_err(CallError::Lasting)?;
    let Some(seen) = seen else {
        return create(plan, dynamodb, options, created).await;
    };
    let provisioned = |drift| Provisioned {
        kind: Kind::Table,
        name: plan.name.clone(),
        origin: Origin::of(created.load(Ordering::Relaxed), &seen.owner),
        drift,
    };
    match &step {
        Step::Create => create(plan, dynamodb, options, created).await,
        Step::Wait(state) => Ok(Look::Again(state)),
        Step::Ready(drift) => Ok(Look::Ready(provisioned(drift.clone()))),
        Step::Defer(drift) => Ok(Look::Deferred(provisioned(drift.clone()))),
        Step::Adopt => {
            calls::tag(plan, &seen.arn, dynamodb, options).await?;
            Ok(Look::Again("the table is being tagged as this Pipeline's"))
        }
        step => match (change(step, plan, dynamodb).await, waits_for_aws(step, &seen)) {
            (Ok(doing), _) => Ok(Look::Again(doing)),
            // The table works as it is, and holds nothing up.
            (Err(CallError::Limited(error)), Some(waits)) => {
                let error: &dyn std::error::Error = error.as_ref();
                tracing::info!(table = plan.name, error, "AWS does not let a table be changed as often as that");
                Ok(Look::Deferred(provisioned(vec![waits])))
            }
            (Err(error), _) => Err(error),
        },
    }
}

async fn create(
    plan: &TablePlan,
    dynamodb: &Client,
    options: &Options,
    created: &AtomicBool,
) -> Result<Look<Provisioned>, CallError> {
    match calls::create(plan, dynamodb, options).await {
        Ok(()) => created.store(true, Ordering::Relaxed),
        // An answer that was lost, a race, or a table that was not to be seen yet: the next look tells.
        Err(CallError::InUse(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(Look::Again("the table is being created"))
}

/// Changes the table; says what is being done.
async fn change(step: &Step, plan: &TablePlan, dynamodb: &Client) -> Result<&'static str, CallError> {
    match step {
        Step::Protect(wanted) => {
            calls::protect(plan, *wanted, dynamodb).await.map(|()| "the table's protection is being changed")
        }
        Step::SetRecovery(wanted) => calls::set_recovery(plan, *wanted, dynamodb)
            .await
            .map(|()| "the table's point-in-time recovery is being changed"),
        Step::SwitchTtlOn(attribute) => calls::set_ttl(plan, attribute, true, dynamodb)
            .await
            .map(|()| "the table's time to live is being switched on"),
        Step::SwitchTtlOff(attribute) => calls::set_ttl(plan, attribute, false, dynamodb)
            .await
            .map(|()| "the table's time to live is being switched off"),
        Step::Bill(billing) => {
            calls::bill(plan, *billing, dynamodb).await.map(|()| "the table's billing is being changed")
        }
        Step::Create | Step::Wait(_) | Step::Ready(_) | Step::Defer(_) | Step::Adopt => {
            Ok("the table is being looked at")
        }
    }
}

/// One step towards the table being gone, when it is this Pipeline's.
pub(crate) async fn remove(
    name: &str,
    owner: &PipelineRef,
    dynamodb: &Client,
    options: &Options,
) -> Result<Look<Removal>, CallError> {
    let Some(seen) = calls::see(name, owner, Wanted::default(), dynamodb, options).await? else {
        return Ok(Look::Ready(Removal::Gone));
    };
    match (seen.owner, seen.state) {
        (Owner::Another(_) | Owner::OfUnnamedCluster(_) | Owner::Nobody, _) => {
            return Ok(Look::Ready(Removal::NotOurs));
        }
        (Owner::Ours, State::Deleting) => {}
        (Owner::Ours, _) => match calls::delete(name, dynamodb).await {
            // It is being made, changed or deleted just now.
            Ok(()) | Err(CallError::InUse(_)) => {}
            Err(error) => return Err(error),
        },
    }
    Ok(Look::Again("the table is being deleted"))
}
