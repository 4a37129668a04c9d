//! Fields that are there and as good as absent.

use serde_json::Value;

/// Without the fields that are `null` where the schema allows that. To the API server's rules a field that is `null` is absent.
pub(super) fn without_nulls(schema: &Value, mut value: Value) -> Value {
    drop_nulls(schema, &mut value);
    value
}

fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let properties = &schema["properties"];
            fields.retain(|name, field| !field.is_null() || properties[name]["nullable"] != true);
            fields.iter_mut().for_each(|(name, field)| drop_nulls(&properties[name], field));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| drop_nulls(&schema["items"], item)),
        _ => {}
    }
}
