//! A table's keys in DynamoDB's terms.

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, GlobalSecondaryIndex, KeySchemaElement, KeyType as KeyRole, Projection, ProjectionType,
    ScalarAttributeType,
};
use penstock_api::plan::{TablePlan, TablePurpose};

/// The KCL's index of leases by owner: only keys, so that a lease counter that moves does not touch it.
const OWNER_INDEX: &str = "LeaseOwnerToLeaseKeyIndex";
/// The attribute that holds a lease's owner, the index's partition key.
const OWNER_ATTRIBUTE: &str = "leaseOwner";

/// A table's keys in DynamoDB's terms.
pub(super) struct Keys {
    pub(super) attributes: Vec<AttributeDefinition>,
    pub(super) schema: Vec<KeySchemaElement>,
    pub(super) indexes: Option<Vec<GlobalSecondaryIndex>>,
}

impl Keys {
    pub(super) fn of(plan: &TablePlan) -> Result<Self, BuildError> {
        let mut attributes = vec![attribute(&plan.partition.name, plan.partition.key_type.as_str())?];
        let mut schema = vec![element(&plan.partition.name, KeyRole::Hash)?];
        if let Some(sort) = &plan.sort {
            attributes.push(attribute(&sort.name, sort.key_type.as_str())?);
            schema.push(element(&sort.name, KeyRole::Range)?);
        }
        let indexes = match &plan.purpose {
            TablePurpose::Data => None,
            TablePurpose::Leases { .. } => {
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
