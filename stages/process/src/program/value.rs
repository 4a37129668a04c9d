//! Between JSON and VRL's values, without losing a digit or a byte in silence.

use penstock_contract::Rejection;
use serde_json::{Map, Number, Value as Json};
use vrl::value::{KeyString, ObjectMap, Value};

use crate::{FieldView, NumberView, Row, RowView};

/// The whole row as an event.
pub(super) fn from_row(row: RowView<'_>) -> Result<Value, Rejection> {
    let fields = row.fields().map(|(name, value)| Ok((KeyString::from(name), from_field(name, value)?)));
    fields.collect::<Result<_, _>>().map(Value::Object)
}

/// Some fields of the row as an event.
pub(super) fn from_fields(row: RowView<'_>, fields: &[String]) -> Result<Value, Rejection> {
    let mut object = ObjectMap::new();
    for name in fields {
        if let Some(value) = row.named(name) {
            object.insert(KeyString::from(name.as_str()), from_field(name, value)?);
        }
    }
    Ok(Value::Object(object))
}

fn from_field(name: &str, value: FieldView<'_>) -> Result<Value, Rejection> {
    Ok(match value {
        FieldView::Null => Value::Null,
        FieldView::Bool(value) => Value::Boolean(value),
        FieldView::Text(text) => Value::from(text),
        FieldView::Number(NumberView::Parsed(number)) => from_number(name, number)?,
        FieldView::Number(NumberView::Flat(number)) => match number.whole() {
            Some(whole) => Value::Integer(whole),
            // A short number is never NaN, so this never falls back to zero.
            None => Value::from_f64_or_zero(number.float().unwrap_or_default()),
        },
        FieldView::Array(values) => {
            Value::Array(values.iter().map(|value| from_field(name, value.into())).collect::<Result<_, _>>()?)
        }
        FieldView::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let value = from_field(name, value.into())?;
                Ok((KeyString::from(name.as_str()), value))
            });
            Value::Object(fields.collect::<Result<_, _>>()?)
        }
    })
}

fn from_number(name: &str, number: &Number) -> Result<Value, Rejection> {
    if let Some(whole) = number.as_i64() {
        return Ok(Value::Integer(whole));
    }
    match number.as_f64() {
        // JSON has no NaN, so this never falls back to zero.
        Some(float) if number.is_f64() => Ok(Value::from_f64_or_zero(float)),
        _ => {
            let message =
                format!("the whole number {number} is beyond {}, the largest that a program can hold", i64::MAX);
            Err(Rejection::new("number_out_of_range", message).at(name))
        }
    }
}

/// The event as a row.
pub(super) fn into_row(event: Value) -> Result<Row, Rejection> {
    match event {
        Value::Object(fields) => into_object(fields).map(Row),
        other => {
            let message =
                format!("the program left a {} where the event was: `.` must stay an object", other.kind_str());
            Err(Rejection::new("process_not_an_object", message))
        }
    }
}

fn into_object(fields: ObjectMap) -> Result<Map<String, Json>, Rejection> {
    fields
        .into_iter()
        .map(|(name, value)| {
            let value = into_json(&name, value)?;
            Ok((String::from(name), value))
        })
        .collect()
}

fn into_json(name: &str, value: Value) -> Result<Json, Rejection> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => Json::Bool(value),
        Value::Integer(whole) => Json::Number(whole.into()),
        Value::Float(float) => Json::Number(Number::from_f64(float.into_inner()).ok_or_else(|| infinite(name))?),
        Value::String(text) => Json::String(text.to_string()),
        Value::Bytes(bytes) => Json::String(String::from_utf8(bytes.into()).map_err(|_| not_text(name))?),
        Value::Regex(regex) => Json::String(regex.as_str().to_owned()),
        Value::Timestamp(moment) => Json::String(moment.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
        Value::Array(values) => {
            Json::Array(values.into_iter().map(|value| into_json(name, value)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => Json::Object(into_object(fields)?),
    })
}

fn infinite(name: &str) -> Rejection {
    Rejection::new("number_out_of_range", format!("the program made an infinite number of {name}")).at(name)
}

fn not_text(name: &str) -> Rejection {
    let message = format!("the program made bytes of {name} that are no text; encode_base64 makes text of them");
    Rejection::new("process_not_text", message).at(name)
}
