//! What a Pipeline needs in AWS before its stages start.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::stage::lease_table;
use super::{PipelineRef, PlanError, SinkTarget, StageConfig, StageKind, resource_name};
use crate::spec::{
    Billing, BillingMode, DeletionPolicy, Encryption, EncryptionType, Existing, KeyType, Kinesis, Pipeline, Sink,
    StreamMode, Table,
};
use crate::units;

/// What must exist before the stages start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Kinesis data streams.
    pub streams: Vec<StreamPlan>,
    /// DynamoDB tables: those of sinks, and a lease table for each sink.
    pub tables: Vec<TablePlan>,
    /// Buckets. Penstock creates them in its own engines only; in AWS a bucket is its owner's business.
    pub buckets: Vec<BucketPlan>,
}

/// A Kinesis data stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamPlan {
    /// Its name.
    pub name: String,
    /// Whose it is; written into its tags.
    pub owner: PipelineRef,
    /// The buffer that it is; written into its tags.
    pub part: String,
    /// Who decides the number of shards.
    pub mode: StreamMode,
    /// The number of shards; `None` on demand.
    pub shards: Option<u32>,
    /// How long records stay, in hours.
    pub retention_hours: u32,
    /// Whether one that keeps them longer may be shortened: the Pipeline says how long in as many words.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_shorten: bool,
    /// The largest record in KiB, its partition key included; left as it is when absent.
    #[serde(default, rename = "maxRecordSizeInKiB", skip_serializing_if = "Option::is_none")]
    pub max_record_kib: Option<u32>,
    /// How records are encrypted; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionPlan>,
    /// The lease tables of the sinks that read it.
    pub readers: Vec<String>,
    /// The consumers that sinks register with it under the names that they have by default. One that the Pipeline names itself
    /// may be somebody else's, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<String>,
    /// What to do with one that is there and not tagged as the owner's; the caller decides when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
    /// What happens to it when the Pipeline is deleted or names it no more.
    pub deletion_policy: DeletionPolicy,
}

impl StreamPlan {
    /// The largest record in KiB, its partition key included: what the Pipeline says, else the service's default.
    #[must_use]
    pub fn record_kib(&self) -> u32 {
        self.max_record_kib.unwrap_or(DEFAULT_RECORD_KIB)
    }
}

/// How records of a stream are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EncryptionPlan {
    /// Not at all.
    None,
    /// With this key of KMS.
    Kms(String),
}

/// A DynamoDB table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TablePlan {
    /// Its name.
    pub name: String,
    /// Whose it is; written into its tags.
    pub owner: PipelineRef,
    /// The sink that it belongs to; written into its tags.
    pub part: String,
    /// What it is for.
    pub purpose: TablePurpose,
    /// The partition key.
    pub partition: KeyAttribute,
    /// The sort key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<KeyAttribute>,
    /// The attribute by which DynamoDB deletes items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_attribute: Option<String>,
    /// How throughput is paid for; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<BillingPlan>,
    /// Whether it can be restored to any second of the last days; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_in_time_recovery: Option<bool>,
    /// Whether it cannot be deleted; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// What to do with one that is there and not tagged as the owner's; the caller decides when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
    /// What happens to it when the Pipeline is deleted or names it no more.
    pub deletion_policy: DeletionPolicy,
}

/// What a table is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TablePurpose {
    /// A sink's records.
    Data,
    /// A sink's leases. It also has the KCL's index by owner.
    Leases {
        /// The stream that they point into.
        stream: String,
    },
}

/// How a table's throughput is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BillingPlan {
    /// For each request.
    OnDemand,
    /// For a capacity.
    Provisioned {
        /// Reads of 4 KB a second.
        read: u32,
        /// Writes of 1 KB a second.
        write: u32,
    },
}

/// A key attribute of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub key_type: KeyType,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketPlan {
    /// Its name.
    pub name: String,
}

/// The largest record of a stream that was not told otherwise (UpdateMaxRecordSize API reference).
const DEFAULT_RECORD_KIB: u32 = 1024;
/// The key that AWS manages for streams.
const MANAGED_KEY: &str = "alias/aws/kinesis";

pub(super) fn streams(pipeline: &Pipeline) -> Result<Vec<StreamPlan>, PlanError> {
    let owner = owner(pipeline);
    pipeline
        .spec
        .buffers
        .iter()
        .map(|buffer| {
            let part = || format!("buffer {:?}", buffer.name);
            let kinesis =
                buffer.kinesis.as_ref().ok_or_else(|| PlanError::NothingChosen { part: part(), members: "kinesis" })?;
            let retention = kinesis.retention.as_deref().unwrap_or("24h");
            let retention = units::duration(retention).map_err(|source| PlanError::Unit { part: part(), source })?;
            let readers = || pipeline.spec.sinks.iter().filter(|sink| sink.from == buffer.name);
            Ok(StreamPlan {
                name: kinesis.stream_name.clone().unwrap_or_else(|| resource_name(pipeline, &buffer.name)),
                owner: owner.clone(),
                part: buffer.name.clone(),
                may_shorten: kinesis.retention.is_some(),
                max_record_kib: max_record_kib(kinesis).map_err(|source| PlanError::Unit { part: part(), source })?,
                encryption: kinesis.encryption.as_ref().map(encryption),
                readers: readers().map(|sink| lease_table(pipeline, sink)).collect(),
                consumers: readers().filter_map(|sink| default_consumer(pipeline, sink)).collect(),
                mode: kinesis.mode.unwrap_or_default(),
                shards: kinesis.shards.and_then(|shards| u32::try_from(shards).ok()),
                existing: kinesis.existing,
                retention_hours: u32::try_from(retention.as_secs() / 3600).unwrap_or(u32::MAX),
                deletion_policy: kinesis.deletion_policy.unwrap_or_default(),
            })
        })
        .collect()
}

fn default_consumer(pipeline: &Pipeline, sink: &Sink) -> Option<String> {
    let fan_out = sink.reading.as_ref()?.fan_out.as_ref()?;
    fan_out.consumer.is_none().then(|| resource_name(pipeline, &sink.name))
}

fn max_record_kib(kinesis: &Kinesis) -> Result<Option<u32>, units::InvalidUnit> {
    let bytes = kinesis.max_record_size.as_deref().map(units::size).transpose()?;
    Ok(bytes.map(|bytes| u32::try_from(bytes / 1024).unwrap_or(u32::MAX)))
}

fn encryption(encryption: &Encryption) -> EncryptionPlan {
    match encryption.encryption_type {
        EncryptionType::None => EncryptionPlan::None,
        EncryptionType::Kms => EncryptionPlan::Kms(encryption.key_id.clone().unwrap_or_else(|| MANAGED_KEY.to_owned())),
    }
}

fn billing(billing: &Billing) -> BillingPlan {
    let units = |units: Option<i32>| units.and_then(|units| u32::try_from(units).ok()).unwrap_or(1);
    match billing.mode {
        BillingMode::OnDemand => BillingPlan::OnDemand,
        BillingMode::Provisioned => BillingPlan::Provisioned {
            read: units(billing.read_capacity_units),
            write: units(billing.write_capacity_units),
        },
    }
}

pub(super) fn of(pipeline: &Pipeline, streams: Vec<StreamPlan>, stages: &[StageConfig]) -> Resources {
    let owner = owner(pipeline);
    let mut tables: Vec<TablePlan> = Vec::new();
    let mut buckets = BTreeSet::new();
    for stage in stages {
        let StageKind::Sink(sink) = &stage.kind else { continue };
        buckets.insert(BucketPlan { name: sink.dead_letters_bucket.clone() });
        match &sink.target {
            SinkTarget::S3(s3) => {
                buckets.insert(BucketPlan { name: s3.bucket.clone() });
            }
            SinkTarget::DynamoDb(dynamodb) => {
                for table in &dynamodb.tables {
                    let key = |key: &crate::spec::KeyField| KeyAttribute {
                        name: key.attribute_name().to_owned(),
                        key_type: key.key_type,
                    };
                    let written = as_written(pipeline, &table.name);
                    tables.push(TablePlan {
                        name: table.name.clone(),
                        owner: owner.clone(),
                        part: stage.name.clone(),
                        purpose: TablePurpose::Data,
                        partition: key(&table.partition),
                        sort: table.sort.as_ref().map(key),
                        ttl_attribute: table.ttl.as_ref().map(|ttl| ttl.field.clone()),
                        billing: written.and_then(|table| table.billing.as_ref()).map(billing),
                        point_in_time_recovery: written.and_then(|table| table.point_in_time_recovery),
                        deletion_protection: written.and_then(|table| table.deletion_protection),
                        existing: written.and_then(|table| table.existing),
                        deletion_policy: written.and_then(|table| table.deletion_policy).unwrap_or_default(),
                    });
                }
            }
        }
        tables.push(TablePlan {
            name: sink.lease_table.clone(),
            owner: owner.clone(),
            part: stage.name.clone(),
            purpose: TablePurpose::Leases { stream: sink.stream.clone() },
            partition: KeyAttribute { name: "leaseKey".to_owned(), key_type: KeyType::S },
            sort: None,
            ttl_attribute: None,
            billing: None,
            point_in_time_recovery: None,
            deletion_protection: None,
            existing: None,
            deletion_policy: lease_deletion_policy(pipeline, &stage.name),
        });
    }
    Resources { streams, tables, buckets: buckets.into_iter().collect() }
}

fn owner(pipeline: &Pipeline) -> PipelineRef {
    PipelineRef { namespace: pipeline.metadata.namespace().to_owned(), name: pipeline.metadata.name.clone() }
}

/// The table as the Pipeline has it. A table stands in one sink only.
fn as_written<'a>(pipeline: &'a Pipeline, table: &str) -> Option<&'a Table> {
    pipeline
        .spec
        .sinks
        .iter()
        .filter_map(|sink| sink.dynamodb.as_ref())
        .flat_map(|dynamodb| &dynamodb.tables)
        .find(|candidate| candidate.name == table)
}

/// Leases are worth as much as the stream they point into, so they share its fate.
fn lease_deletion_policy(pipeline: &Pipeline, sink: &str) -> DeletionPolicy {
    pipeline
        .spec
        .sinks
        .iter()
        .find(|candidate| candidate.name == sink)
        .and_then(|sink| pipeline.spec.buffers.iter().find(|buffer| buffer.name == sink.from))
        .and_then(|buffer| buffer.kinesis.as_ref())
        .and_then(|kinesis| kinesis.deletion_policy)
        .unwrap_or_default()
}
