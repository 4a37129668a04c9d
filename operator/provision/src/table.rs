//! Tables: one function a call of DynamoDB, around [`decide`].

mod decide;

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType as KeyRole, Projection,
    ProjectionType, ScalarAttributeType, TableDescription, TableStatus, Tag, TimeToLiveSpecification, TimeToLiveStatus,
};
use penstock_api::plan::{TablePlan, TablePurpose};

use self::decide::{Seen, SeenKey, State, Step, Ttl, next_step};
use crate::error::{CallError, Kind, ProvisionError};
use crate::ownership::{self, Owner};
use crate::pace::{Look, limited, until_ready};
use crate::removal::Removal;
use crate::{Options, Origin, Provisioned};

/// The KCL's index of leases by owner: only keys, so that a lease counter that moves does not touch it.
const OWNER_INDEX: &str = "LeaseOwnerToLeaseKeyIndex";
/// The attribute that holds a lease's owner, the index's partition key.
const OWNER_ATTRIBUTE: &str = "leaseOwner";

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
    let seen = see(plan, dynamodb, options).await?;
    match next_step(plan, options, seen.as_ref()).map_err(CallError::Lasting)? {
        Step::Create => {
            create(plan, dynamodb, options).await?;
            created.store(true, Ordering::Relaxed);
            Ok(Look::Again("the table is being created"))
        }
        Step::SetTtl(attribute) => {
            set_ttl(plan, &attribute, dynamodb).await?;
            Ok(Look::Again("the table's time to live is being switched on"))
        }
        Step::Adopt => {
            tag(plan, seen.map(|seen| seen.arn).unwrap_or_default(), dynamodb, options).await?;
            Ok(Look::Again("the table is being tagged as this Pipeline's"))
        }
        Step::Wait(state) => Ok(Look::Again(state)),
        Step::Ready(drift) => {
            let owner = seen.map_or(Owner::Nobody, |seen| seen.owner);
            let origin = Origin::of(created.load(Ordering::Relaxed), &owner);
            Ok(Look::Ready(Provisioned { kind: Kind::Table, name: plan.name.clone(), origin, drift }))
        }
    }
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html>
async fn see(plan: &TablePlan, dynamodb: &Client, options: &Options) -> Result<Option<Seen>, CallError> {
    let doing = || format!("looking at the table {:?}", plan.name);
    let call = dynamodb.describe_table().table_name(&plan.name).send();
    let answer = match limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error)) {
        Ok(answer) => answer,
        Err(CallError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(table) = answer.table else { return Ok(None) };
    let state = state(&table);
    let arn = table.table_arn.clone().unwrap_or_default();
    let owner = owner(plan, &arn, dynamodb, options).await?;
    // A table that is being created has no settings yet.
    let ttl = match (&plan.ttl_attribute, state) {
        (Some(_), State::Active) => ttl(plan, dynamodb).await?,
        _ => Ttl::Off,
    };
    Ok(Some(Seen {
        state,
        partition: key(&table, &KeyRole::Hash),
        sort: key(&table, &KeyRole::Range),
        ttl,
        owner,
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

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListTagsOfResource.html>, 10 calls a second, in
/// pages.
async fn owner(plan: &TablePlan, arn: &str, dynamodb: &Client, options: &Options) -> Result<Owner, CallError> {
    let doing = || format!("reading the tags of the table {:?}", plan.name);
    let mut tags = std::collections::HashMap::new();
    let mut next = None;
    loop {
        let call = dynamodb.list_tags_of_resource().resource_arn(arn).set_next_token(next).send();
        let answer = limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error))?;
        tags.extend(answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)));
        next = answer.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(ownership::owner(&tags, &plan.owner, options.cluster.as_deref()));
        }
    }
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTimeToLive.html>
async fn ttl(plan: &TablePlan, dynamodb: &Client) -> Result<Ttl, CallError> {
    let doing = || format!("reading the time to live of the table {:?}", plan.name);
    let call = dynamodb.describe_time_to_live().table_name(&plan.name).send();
    let answer = limited(call).await?.map_err(|error| CallError::from_sdk(doing(), error))?;
    let description = answer.time_to_live_description;
    let attribute = description.as_ref().and_then(|ttl| ttl.attribute_name.clone()).unwrap_or_default();
    Ok(match description.and_then(|ttl| ttl.time_to_live_status) {
        // Switching it on takes up to an hour, in which the table works and items merely live longer.
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) => Ttl::On(attribute),
        Some(TimeToLiveStatus::Disabling) => Ttl::Changing,
        _ => Ttl::Off,
    })
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html>
async fn create(plan: &TablePlan, dynamodb: &Client, options: &Options) -> Result<(), CallError> {
    let doing = || format!("creating the table {:?}", plan.name);
    let incomplete = |error: BuildError| CallError::Passing(Box::new(error));
    let keys = Keys::of(plan).map_err(incomplete)?;
    let call = dynamodb
        .create_table()
        .table_name(&plan.name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(keys.attributes))
        .set_key_schema(Some(keys.schema))
        .set_global_secondary_indexes(keys.indexes)
        .set_tags(Some(tags(plan, options).map_err(incomplete)?))
        .send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html>
async fn set_ttl(plan: &TablePlan, attribute: &str, dynamodb: &Client) -> Result<(), CallError> {
    let doing = || format!("switching on the time to live of the table {:?}", plan.name);
    let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute).build();
    let specification = specification.map_err(|error| CallError::Passing(Box::new(error)))?;
    let call = dynamodb.update_time_to_live().table_name(&plan.name).time_to_live_specification(specification).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TagResource.html>, 5 calls a second.
async fn tag(plan: &TablePlan, arn: String, dynamodb: &Client, options: &Options) -> Result<(), CallError> {
    let doing = || format!("tagging the table {:?}", plan.name);
    let tags = tags(plan, options).map_err(|error| CallError::Passing(Box::new(error)))?;
    let call = dynamodb.tag_resource().resource_arn(arn).set_tags(Some(tags)).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

/// One step towards the table being gone, when it is this Pipeline's.
pub(crate) async fn remove(plan: &TablePlan, dynamodb: &Client, options: &Options) -> Result<Look<Removal>, CallError> {
    let Some(seen) = see(plan, dynamodb, options).await? else { return Ok(Look::Ready(Removal::Gone)) };
    match (seen.owner, seen.state) {
        (Owner::Another(_) | Owner::Nobody, _) => Ok(Look::Ready(Removal::NotOurs)),
        (Owner::Ours, State::Deleting) => Ok(Look::Again("the table is being deleted")),
        (Owner::Ours, _) => {
            delete(plan, dynamodb).await?;
            Ok(Look::Again("the table is being deleted"))
        }
    }
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteTable.html>
async fn delete(plan: &TablePlan, dynamodb: &Client) -> Result<(), CallError> {
    let doing = || format!("deleting the table {:?}", plan.name);
    let call = dynamodb.delete_table().table_name(&plan.name).send();
    limited(call).await?.map(drop).map_err(|error| CallError::from_sdk(doing(), error))
}

fn tags(plan: &TablePlan, options: &Options) -> Result<Vec<Tag>, BuildError> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build();
    ownership::tags(&plan.owner, options.cluster.as_deref()).into_iter().map(tag).collect()
}

/// A table's keys in DynamoDB's terms.
struct Keys {
    attributes: Vec<AttributeDefinition>,
    schema: Vec<KeySchemaElement>,
    indexes: Option<Vec<GlobalSecondaryIndex>>,
}

impl Keys {
    fn of(plan: &TablePlan) -> Result<Self, BuildError> {
        let mut attributes = vec![attribute(&plan.partition.name, plan.partition.key_type.as_str())?];
        let mut schema = vec![element(&plan.partition.name, KeyRole::Hash)?];
        if let Some(sort) = &plan.sort {
            attributes.push(attribute(&sort.name, sort.key_type.as_str())?);
            schema.push(element(&sort.name, KeyRole::Range)?);
        }
        let indexes = match plan.purpose {
            TablePurpose::Data => None,
            TablePurpose::Leases => {
                attributes.push(attribute(OWNER_ATTRIBUTE, "S")?);
                Some(vec![owner_index(&plan.partition.name)?])
            }
        };
        Ok(Self { attributes, schema, indexes })
    }
}

fn owner_index(lease_key: &str) -> Result<GlobalSecondaryIndex, BuildError> {
    GlobalSecondaryIndex::builder()
        .index_name(OWNER_INDEX)
        .key_schema(element(OWNER_ATTRIBUTE, KeyRole::Hash)?)
        .key_schema(element(lease_key, KeyRole::Range)?)
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
        .build()
}

fn attribute(name: &str, key_type: &str) -> Result<AttributeDefinition, BuildError> {
    AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::from(key_type)).build()
}

fn element(name: &str, role: KeyRole) -> Result<KeySchemaElement, BuildError> {
    KeySchemaElement::builder().attribute_name(name).key_type(role).build()
}
