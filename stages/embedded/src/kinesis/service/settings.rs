//! Changing how a stream behaves: retention, record size, mode, encryption, metrics.

use std::collections::BTreeSet;

use serde_json::json;

use super::streams::mode;
use super::{Answer, Service, json};
use crate::kinesis::error::ApiError;
use crate::kinesis::model::Millis;
use crate::kinesis::model::stream::{Status, Stream};
use crate::kinesis::protocol::requests::{
    Encryption, Monitoring, RetentionPeriod, Target, UpdateMaxRecordSize, UpdateStreamMode,
};
use crate::kinesis::protocol::{of_length, parse, required, within};

/// The longest retention: 365 days, in hours.
const MAX_RETENTION_HOURS: i64 = 8760;

/// Shard-level metrics.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_EnableEnhancedMonitoring.html>
const METRICS: [&str; 7] = [
    "IncomingBytes",
    "IncomingRecords",
    "IteratorAgeMilliseconds",
    "OutgoingBytes",
    "OutgoingRecords",
    "ReadProvisionedThroughputExceeded",
    "WriteProvisionedThroughputExceeded",
];

/// The largest record size that a request may set, in KiB.
pub(super) fn max_record_kib(value: i64) -> Result<u32, ApiError> {
    within(value, "maxRecordSizeInKiB", 1024, 10_240)
}

impl Service {
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html>
    pub(super) async fn increase_retention(&self, body: &[u8]) -> Result<Answer, ApiError> {
        self.set_retention(body, |hours, current| {
            (hours < i64::from(current)).then(|| {
                format!(
                    "Requested retention period ({hours} hours) for stream must not be shorter than existing retention \
                     period ({current} hours). Use DecreaseRetentionPeriod."
                )
            })
        })
        .await
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DecreaseStreamRetentionPeriod.html>
    pub(super) async fn decrease_retention(&self, body: &[u8]) -> Result<Answer, ApiError> {
        self.set_retention(body, |hours, current| {
            (hours > i64::from(current)).then(|| {
                format!(
                    "Requested retention period ({hours} hours) for stream must not be longer than existing retention \
                     period ({current} hours). Use IncreaseRetentionPeriod."
                )
            })
        })
        .await
    }

    async fn set_retention(
        &self,
        body: &[u8],
        refuse: impl FnOnce(i64, u32) -> Option<String> + Send + 'static,
    ) -> Result<Answer, ApiError> {
        let request: RetentionPeriod = parse(body)?;
        let hours = required(request.retention_period_hours, "retentionPeriodHours")?;
        let minimum = i64::from(Stream::RETENTION_HOURS);
        if !(minimum..=MAX_RETENTION_HOURS).contains(&hours) {
            return Err(ApiError::invalid_argument(format!(
                "RetentionPeriodHours {hours} must be at least {minimum} and at most {MAX_RETENTION_HOURS} hours."
            )));
        }
        self.set(&request.target, move |stream, now| {
            if let Some(refusal) = refuse(hours, stream.retention_hours) {
                return Err(ApiError::invalid_argument(refusal));
            }
            // At least 24 and at most 8760, as checked above.
            stream.set_retention(hours as u32, now);
            Ok(())
        })
        .await
    }

    /// Changes a setting of an active stream, which then shows as being updated for a moment.
    async fn set(
        &self,
        target: &Target,
        set: impl FnOnce(&mut Stream, Millis) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<Answer, ApiError> {
        let name = self.target(target)?;
        self.alter(name, move |stream, moment| {
            stream.require_active(moment.now)?;
            set(stream, moment.now)?;
            stream.begin(Status::Updating, moment.now);
            Ok(())
        })
        .await?;
        Ok(Answer::Empty)
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateMaxRecordSize.html>
    pub(super) async fn update_max_record_size(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: UpdateMaxRecordSize = parse(body)?;
        let size = max_record_kib(required(request.max_record_size, "maxRecordSizeInKiB")?)?;
        self.set(&request.target, move |stream, _| {
            stream.max_record_kib = size;
            Ok(())
        })
        .await
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamMode.html>
    pub(super) async fn update_stream_mode(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: UpdateStreamMode = parse(body)?;
        required(request.target.stream_arn.as_ref(), "streamARN")?;
        let mode = required(mode(request.stream_mode_details.as_ref())?, "streamModeDetails")?;
        self.set(&request.target, move |stream, now| stream.switch_mode(mode, now)).await
    }

    /// Records the key; what is on this machine's disk is not encrypted by it.
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html>
    pub(super) async fn start_encryption(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let (target, key) = encryption(body)?;
        self.set(&target, move |stream, _| {
            stream.encryption_key = Some(key);
            Ok(())
        })
        .await
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StopStreamEncryption.html>
    pub(super) async fn stop_encryption(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let (target, _) = encryption(body)?;
        self.set(&target, |stream, _| {
            stream.encryption_key = None;
            Ok(())
        })
        .await
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_EnableEnhancedMonitoring.html>
    pub(super) async fn enable_monitoring(&self, body: &[u8]) -> Result<Answer, ApiError> {
        self.monitor(body, |current, named| current | named).await
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DisableEnhancedMonitoring.html>
    pub(super) async fn disable_monitoring(&self, body: &[u8]) -> Result<Answer, ApiError> {
        self.monitor(body, |current, named| current - named).await
    }

    async fn monitor(
        &self,
        body: &[u8],
        combine: fn(&BTreeSet<String>, &BTreeSet<String>) -> BTreeSet<String>,
    ) -> Result<Answer, ApiError> {
        let request: Monitoring = parse(body)?;
        let named = metrics(&required(request.shard_level_metrics, "shardLevelMetrics")?)?;
        let name = self.target(&request.target)?;
        let before = self.catalog.get(name, self.now())?.stream.shard_metrics.clone();
        let live = self
            .alter(name, move |stream, moment| {
                stream.require_active(moment.now)?;
                stream.shard_metrics = combine(&stream.shard_metrics, &named);
                Ok(())
            })
            .await?;
        Ok(json(&json!({
            "StreamName": live.stream.name,
            "StreamARN": self.stream_arn(&live.stream.name),
            "CurrentShardLevelMetrics": before,
            "DesiredShardLevelMetrics": live.stream.shard_metrics,
        })))
    }
}

fn encryption(body: &[u8]) -> Result<(Target, String), ApiError> {
    let request: Encryption = parse(body)?;
    let kind = required(request.encryption_type, "encryptionType")?;
    if kind != "KMS" {
        return Err(ApiError::validation("encryptionType", kind, "Member must satisfy enum value set: [KMS]"));
    }
    let key = required(request.key_id, "keyId")?;
    of_length(&key, "keyId", 1, 2048)?;
    Ok((request.target, key))
}

fn metrics(named: &[String]) -> Result<BTreeSet<String>, ApiError> {
    if named.is_empty() || named.len() > METRICS.len() {
        return Err(ApiError::validation(
            "shardLevelMetrics",
            format_args!("{named:?}"),
            format_args!("Member must have length between 1 and {}", METRICS.len()),
        ));
    }
    let mut metrics = BTreeSet::new();
    for metric in named {
        match metric.as_str() {
            "ALL" => metrics.extend(METRICS.iter().map(|name| (*name).to_owned())),
            known if METRICS.contains(&known) => {
                metrics.insert(known.to_owned());
            }
            other => {
                return Err(ApiError::validation(
                    "shardLevelMetrics",
                    other,
                    format_args!("Member must satisfy enum value set: [{}, ALL]", METRICS.join(", ")),
                ));
            }
        }
    }
    Ok(metrics)
}
