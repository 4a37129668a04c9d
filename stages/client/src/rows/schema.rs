//! What the endpoint's JSON Schema says of a row before one is made. Whether a row satisfies the whole schema is for
//! the endpoint to say.

use penstock_process::cell::{ColumnType, ColumnTypes};
use serde_json::{Map, Value};

/// What a row must look like.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowSchema {
    schema: Value,
    columns: ColumnTypes,
}

impl RowSchema {
    pub(crate) fn new(schema: Value) -> Self {
        let columns = schema.as_object().map(ColumnTypes::of).unwrap_or_default();
        Self { schema, columns }
    }

    /// What the schema wants of a column.
    pub(crate) fn column(&self, name: &str) -> ColumnType {
        self.columns.get(name)
    }

    /// The fields that every row must have.
    pub(crate) fn required(&self) -> impl Iterator<Item = &str> {
        self.schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether a row may have a field of this name.
    pub(crate) fn allows(&self, name: &str) -> bool {
        let known = self.object("properties").is_some_and(|properties| properties.contains_key(name));
        let closed = ["additionalProperties", "unevaluatedProperties"]
            .iter()
            .any(|word| self.schema.get(word) == Some(&Value::Bool(false)));
        known || !closed || self.object("patternProperties").is_some_and(|patterns| !patterns.is_empty())
    }

    fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.schema.get(name).and_then(Value::as_object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_closed_schema_allows_only_its_own_fields() {
        let open = RowSchema::new(json!({"properties": {"A": {}}}));
        let closed = RowSchema::new(json!({"properties": {"A": {}}, "additionalProperties": false}));
        assert!(open.allows("_id"));
        assert!(closed.allows("A") && !closed.allows("_id"));
        assert!(RowSchema::default().allows("anything"));
    }
}
