//! What the endpoint's JSON Schema wants of each field. Only the parts that say a field's type are read; whether a row
//! satisfies the whole schema is for the endpoint to say.

use serde_json::{Map, Value};

use super::CellType;

/// So deep references and alternatives are followed.
const MAX_DEPTH: u32 = 8;

/// What a row must look like.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowSchema {
    schema: Value,
}

/// What one field must look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FieldWish {
    /// The type, where the schema names one.
    pub(crate) kind: Option<CellType>,
    pub(crate) nullable: bool,
}

impl RowSchema {
    pub(crate) fn new(schema: Value) -> Self {
        Self { schema }
    }

    /// What the schema says about a field.
    pub(crate) fn field(&self, name: &str) -> FieldWish {
        let mut types = Types::default();
        if let Some(property) = self.object("properties").and_then(|properties| properties.get(name)) {
            self.collect(property, &mut types, 0);
        }
        types.wish()
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

    fn collect(&self, schema: &Value, types: &mut Types, depth: u32) {
        if depth > MAX_DEPTH {
            return;
        }
        match schema.get("type") {
            Some(Value::String(name)) => types.add(name),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).for_each(|name| types.add(name)),
            _ => {
                if let Some(target) = schema.get("$ref").and_then(Value::as_str)
                    && let Some(target) = target.strip_prefix('#').and_then(|pointer| self.schema.pointer(pointer))
                {
                    self.collect(target, types, depth + 1);
                }
                let alternatives = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| schema.get(word));
                for alternative in alternatives.filter_map(Value::as_array).flatten() {
                    self.collect(alternative, types, depth + 1);
                }
                let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
                values.chain(schema.get("const")).for_each(|value| types.add_value(value));
            }
        }
    }
}

/// The types that a field may have.
#[derive(Default)]
struct Types {
    string: bool,
    integer: bool,
    number: bool,
    boolean: bool,
    json: bool,
    null: bool,
}

impl Types {
    fn add(&mut self, name: &str) {
        match name {
            "string" => self.string = true,
            "integer" => self.integer = true,
            "number" => self.number = true,
            "boolean" => self.boolean = true,
            "object" | "array" => self.json = true,
            "null" => self.null = true,
            _ => {}
        }
    }

    fn add_value(&mut self, value: &Value) {
        match value {
            Value::String(_) => self.string = true,
            Value::Number(number) if number.is_f64() => self.number = true,
            Value::Number(_) => self.integer = true,
            Value::Bool(_) => self.boolean = true,
            Value::Null => self.null = true,
            Value::Array(_) | Value::Object(_) => self.json = true,
        }
    }

    /// A field that may be a string is sent as one: then all rows have the same type, whatever their values.
    fn wish(&self) -> FieldWish {
        let kind = if self.string {
            Some(CellType::String)
        } else if self.number {
            Some(CellType::Number)
        } else if self.integer {
            Some(CellType::Integer)
        } else if self.boolean {
            Some(CellType::Boolean)
        } else if self.json {
            Some(CellType::Json)
        } else {
            None
        };
        FieldWish { kind, nullable: self.null }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_are_found_wherever_a_schema_may_say_them() {
        let schema = RowSchema::new(json!({
            "type": "object",
            "required": ["InvoiceNo"],
            "$defs": {"price": {"type": "number"}},
            "properties": {
                "InvoiceNo": {"type": "string"},
                "Quantity": {"type": ["integer", "null"]},
                "UnitPrice": {"$ref": "#/$defs/price"},
                "Gift": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
                "Code": {"type": ["integer", "string"]},
                "Size": {"enum": [1, 2, 3]},
                "Tags": {"type": "array"},
                "Loop": {"$ref": "#/properties/Loop"},
                "Free": {},
            },
        }));
        let wish = |kind, nullable| FieldWish { kind, nullable };
        assert_eq!(schema.field("InvoiceNo"), wish(Some(CellType::String), false));
        assert_eq!(schema.field("Quantity"), wish(Some(CellType::Integer), true));
        assert_eq!(schema.field("UnitPrice"), wish(Some(CellType::Number), false));
        assert_eq!(schema.field("Gift"), wish(Some(CellType::Boolean), true));
        assert_eq!(schema.field("Code"), wish(Some(CellType::String), false));
        assert_eq!(schema.field("Size"), wish(Some(CellType::Integer), false));
        assert_eq!(schema.field("Tags"), wish(Some(CellType::Json), false));
        for name in ["Loop", "Free", "Absent"] {
            assert_eq!(schema.field(name), wish(None, false), "{name}");
        }
        assert_eq!(schema.required().collect::<Vec<_>>(), ["InvoiceNo"]);
    }

    #[test]
    fn a_closed_schema_allows_only_its_own_fields() {
        let open = RowSchema::new(json!({"properties": {"A": {}}}));
        let closed = RowSchema::new(json!({"properties": {"A": {}}, "additionalProperties": false}));
        assert!(open.allows("_id"));
        assert!(closed.allows("A") && !closed.allows("_id"));
        assert!(RowSchema::default().allows("anything"));
    }
}
