//! One function a call of DynamoDB.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata as _};
use aws_sdk_dynamodb::types::{
    BillingMode, KeyType as KeyRole, PointInTimeRecoverySpecification, PointInTimeRecoveryStatus,
    ProvisionedThroughput, TableDescription, TableStatus, Tag, TimeToLiveSpecification, TimeToLiveStatus,
};
use penstock_api::plan::{BillingPlan, PipelineRef, TablePlan};

use super::decide::{Seen, SeenKey, State, Ttl, Wanted};
use super::keys::Keys;
use crate::Options;
use crate::error::CallError;
use crate::ownership::{self, Owner};
use crate::pace::limited;

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html>
pub(super) async fn see(
    name: &str,
    asks: &PipelineRef,
    wanted: Wanted,
    dynamodb: &Client,
    options: &Options,
) -> Result<Option<Seen>, CallError> {
    let doing = || format!("looking at the table {name:?}");
    let call = dynamodb.describe_table().table_name(name).send();
    let answer = match limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error)) {
        Ok(answer) => answer,
        Err(CallError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(table) = answer.table else { return Ok(None) };
    let state = state(&table);
    let arn = table.table_arn.clone().unwrap_or_default();
    let owner = owner(name, &arn, asks, dynamodb, options).await?;
    // A table that is being created has no settings yet.
    let is_active = state == State::Active;
    Ok(Some(Seen {
        state,
        partition: key(&table, &KeyRole::Hash),
        sort: key(&table, &KeyRole::Range),
        ttl: if wanted.ttl && is_active { ttl(name, dynamodb).await? } else { Ttl::Off },
        recovery: if wanted.recovery && is_active { Some(recovery(name, dynamodb).await?) } else { None },
        protection: table.deletion_protection_enabled.unwrap_or(false),
        billing: billing(&table),
        indexes: table.global_secondary_indexes().len(),
        owner,
        age: ownership::age(table.creation_date_time.and_then(|made_at| made_at.try_into().ok())),
        arn,
    }))
}

fn state(table: &TableDescription) -> State {
    match table.table_status {
        Some(TableStatus::Active) => State::Active,
        Some(TableStatus::Deleting) => State::Deleting,
        Some(TableStatus::Archived | TableStatus::InaccessibleEncryptionCredentials) => State::Unusable,
        _ => State::Changing,
    }
}

fn key(table: &TableDescription, role: &KeyRole) -> Option<SeenKey> {
    let name = table.key_schema().iter().find(|key| key.key_type == *role)?.attribute_name.clone();
    let definition = table.attribute_definitions().iter().find(|attribute| attribute.attribute_name == name)?;
    Some(SeenKey { key_type: definition.attribute_type.as_str().to_owned(), name })
}

/// A table that was never on demand has no summary.
fn billing(table: &TableDescription) -> BillingPlan {
    let mode = table.billing_mode_summary.as_ref().and_then(|summary| summary.billing_mode.as_ref());
    if mode == Some(&BillingMode::PayPerRequest) {
        return BillingPlan::OnDemand;
    }
    let throughput = table.provisioned_throughput.as_ref();
    let units = |units: Option<i64>| units.and_then(|units| u32::try_from(units).ok()).unwrap_or(0);
    BillingPlan::Provisioned {
        read: units(throughput.and_then(|throughput| throughput.read_capacity_units)),
        write: units(throughput.and_then(|throughput| throughput.write_capacity_units)),
    }
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListTagsOfResource.html>, 10 calls a second, in
/// pages.
async fn owner(
    name: &str,
    arn: &str,
    asks: &PipelineRef,
    dynamodb: &Client,
    options: &Options,
) -> Result<Owner, CallError> {
    let doing = || format!("reading the tags of the table {name:?}");
    let mut tags = HashMap::new();
    let mut next = None;
    loop {
        let call = dynamodb.list_tags_of_resource().resource_arn(arn).set_next_token(next).send();
        let answer = limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error))?;
        tags.extend(answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)));
        next = answer.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(ownership::owner(&tags, asks, options.cluster.as_deref()));
        }
    }
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTimeToLive.html>, 10 calls a second.
async fn ttl(name: &str, dynamodb: &Client) -> Result<Ttl, CallError> {
    let doing = || format!("reading the time to live of the table {name:?}");
    let call = dynamodb.describe_time_to_live().table_name(name).send();
    let answer = limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error))?;
    let description = answer.time_to_live_description;
    let attribute = description.as_ref().and_then(|ttl| ttl.attribute_name.clone()).unwrap_or_default();
    Ok(match description.and_then(|ttl| ttl.time_to_live_status) {
        // Switching it on takes up to an hour, in which the table works and items merely live longer.
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) => Ttl::On(attribute),
        Some(TimeToLiveStatus::Disabling) => Ttl::Ending,
        _ => Ttl::Off,
    })
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeContinuousBackups.html>, 10 calls a second.
async fn recovery(name: &str, dynamodb: &Client) -> Result<bool, CallError> {
    let doing = || format!("reading the backups of the table {name:?}");
    let call = dynamodb.describe_continuous_backups().table_name(name).send();
    let answer = limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error))?;
    let recovery = answer.continuous_backups_description.and_then(|backups| backups.point_in_time_recovery_description);
    let status = recovery.and_then(|recovery| recovery.point_in_time_recovery_status);
    Ok(status == Some(PointInTimeRecoveryStatus::Enabled))
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html>
pub(super) async fn create(plan: &TablePlan, dynamodb: &Client, options: &Options) -> Result<(), CallError> {
    let doing = || format!("creating the table {:?}", plan.name);
    let keys = Keys::of(plan).map_err(incomplete)?;
    let (mode, throughput) = billing_of(plan.billing.unwrap_or(BillingPlan::OnDemand)).map_err(incomplete)?;
    let call = dynamodb
        .create_table()
        .table_name(&plan.name)
        .billing_mode(mode)
        .set_provisioned_throughput(throughput)
        .set_deletion_protection_enabled(plan.deletion_protection)
        .set_attribute_definitions(Some(keys.attributes))
        .set_key_schema(Some(keys.schema))
        .set_global_secondary_indexes(keys.indexes)
        .set_tags(Some(tags(plan, options).map_err(incomplete)?))
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// A request that the SDK takes for incomplete.
fn incomplete(error: BuildError) -> CallError {
    CallError::Passing(Box::new(error))
}

fn billing_of(billing: BillingPlan) -> Result<(BillingMode, Option<ProvisionedThroughput>), BuildError> {
    let BillingPlan::Provisioned { read, write } = billing else { return Ok((BillingMode::PayPerRequest, None)) };
    let throughput = ProvisionedThroughput::builder()
        .read_capacity_units(i64::from(read))
        .write_capacity_units(i64::from(write))
        .build()?;
    Ok((BillingMode::Provisioned, Some(throughput)))
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html>, one change a call.
pub(super) async fn bill(plan: &TablePlan, billing: BillingPlan, dynamodb: &Client) -> Result<(), CallError> {
    let doing = || format!("changing the billing of the table {:?}", plan.name);
    let (mode, throughput) = billing_of(billing).map_err(incomplete)?;
    let call =
        dynamodb.update_table().table_name(&plan.name).billing_mode(mode).set_provisioned_throughput(throughput).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html>, one change a call.
pub(super) async fn protect(plan: &TablePlan, wanted: bool, dynamodb: &Client) -> Result<(), CallError> {
    let doing = || format!("changing the deletion protection of the table {:?}", plan.name);
    let call = dynamodb.update_table().table_name(&plan.name).deletion_protection_enabled(wanted).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateContinuousBackups.html>
pub(super) async fn set_recovery(plan: &TablePlan, wanted: bool, dynamodb: &Client) -> Result<(), CallError> {
    let doing = || format!("changing the point-in-time recovery of the table {:?}", plan.name);
    let specification = PointInTimeRecoverySpecification::builder()
        .point_in_time_recovery_enabled(wanted)
        .build()
        .map_err(incomplete)?;
    let call = dynamodb
        .update_continuous_backups()
        .table_name(&plan.name)
        .point_in_time_recovery_specification(specification)
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html>, once an hour for a table: a
/// second time it is called invalid.
pub(super) async fn set_ttl(
    plan: &TablePlan,
    attribute: &str,
    enabled: bool,
    dynamodb: &Client,
) -> Result<(), CallError> {
    let doing = || format!("changing the time to live of the table {:?}", plan.name);
    let specification =
        TimeToLiveSpecification::builder().enabled(enabled).attribute_name(attribute).build().map_err(incomplete)?;
    let call = dynamodb.update_time_to_live().table_name(&plan.name).time_to_live_specification(specification).send();
    match limited(call).await? {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some("ValidationException") => Err(CallError::Limited(Box::new(error))),
        Err(error) => Err(CallError::from_sdk(doing(), error)),
    }
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TagResource.html>, 5 calls a second.
pub(super) async fn tag(plan: &TablePlan, arn: &str, dynamodb: &Client, options: &Options) -> Result<(), CallError> {
    let doing = || format!("tagging the table {:?}", plan.name);
    let tags = tags(plan, options).map_err(incomplete)?;
    let call = dynamodb.tag_resource().resource_arn(arn).set_tags(Some(tags)).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteTable.html>
pub(super) async fn delete(name: &str, dynamodb: &Client) -> Result<(), CallError> {
    let doing = || format!("deleting the table {name:?}");
    let call = dynamodb.delete_table().table_name(name).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

fn tags(plan: &TablePlan, options: &Options) -> Result<Vec<Tag>, BuildError> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build();
    ownership::tags(&plan.owner, &plan.part, options.cluster.as_deref()).into_iter().map(tag).collect()
}
