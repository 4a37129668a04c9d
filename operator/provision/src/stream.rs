//! Streams: one function a call of Kinesis, around [`decide`].

mod decide;

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{StreamMode as KinesisMode, StreamModeDetails, StreamStatus};
use penstock_api::plan::StreamPlan;
use penstock_api::spec::StreamMode;

use self::decide::{Seen, State, Step, next_step};
use crate::error::{CallError, Kind, ProvisionError};
use crate::ownership::{self, Owner};
use crate::pace::{Look, limited, until_ready};
use crate::{Origin, Provisioned};

pub(crate) async fn provision(plan: &StreamPlan, kinesis: &Client) -> Result<Provisioned, ProvisionError> {
    let created = AtomicBool::new(false);
    until_ready(Kind::Stream, &plan.name, || look(plan, kinesis, &created)).await
}

async fn look(plan: &StreamPlan, kinesis: &Client, created: &AtomicBool) -> Result<Look<Provisioned>, CallError> {
    let seen = see(plan, kinesis).await?;
    match next_step(plan, seen.as_ref()).map_err(CallError::Lasting)? {
        Step::Create => {
            create(plan, kinesis).await?;
            created.store(true, Ordering::Relaxed);
            Ok(Look::Again("the stream is being created"))
        }
        Step::LengthenRetention => {
            lengthen_retention(plan, kinesis).await?;
            Ok(Look::Again("the stream's retention is being lengthened"))
        }
        Step::Wait(state) => Ok(Look::Again(state)),
        Step::Ready(drift) => {
            let owner = seen.map_or(Owner::Nobody, |seen| seen.owner);
            let origin = Origin::of(created.load(Ordering::Relaxed), &owner);
            Ok(Look::Ready(Provisioned { kind: Kind::Stream, name: plan.name.clone(), origin, drift }))
        }
    }
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html>, 20 calls a second.
async fn see(plan: &StreamPlan, kinesis: &Client) -> Result<Option<Seen>, CallError> {
    let doing = || format!("looking at the stream {:?}", plan.name);
    let call = kinesis.describe_stream_summary().stream_name(&plan.name).send();
    let answer = match limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error)) {
        Ok(answer) => answer,
        Err(CallError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(summary) = answer.stream_description_summary else { return Ok(None) };
    let on_demand = summary.stream_mode_details.is_some_and(|mode| mode.stream_mode == KinesisMode::OnDemand);
    Ok(Some(Seen {
        state: match summary.stream_status {
            StreamStatus::Active => State::Active,
            StreamStatus::Deleting => State::Deleting,
            _ => State::Changing,
        },
        mode: if on_demand { StreamMode::OnDemand } else { StreamMode::Provisioned },
        open_shards: u32::try_from(summary.open_shard_count).unwrap_or(0),
        retention_hours: u32::try_from(summary.retention_period_hours).unwrap_or(0),
        owner: owner(plan, kinesis).await?,
    }))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html>, 5 calls a second. A stream has
/// at most 50 tags, and one page holds as many.
async fn owner(plan: &StreamPlan, kinesis: &Client) -> Result<Owner, CallError> {
    let call = kinesis.list_tags_for_stream().stream_name(&plan.name).limit(50).send();
    let doing = || format!("reading the tags of the stream {:?}", plan.name);
    let answer = limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error))?;
    let tags = answer.tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect();
    Ok(ownership::owner(&tags, &plan.owner))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>, 5 calls a second.
async fn create(plan: &StreamPlan, kinesis: &Client) -> Result<(), CallError> {
    let mode = match plan.mode {
        StreamMode::Provisioned => KinesisMode::Provisioned,
        StreamMode::OnDemand => KinesisMode::OnDemand,
    };
    let doing = || format!("creating the stream {:?}", plan.name);
    let details = StreamModeDetails::builder().stream_mode(mode).build();
    let details = details.map_err(|error| CallError::Passing(Box::new(error)))?;
    let shards = match plan.mode {
        // A plan names the shards of every provisioned stream; AWS refuses one without.
        StreamMode::Provisioned => plan.shards.and_then(|shards| i32::try_from(shards).ok()),
        StreamMode::OnDemand => None,
    };
    let call = kinesis
        .create_stream()
        .stream_name(&plan.name)
        .set_shard_count(shards)
        .stream_mode_details(details)
        .set_tags(Some(ownership::tags(&plan.owner)))
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html>
async fn lengthen_retention(plan: &StreamPlan, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("lengthening the retention of the stream {:?}", plan.name);
    let call = kinesis
        .increase_stream_retention_period()
        .stream_name(&plan.name)
        .retention_period_hours(i32::try_from(plan.retention_hours).unwrap_or(i32::MAX))
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}
