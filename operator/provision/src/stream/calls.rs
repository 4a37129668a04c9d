//! One function a call of Kinesis.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{EncryptionType, ScalingType, StreamMode as KinesisMode, StreamModeDetails, StreamStatus};
use penstock_api::plan::{EncryptionPlan, PipelineRef, StreamPlan};
use penstock_api::spec::StreamMode;

use super::decide::{Seen, State};
use crate::Options;
use crate::error::CallError;
use crate::ownership::{self, Owner};
use crate::pace::limited;

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html>, 20 calls a second.
pub(super) async fn see(
    name: &str,
    asks: &PipelineRef,
    kinesis: &Client,
    options: &Options,
) -> Result<Option<Seen>, CallError> {
    let doing = || format!("looking at the stream {name:?}");
    let call = kinesis.describe_stream_summary().stream_name(name).send();
    let answer = match limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error)) {
        Ok(answer) => answer,
        Err(CallError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(summary) = answer.stream_description_summary else { return Ok(None) };
    let on_demand = summary.stream_mode_details.is_some_and(|mode| mode.stream_mode == KinesisMode::OnDemand);
    let encrypted = summary.encryption_type == Some(EncryptionType::Kms);
    Ok(Some(Seen {
        state: match summary.stream_status {
            StreamStatus::Active => State::Active,
            StreamStatus::Deleting => State::Deleting,
            _ => State::Changing,
        },
        mode: if on_demand { StreamMode::OnDemand } else { StreamMode::Provisioned },
        open_shards: u32::try_from(summary.open_shard_count).unwrap_or(0),
        retention_hours: u32::try_from(summary.retention_period_hours).unwrap_or(0),
        record_kib: summary.max_record_size_in_kib.and_then(|kib| u32::try_from(kib).ok()),
        encryption: if encrypted {
            EncryptionPlan::Kms(summary.key_id.unwrap_or_default())
        } else {
            EncryptionPlan::None
        },
        owner: owner(name, asks, kinesis, options).await?,
        age: ownership::age(summary.stream_creation_timestamp.try_into().ok()),
        arn: summary.stream_arn,
    }))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html>, 5 calls a second. A stream has
/// at most 50 tags, and one page holds as many.
async fn owner(name: &str, asks: &PipelineRef, kinesis: &Client, options: &Options) -> Result<Owner, CallError> {
    let call = kinesis.list_tags_for_stream().stream_name(name).limit(50).send();
    let doing = || format!("reading the tags of the stream {name:?}");
    let answer = limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error))?;
    let tags = answer.tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect();
    Ok(ownership::owner(&tags, asks, options.cluster.as_deref()))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>, 5 calls a second.
pub(super) async fn create(plan: &StreamPlan, kinesis: &Client, options: &Options) -> Result<(), CallError> {
    let doing = || format!("creating the stream {:?}", plan.name);
    let details = mode_details(plan)?;
    let shards = match plan.mode {
        // A plan names the shards of every provisioned stream; AWS refuses one without.
        StreamMode::Provisioned => plan.shards.map(number),
        StreamMode::OnDemand => None,
    };
    let call = kinesis
        .create_stream()
        .stream_name(&plan.name)
        .set_shard_count(shards)
        .stream_mode_details(details)
        .set_max_record_size_in_kib(plan.max_record_kib.map(number))
        .set_tags(Some(ownership::tags(&plan.owner, &plan.part, options.cluster.as_deref())))
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
pub(super) async fn tag(plan: &StreamPlan, kinesis: &Client, options: &Options) -> Result<(), CallError> {
    let doing = || format!("tagging the stream {:?}", plan.name);
    let tags = ownership::tags(&plan.owner, &plan.part, options.cluster.as_deref());
    let call = kinesis.add_tags_to_stream().stream_name(&plan.name).set_tags(Some(tags)).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamMode.html>, twice in 24 hours for a stream.
pub(super) async fn set_mode(plan: &StreamPlan, arn: &str, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("changing the mode of the stream {:?}", plan.name);
    let call = kinesis.update_stream_mode().stream_arn(arn).stream_mode_details(mode_details(plan)?).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>, ten times in 24 hours for a stream.
pub(super) async fn reshard(plan: &StreamPlan, shards: u32, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("resharding the stream {:?}", plan.name);
    let call = kinesis
        .update_shard_count()
        .stream_name(&plan.name)
        .target_shard_count(number(shards))
        .scaling_type(ScalingType::UniformScaling)
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html>
pub(super) async fn lengthen_retention(plan: &StreamPlan, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("lengthening the retention of the stream {:?}", plan.name);
    let call = kinesis
        .increase_stream_retention_period()
        .stream_name(&plan.name)
        .retention_period_hours(number(plan.retention_hours))
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DecreaseStreamRetentionPeriod.html>
pub(super) async fn shorten_retention(plan: &StreamPlan, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("shortening the retention of the stream {:?}", plan.name);
    let call = kinesis
        .decrease_stream_retention_period()
        .stream_name(&plan.name)
        .retention_period_hours(number(plan.retention_hours))
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateMaxRecordSize.html>
pub(super) async fn set_record_size(plan: &StreamPlan, arn: &str, kib: u32, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("changing the largest record of the stream {:?}", plan.name);
    let call = kinesis.update_max_record_size().stream_arn(arn).max_record_size_in_kib(number(kib)).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html>, a new key 25 times in 24 hours.
pub(super) async fn encrypt(plan: &StreamPlan, key: &str, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("encrypting the stream {:?} with the key {key:?}", plan.name);
    let call = kinesis
        .start_stream_encryption()
        .stream_name(&plan.name)
        .encryption_type(EncryptionType::Kms)
        .key_id(key)
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StopStreamEncryption.html>, 25 times in 24 hours.
pub(super) async fn stop_encryption(plan: &StreamPlan, key: &str, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("switching off the encryption of the stream {:?}", plan.name);
    let call = kinesis
        .stop_stream_encryption()
        .stream_name(&plan.name)
        .encryption_type(EncryptionType::Kms)
        .key_id(key)
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeleteStream.html>, 5 calls a second. Registered consumers go
/// with the stream.
pub(super) async fn delete(name: &str, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("deleting the stream {name:?}");
    let call = kinesis.delete_stream().stream_name(name).enforce_consumer_deletion(true).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// The ARN of a stream. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html>, 20 calls a
/// second.
pub(super) async fn arn(name: &str, kinesis: &Client) -> Result<String, CallError> {
    let doing = || format!("looking at the stream {name:?}");
    let call = kinesis.describe_stream_summary().stream_name(name).send();
    let answer = limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error))?;
    answer.stream_description_summary.map(|summary| summary.stream_arn).ok_or(CallError::NotFound)
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeregisterStreamConsumer.html>, 5 calls a second.
pub(super) async fn deregister(consumer: &str, stream_arn: &str, kinesis: &Client) -> Result<(), CallError> {
    let doing = || format!("deregistering the consumer {consumer:?}");
    let call = kinesis.deregister_stream_consumer().stream_arn(stream_arn).consumer_name(consumer).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

fn number(of: u32) -> i32 {
    i32::try_from(of).unwrap_or(i32::MAX)
}
