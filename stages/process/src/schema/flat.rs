//! A schema for flat rows, checked without building the row.
//!
//! Only what most schemas of rows consist of is known here; a property that asks for more is handed to the library, and a
//! schema that does is not taken at all. "Yes" must be the library's answer too, as a test asks of many schemas and rows;
//! "no" says nothing.

use jsonschema::Validator;
use serde_json::{Map, Value};

use crate::{Flat, FlatRow};

/// What a schema may say without saying anything about a row.
const ANNOTATIONS: [&str; 8] =
    ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"];

/// What a flat row must be.
#[derive(Debug)]
pub(super) struct FlatSchema {
    required: Vec<String>,
    properties: Vec<(String, Rule)>,
    /// Whether other fields may be there.
    open: bool,
}

/// What the value of a field must be.
#[derive(Debug)]
enum Rule {
    Plain(Plain),
    Library(Box<Validator>),
}

/// The words that are known here.
#[derive(Debug, Default)]
struct Plain {
    /// Any, where none is named.
    types: Vec<Type>,
    min_chars: usize,
    max_chars: Option<usize>,
    minimum: Option<i64>,
    maximum: Option<i64>,
    /// Any, where none is named.
    texts: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    String,
    Integer,
    Number,
    /// None of a flat row.
    Nested,
}

impl FlatSchema {
    /// `None` when the schema holds a word that is not known here.
    pub(super) fn new(schema: &Map<String, Value>) -> Option<Self> {
        let mut flat = Self { required: Vec::new(), properties: Vec::new(), open: true };
        for (word, value) in schema {
            match word.as_str() {
                "type" if value == "object" => {}
                "required" => flat.required = texts(value)?,
                "properties" => {
                    let draft = schema.get("$schema");
                    let rules =
                        value.as_object()?.iter().map(|(name, rule)| Some((name.clone(), Rule::new(rule, draft)?)));
                    flat.properties = rules.collect::<Option<_>>()?;
                }
                "additionalProperties" => flat.open = value.as_bool()?,
                "$schema" => {}
                annotation if ANNOTATIONS.contains(&annotation) => {}
                _ => return None,
            }
        }
        Some(flat)
    }

    pub(super) fn takes(&self, row: &FlatRow<'_>) -> bool {
        self.required.iter().all(|name| row.get(name).is_some())
            && row.fields().all(|(name, value)| match self.properties.iter().find(|(known, _)| known == name) {
                Some((_, rule)) => rule.takes(value),
                None => self.open,
            })
    }
}

impl Rule {
    fn new(schema: &Value, draft: Option<&Value>) -> Option<Self> {
        let schema = schema.as_object()?;
        if let Some(plain) = Plain::new(schema) {
            return Some(Self::Plain(plain));
        }
        if refers(schema) {
            return None;
        }
        let mut schema = schema.clone();
        schema.extend(draft.map(|draft| ("$schema".to_owned(), draft.clone())));
        super::validator(&Value::Object(schema)).ok().map(|validator| Self::Library(Box::new(validator)))
    }

    fn takes(&self, value: Flat<'_>) -> bool {
        match self {
            Self::Plain(plain) => plain.takes(value),
            Self::Library(validator) => validator.is_valid(&value.to_value()),
        }
    }
}

/// Whether a schema says anything that reaches beyond itself: `$ref`, `$anchor` and all others with a dollar.
fn refers(schema: &Map<String, Value>) -> bool {
    schema.iter().any(|(word, value)| word.starts_with('$') || within(value))
}

fn within(value: &Value) -> bool {
    match value {
        Value::Object(schema) => refers(schema),
        Value::Array(values) => values.iter().any(within),
        _ => false,
    }
}

impl Plain {
    fn new(schema: &Map<String, Value>) -> Option<Self> {
        let mut plain = Self::default();
        for (word, value) in schema {
            match word.as_str() {
                "type" => plain.types = types(value).filter(|types| !types.is_empty())?,
                "minLength" => plain.min_chars = count(value)?,
                "maxLength" => plain.max_chars = Some(count(value)?),
                "minimum" => plain.minimum = Some(value.as_i64()?),
                "maximum" => plain.maximum = Some(value.as_i64()?),
                // Without any value nothing would be taken, where no list means that everything is.
                "enum" => plain.texts = texts(value).filter(|texts| !texts.is_empty())?,
                annotation if ANNOTATIONS.contains(&annotation) => {}
                _ => return None,
            }
        }
        Some(plain)
    }

    fn takes(&self, value: Flat<'_>) -> bool {
        let of = |kind: Type| self.types.is_empty() || self.types.contains(&kind);
        let any_text = self.texts.is_empty();
        match value {
            Flat::Null => any_text && of(Type::Null),
            Flat::Bool(_) => any_text && of(Type::Boolean),
            Flat::Text(text) => of(Type::String) && self.takes_text(text),
            Flat::Number(number) => {
                let whole = number.whole();
                let of_its_type = of(Type::Number) || (whole.is_some() && of(Type::Integer));
                any_text && of_its_type && self.takes_size(whole)
            }
        }
    }

    fn takes_text(&self, text: &str) -> bool {
        let is_one_of_them = || self.texts.iter().any(|known| known == text);
        (self.texts.is_empty() || is_one_of_them()) && self.takes_length(text)
    }

    /// A character has one to four bytes, so most texts need not be counted.
    fn takes_length(&self, text: &str) -> bool {
        let bytes = text.len();
        let surely = bytes >= self.min_chars.saturating_mul(4) && self.max_chars.is_none_or(|most| bytes <= most);
        surely || {
            let chars = text.chars().count();
            chars >= self.min_chars && self.max_chars.is_none_or(|most| chars <= most)
        }
    }

    /// Bounds are whole here, and only whole numbers are compared with them.
    fn takes_size(&self, whole: Option<i64>) -> bool {
        let bounded = self.minimum.is_some() || self.maximum.is_some();
        match whole {
            Some(whole) => {
                self.minimum.is_none_or(|least| whole >= least) && self.maximum.is_none_or(|most| whole <= most)
            }
            None => !bounded,
        }
    }
}

fn types(value: &Value) -> Option<Vec<Type>> {
    match value {
        Value::String(name) => Some(vec![named(name)?]),
        Value::Array(names) => names.iter().map(|name| named(name.as_str()?)).collect(),
        _ => None,
    }
}

fn named(name: &str) -> Option<Type> {
    match name {
        "null" => Some(Type::Null),
        "boolean" => Some(Type::Boolean),
        "string" => Some(Type::String),
        "integer" => Some(Type::Integer),
        "number" => Some(Type::Number),
        "array" | "object" => Some(Type::Nested),
        _ => None,
    }
}

fn count(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|count| usize::try_from(count).ok())
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
#[path = "flat_tests.rs"]
mod tests;
