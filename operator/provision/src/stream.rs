//! Streams: one function a call of Kinesis, around [`decide`].

mod decide;

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ScalingType, StreamMode as KinesisMode, StreamModeDetails, StreamStatus};
use penstock_api::plan::StreamPlan;
use penstock_api::spec::StreamMode;

use self::decide::{Seen, State, Step, next_step};
use crate::error::{CallError, Kind, ProvisionError};
use crate::ownership::{self, Owner};
use crate::pace::{Look, limited, until_ready};
use crate::removal::Removal;
use crate::{Options, Origin, Provisioned};

pub(crate) async fn provision(
    plan: &StreamPlan,
    kinesis: &Client,
    options: &Options,
) -> Result<Provisioned, ProvisionError> {
    let created = AtomicBool::new(false);
    until_ready(Kind::Stream, &plan.name, || look(plan, kinesis, options, &created)).await
}

pub(crate) async fn look(
    plan: &StreamPlan,
    kinesis: &Client,
    options: &Options,
    created: &AtomicBool,
) -> Result<Look<Provisioned>, CallError> {
    let seen = see(plan, kinesis, options).await?;
    match next_step(plan, options, seen.as_ref()).map_err(CallError::Lasting)? {
        Step::Create => {
            create(plan, kinesis, options).await?;
            created.store(true, Ordering::Relaxed);
            Ok(Look::Again("the stream is being created"))
        }
        Step::LengthenRetention => {
            lengthen_retention(plan, kinesis).await?;
            Ok(Look::Again("the stream's retention is being lengthened"))
        }
        Step::Adopt => {
            tag(plan, kinesis, options).await?;
            Ok(Look::Again("the stream is being tagged as this Pipeline's"))
        }
        Step::SetMode => {
            set_mode(plan, seen.map(|seen| seen.arn).unwrap_or_default(), kinesis).await?;
            Ok(Look::Again("the stream's mode is being changed"))
        }
        Step::Reshard(shards) => {
            reshard(plan, shards, kinesis).await?;
            Ok(Look::Again("the stream is being resharded"))
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
async fn see(plan: &StreamPlan, kinesis: &Client, options: &Options) -> Result<Option<Seen>, CallError> {
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
        owner: owner(plan, kinesis, options).await?,
        arn: summary.stream_arn,
    }))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html>, 5 calls a second. A stream has
/// at most 50 tags, and one page holds as many.
async fn owner(plan: &StreamPlan, kinesis: &Client, options: &Options) -> Result<Owner, CallError> {
    let call = kinesis.list_tags_for_stream().stream_name(&plan.name).limit(50).send();
    let doing = || format!("reading the tags of the stream {:?}", plan.name);
    let answer = limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error))?;
    let tags = answer.tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect();
    Ok(ownership::owner(&tags, &plan.owner, options.cluster.as_deref()))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>, 5 calls a second.
async fn create(plan: &StreamPlan, kinesis: &Client, options: &Options) -> Result<(), CallError> {
    let doing = || format!("creating the stream {:?}", plan.name);
    let details = mode_details(plan)?;
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
        .set_tags(Some(ownership::tags(&plan.owner, options.cluster.as_deref())))
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

fn mode_details(plan: &StreamPlan) -> Result<StreamModeDetails, CallError> {
    let mode = match plan.mode {
        StreamMode::Provisioned => KinesisMode::Provisioned,
        StreamMode::OnDemand => KinesisMode::OnDemand,
    };
    StreamModeDetails::builder().stream_mode(mode).build().map_err(|error| CallError::Passing(Box::new(error)))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_AddTagsToStream.html>, 5 calls a second.
async fn tag(plan: &StreamPlan, kinesis: &Client, options: &Options) -> Result<(), CallError> {
    let doing = || format!("tagging the stream {:?}", plan.name);
    let tags = ownership::tags(&plan.owner, options.cluster.as_deref());
    let call = kinesis.add_tags_to_stream().stream_name(&plan.name).set_tags(Some(tags)).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamMode.html>, twice in 24 hours for a stream.
async fn set_mode(plan: &StreamPlan, arn: String, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("changing the mode of the stream {:?}", plan.name);
    let call = kinesis.update_stream_mode().stream_arn(arn).stream_mode_details(mode_details(plan)?).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>, ten times in 24 hours for a stream.
async fn reshard(plan: &StreamPlan, shards: u32, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("resharding the stream {:?}", plan.name);
    let call = kinesis
        .update_shard_count()
        .stream_name(&plan.name)
        .target_shard_count(i32::try_from(shards).unwrap_or(i32::MAX))
        .scaling_type(ScalingType::UniformScaling)
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// One step towards the stream being gone, when it is this Pipeline's.
pub(crate) async fn remove(plan: &StreamPlan, kinesis: &Client, options: &Options) -> Result<Look<Removal>, CallError> {
    let Some(seen) = see(plan, kinesis, options).await? else { return Ok(Look::Ready(Removal::Gone)) };
    match (seen.owner, seen.state) {
        (Owner::Another(_) | Owner::Nobody, _) => Ok(Look::Ready(Removal::NotOurs)),
        (Owner::Ours, State::Deleting) => Ok(Look::Again("the stream is being deleted")),
        (Owner::Ours, _) => {
            delete(plan, kinesis).await?;
            Ok(Look::Again("the stream is being deleted"))
        }
    }
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeleteStream.html>, 5 calls a second. Registered consumers go
/// with the stream.
async fn delete(plan: &StreamPlan, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("deleting the stream {:?}", plan.name);
    let call = kinesis.delete_stream().stream_name(&plan.name).enforce_consumer_deletion(true).send();
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
