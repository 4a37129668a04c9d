//! What a JSON Schema wants of each column. Only the parts that say a field's type are read: whether a row satisfies
//! the whole schema is checked when it is made.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::CellType;

/// So deep references and alternatives are followed.
const MAX_DEPTH: u32 = 8;

/// What a column wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnType {
    /// What its cells become.
    pub cell: CellType,
    /// Whether every row must have the field.
    pub required: bool,
    /// Whether it may be null.
    pub nullable: bool,
}

/// What a schema wants of the fields that it names. Others are strings that may be left out.
#[derive(Debug, Clone, Default)]
pub struct ColumnTypes(HashMap<String, ColumnType>);

impl ColumnTypes {
    /// Reads a schema.
    #[must_use]
    pub fn of(schema: &Map<String, Value>) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut columns: HashMap<String, ColumnType> = properties
            .map(|(name, property)| {
                let mut types = Types::default();
                types.collect(schema, property, 0);
                (name.clone(), ColumnType { cell: types.choose(), required: false, nullable: types.null })
            })
            .collect();
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            columns.entry(name.to_owned()).or_default().required = true;
        }
        Self(columns)
    }

    /// What a column of this name wants.
    #[must_use]
    pub fn get(&self, column: &str) -> ColumnType {
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
        match property.get("$ref").and_then(Value::as_str) {
            Some("#") => self.add("object"),
            Some(reference) => {
                if let Some(target) = target(root, reference) {
                    self.collect(root, target, depth);
                }
            }
            None => {}
        }
        let alternatives = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| property.get(word));
        for part in alternatives.filter_map(Value::as_array).flatten() {
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

/// What a reference such as `#/$defs/price` refers to.
fn target<'a>(root: &'a Map<String, Value>, reference: &str) -> Option<&'a Value> {
    let path = reference.strip_prefix("#/")?;
    let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    root.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}
