//! JSON as DynamoDB's attribute values, and what an item may be.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use penstock_contract::Rejection;
use penstock_process::{FieldView, RowView};
use serde_json::{Map, Value};

use crate::decimal::Decimal;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// The largest item, names included (DynamoDB developer guide, "Constraints": items).
pub(crate) const MAX_ITEM_BYTES: usize = 400 * 1024;
/// How many lists and maps may stand around a value (as above, "nested attributes": 32 levels with the
/// attribute itself).
const MAX_NESTING: usize = 31;
/// What a list or a map costs besides its contents.
const CONTAINER_BYTES: usize = 3;

/// What the fields of a row cost as attributes of an item, if they can be attributes at all.
pub(crate) fn measure(row: RowView<'_>) -> Result<usize, Rejection> {
    row.fields().try_fold(0, |sum, (name, value)| Ok(sum + name.len() + measure_field(name, value)?))
}

/// What a field's value costs, if it can be an attribute's.
pub(crate) fn measure_field(name: &str, value: FieldView<'_>) -> Result<usize, Rejection> {
    if name.is_empty() {
        return Err(Rejection::new("attribute_name_empty", "a field has an empty name, which no attribute can have"));
    }
    measure_value(value, 0).map_err(|unfit| unfit.rejection(name))
}

/// Why a value is none of DynamoDB's.
#[derive(Debug)]
enum Unfit {
    Number(String),
    Depth,
    EmptyName,
}

impl Unfit {
    fn rejection(self, field: &str) -> Rejection {
        let rejection = match self {
            Self::Number(number) => {
                let message = format!("{field}: the number {number} is beyond what DynamoDB holds (1E-130 to 9.9E125)");
                Rejection::new("number_out_of_range", message)
            }
            Self::Depth => {
                let message = format!("{field}: nests deeper than the 32 levels that DynamoDB takes");
                Rejection::new("too_deep", message)
            }
            Self::EmptyName => {
                let message = format!("{field}: has an empty name within, which no attribute can have");
                Rejection::new("attribute_name_empty", message)
            }
        };
        rejection.at(field)
    }
}

/// Sizes as in the developer guide, "DynamoDB item sizes and formats".
fn measure_value(value: FieldView<'_>, around: usize) -> Result<usize, Unfit> {
    match value {
        FieldView::Null | FieldView::Bool(_) => Ok(1),
        FieldView::Text(text) => Ok(text.len()),
        FieldView::Number(number) => {
            Decimal::from_number(number).map(Decimal::size).ok_or_else(|| Unfit::Number(number.text().into_owned()))
        }
        FieldView::Array(_) | FieldView::Object(_) if around == MAX_NESTING => Err(Unfit::Depth),
        FieldView::Array(values) => {
            values.iter().try_fold(CONTAINER_BYTES, |sum, value| Ok(sum + 1 + measure_value(value.into(), around + 1)?))
        }
        FieldView::Object(fields) => fields.iter().try_fold(CONTAINER_BYTES, |sum, (name, value)| {
            if name.is_empty() {
                return Err(Unfit::EmptyName);
            }
            Ok(sum + 1 + name.len() + measure_value(value.into(), around + 1)?)
        }),
    }
}

/// A value that was measured, as attribute value.
pub(crate) fn attribute(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(value),
        Value::String(text) => AttributeValue::S(text),
        Value::Number(number) => AttributeValue::N(
            Decimal::from_json(&number).map_or_else(|| number.to_string(), |decimal| decimal.to_string()),
        ),
        Value::Array(values) => AttributeValue::L(values.into_iter().map(attribute).collect()),
        Value::Object(fields) => AttributeValue::M(attributes(fields)),
    }
}

/// Fields that were measured, as attributes.
pub(crate) fn attributes(fields: Map<String, Value>) -> Item {
    fields.into_iter().map(|(name, value)| (name, attribute(value))).collect()
}

/// Refuses an item that is too large.
pub(crate) fn check_size(table: &str, bytes: usize) -> Result<(), Rejection> {
    if bytes <= MAX_ITEM_BYTES {
        return Ok(());
    }
    let message = format!("the item for the table {table} has {bytes} bytes; DynamoDB takes at most {MAX_ITEM_BYTES}");
    Err(Rejection::new("item_too_large", message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use penstock_process::look_at;
    use serde_json::json;

    use super::*;

    fn measured(value: &Value) -> Result<usize, Rejection> {
        look_at(value.to_string().as_bytes(), measure)
    }

    #[test]
    fn items_cost_what_the_developer_guide_says() {
        assert_eq!(measured(&json!({})), Ok(0));
        assert_eq!(measured(&json!({"é": "aé"})), Ok(2 + 3));
        assert_eq!(measured(&json!({"n": null, "b": true, "x": 42})), Ok(2 + 2 + 3));
        assert_eq!(measured(&json!({"l": ["a", 1]})), Ok(1 + 3 + 2 + 1 + 2));
        assert_eq!(measured(&json!({"m": {"ab": "c"}})), Ok(1 + 3 + 1 + 2 + 1));
    }

    #[test]
    fn what_no_attribute_can_be_is_rejected_with_its_field() {
        let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert!(measured(&json!({"deep": nested(MAX_NESTING)})).is_ok());
        for (row, reason, field) in [
            (json!({"deep": nested(MAX_NESTING + 1)}), "too_deep", Some("deep")),
            (json!({"a": {"b": [1e126]}}), "number_out_of_range", Some("a")),
            (json!({"a": {"": 1}}), "attribute_name_empty", Some("a")),
            (json!({"": 1}), "attribute_name_empty", None),
        ] {
            let rejection = measured(&row).unwrap_err();
            assert_eq!((rejection.reason.as_ref(), rejection.field.as_deref()), (reason, field), "{row}");
        }
    }

    #[test]
    fn values_become_attributes() {
        let item = attributes(
            json!({"s": "", "n": 2.50, "b": false, "z": null, "l": [1], "m": {"x": "y"}}).as_object().unwrap().clone(),
        );
        assert_eq!(item["s"], AttributeValue::S(String::new()));
        assert_eq!(item["n"], AttributeValue::N("2.5".into()));
        assert_eq!(item["b"], AttributeValue::Bool(false));
        assert_eq!(item["z"], AttributeValue::Null(true));
        assert_eq!(item["l"], AttributeValue::L(vec![AttributeValue::N("1".into())]));
        assert_eq!(item["m"].as_m().unwrap()["x"], AttributeValue::S("y".into()));
    }
}
