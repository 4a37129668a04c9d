//! What the sources of a buffer say of a record's fields, by their JSON Schemas.

use penstock_api::Pipeline;
use penstock_api::spec::Source;
use serde_json::{Map, Value};

/// What a schema says of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    /// Nothing.
    Unknown,
    /// No record can have it.
    Absent,
    /// It has one of these types.
    Types(Vec<String>),
}

/// The schema of a source.
pub(super) struct Schema<'a> {
    /// The source.
    pub(super) source: &'a Source,
    root: &'a Map<String, Value>,
}

/// The schemas of the sources that write to a buffer. A source without one says nothing.
pub(super) fn of_buffer<'a>(pipeline: &'a Pipeline, buffer: &str) -> Vec<Schema<'a>> {
    pipeline.spec.sources.iter().filter(|source| source.to == buffer).filter_map(of_source).collect()
}

/// The schema of one source.
pub(super) fn of_source(source: &Source) -> Option<Schema<'_>> {
    let root = source.http.as_ref()?.schema.as_ref()?;
    Some(Schema { source, root })
}

impl Schema<'_> {
    /// What it says of a field, `a.b` for one in an object.
    pub(super) fn fact(&self, field: &str) -> Fact {
        let mut schema = self.root;
        let mut found = None;
        for name in field.split('.') {
            // A reference or a composition may say anything: what it says is not guessed.
            if OPEN.iter().any(|keyword| schema.contains_key(*keyword)) {
                return Fact::Unknown;
            }
            match schema.get("properties").and_then(|properties| properties.get(name)) {
                Some(Value::Object(property)) => (schema, found) = (property, Some(property)),
                Some(Value::Bool(false)) => return Fact::Absent,
                Some(_) => return Fact::Unknown,
                None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                    return if schema.contains_key("patternProperties") { Fact::Unknown } else { Fact::Absent };
                }
                None => return Fact::Unknown,
            }
        }
        let types: Vec<String> = match found.and_then(|property| property.get("type")) {
            Some(Value::String(name)) => vec![name.clone()],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => return Fact::Unknown,
        };
        Fact::Types(types)
    }

    /// Whether every record has the field, as far as the schema says.
    pub(super) fn requires(&self, field: &str) -> bool {
        let mut schema = self.root;
        for name in field.split('.') {
            let required = schema.get("required").and_then(Value::as_array);
            if !required.is_some_and(|names| names.iter().any(|required| required == name)) {
                return false;
            }
            match schema.get("properties").and_then(|properties| properties.get(name)).and_then(Value::as_object) {
                Some(property) => schema = property,
                None => return !field.contains('.'),
            }
        }
        true
    }

    /// The names of its fields.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.root.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// What its own `type` says, where it says something.
    pub(super) fn own_types(&self) -> Vec<&str> {
        match self.root.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

const OPEN: &[&str] = &["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "not"];

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(schema: &Value) -> Source {
        serde_json::from_value(json!({
            "name": "a", "to": "b", "partitionKey": "k", "http": { "path": "/a", "schema": schema },
        }))
        .unwrap()
    }

    #[test]
    fn a_schema_tells_what_it_knows_and_no_more() {
        let source = source(&json!({
            "required": ["a"],
            "additionalProperties": false,
            "properties": {
                "a": { "type": "object", "required": ["b"], "properties": { "b": { "type": ["string", "null"] } } },
                "any": {},
                "composed": { "anyOf": [{ "type": "string" }] },
            },
        }));
        let schema = of_source(&source).unwrap();
        let types = |names: &[&str]| Fact::Types(names.iter().map(|name| (*name).to_owned()).collect());
        for (field, fact, required) in [
            ("a", types(&["object"]), true),
            ("a.b", types(&["string", "null"]), true),
            ("a.c", Fact::Unknown, false),
            ("any", Fact::Unknown, false),
            ("composed.x", Fact::Unknown, false),
            ("other", Fact::Absent, false),
        ] {
            assert_eq!(schema.fact(field), fact, "{field}");
            assert_eq!(schema.requires(field), required, "{field}");
        }
    }
}
