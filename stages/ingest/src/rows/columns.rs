//! What the source's schema wants of each CSV column.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// So deep references and alternatives are followed.
const MAX_DEPTH: u32 = 8;

/// The type that a cell is converted to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum CellType {
    #[default]
    String,
    Number,
    Integer,
    Boolean,
    Json,
}

/// What a column wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ColumnType {
    pub(crate) cell: CellType,
    pub(crate) required: bool,
    pub(crate) nullable: bool,
}

/// The types of all fields that the schema names; others are strings.
#[derive(Debug, Clone, Default)]
pub(crate) struct ColumnTypes(HashMap<String, ColumnType>);

impl ColumnTypes {
    /// Reads the parts of a JSON Schema that say a field's type. Whether a row satisfies the whole schema is
    /// checked afterwards.
    pub(crate) fn of(schema: Option<&Map<String, Value>>) -> Self {
        let Some(schema) = schema else { return Self::default() };
        let names = |word: &str| schema.get(word).and_then(Value::as_array).into_iter().flatten();
        let required: HashSet<&str> = names("required").filter_map(Value::as_str).collect();
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        Self(
            properties
                .map(|(name, property)| {
                    let mut types = Types::default();
                    types.collect(schema, property, 0);
                    let required = required.contains(name.as_str());
                    (name.clone(), ColumnType { cell: types.choose(), required, nullable: types.null })
                })
                .collect(),
        )
    }

    pub(crate) fn get(&self, column: &str) -> ColumnType {
        self.0.get(column).copied().unwrap_or_default()
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
    fn collect(&mut self, root: &Map<String, Value>, property: &Value, depth: u32) {
        if depth > MAX_DEPTH {
            return;
        }
        match property.get("type") {
            Some(Value::String(name)) => self.add(name),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).for_each(|name| self.add(name)),
            _ => self.follow(root, property, depth + 1),
        }
    }

    /// A property that does not say its type may refer to one that does, offer several, or list its values.
    fn follow(&mut self, root: &Map<String, Value>, property: &Value, depth: u32) {
        let target = property.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix("#/"));
        let target = target.and_then(|path| {
            let (first, rest) = path.split_once('/').unwrap_or((path, ""));
            let part = root.get(first)?;
            if rest.is_empty() { Some(part) } else { part.pointer(&format!("/{rest}")) }
        });
        let alternatives = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| property.get(word));
        for part in target.into_iter().chain(alternatives.filter_map(Value::as_array).flatten()) {
            self.collect(root, part, depth);
        }
        let values = property.get("enum").and_then(Value::as_array).into_iter().flatten();
        for value in values.chain(property.get("const")) {
            self.add(match value {
                Value::String(_) => "string",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                Value::Bool(_) => "boolean",
                Value::Null => "null",
                Value::Array(_) | Value::Object(_) => "array",
            });
        }
    }

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

    /// A field that may be a string is one: then all rows have the same type, whatever their values.
    fn choose(&self) -> CellType {
        match self {
            Self { string: true, .. } => CellType::String,
            Self { number: true, .. } => CellType::Number,
            Self { integer: true, .. } => CellType::Integer,
            Self { boolean: true, .. } => CellType::Boolean,
            Self { json: true, .. } => CellType::Json,
            _ => CellType::String,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_found_wherever_a_schema_may_say_them() {
        let schema = json!({
            "required": ["InvoiceNo", "Quantity"],
            "$defs": {"price": {"type": "number"}},
            "properties": {
                "InvoiceNo": {"type": "string"},
                "Quantity": {"type": ["integer", "null"]},
                "UnitPrice": {"$ref": "#/$defs/price"},
                "Gift": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
                "Code": {"type": ["integer", "string"]},
                "Size": {"enum": [1, 2]},
                "Tags": {"type": "array"},
                "Loop": {"$ref": "#/properties/Loop"},
            },
        });
        let types = ColumnTypes::of(schema.as_object());
        let want = |cell, required, nullable| ColumnType { cell, required, nullable };
        assert_eq!(types.get("InvoiceNo"), want(CellType::String, true, false));
        assert_eq!(types.get("Quantity"), want(CellType::Integer, true, true));
        assert_eq!(types.get("UnitPrice"), want(CellType::Number, false, false));
        assert_eq!(types.get("Gift"), want(CellType::Boolean, false, true));
        assert_eq!(types.get("Code"), want(CellType::String, false, false));
        assert_eq!(types.get("Size"), want(CellType::Integer, false, false));
        assert_eq!(types.get("Tags"), want(CellType::Json, false, false));
        for name in ["Loop", "Other"] {
            assert_eq!(types.get(name), ColumnType::default(), "{name}");
        }
    }
}
