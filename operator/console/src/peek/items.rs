//! Items of a table by their key.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_api::plan::{KeyAttribute, TablePlan};
use penstock_api::spec::KeyType;
use serde_json::{Map, Value, json};

use super::{PeekError, SHOWN};
use crate::subject::Stores;

pub(super) async fn by_key(
    stores: &Stores,
    table: &TablePlan,
    partition: &str,
    sort: Option<&str>,
) -> Result<Value, PeekError> {
    let mut request = stores
        .dynamodb
        .query()
        .table_name(&table.name)
        .limit(i32::try_from(SHOWN).unwrap_or(i32::MAX))
        .expression_attribute_names("#p", &table.partition.name)
        .expression_attribute_values(":p", value(&table.partition, partition)?);
    let mut condition = "#p = :p".to_owned();
    if let (Some(key), Some(sort)) = (&table.sort, sort) {
        let is_text = key.key_type == KeyType::S;
        condition.push_str(if is_text { " AND begins_with(#s, :s)" } else { " AND #s = :s" });
        request =
            request.expression_attribute_names("#s", &key.name).expression_attribute_values(":s", value(key, sort)?);
    }
    let answer = request.key_condition_expression(condition).send().await;
    let answer = answer.map_err(|error| PeekError::of(format!("reading table {}", table.name), &error))?;
    let items = answer.items().iter().map(|item| {
        let fields: Map<_, _> = item.iter().map(|(name, value)| (name.clone(), json_of(value))).collect();
        Value::Object(fields)
    });
    Ok(json!({
        "table": table.name,
        "items": items.collect::<Vec<_>>(),
        "more": answer.last_evaluated_key().is_some(),
    }))
}

/// A key as people write it; one of bytes as base64, as it stands in records.
fn value(key: &KeyAttribute, text: &str) -> Result<AttributeValue, PeekError> {
    Ok(match key.key_type {
        KeyType::S => AttributeValue::S(text.to_owned()),
        KeyType::N => AttributeValue::N(text.to_owned()),
        KeyType::B => {
            let bytes = STANDARD
                .decode(text)
                .map_err(|error| PeekError::of(format!("reading {} as base64", key.name), &error))?;
            AttributeValue::B(Blob::new(bytes))
        }
    })
}

/// As JSON. A number stays as it is written: it may have more digits than a float.
fn json_of(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.as_str().into(),
        AttributeValue::Bool(yes) => (*yes).into(),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::L(list) => list.iter().map(json_of).collect(),
        AttributeValue::M(map) => {
            map.iter().map(|(name, value)| (name.clone(), json_of(value))).collect::<Map<_, _>>().into()
        }
        AttributeValue::Ss(set) | AttributeValue::Ns(set) => set.iter().map(String::as_str).collect(),
        AttributeValue::B(bytes) => format!("{} bytes", bytes.as_ref().len()).into(),
        _ => "a value that is not shown".into(),
    }
}
