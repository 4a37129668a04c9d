//! A JSON Schema that each row must satisfy.

mod flat;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use penstock_contract::Rejection;
use serde_json::{Map, Value};

use self::flat::FlatSchema;
use crate::FlatRow;

/// How much of a value is shown in a message.
const SHOWN_CHARS: usize = 60;

/// A schema, compiled once and checked for every row.
///
/// The draft is the one that `$schema` names, else 2020-12. `format` is checked, and one that is not known is
/// refused when the schema is compiled. `pattern` runs in time linear to the value: no look-around and no
/// back-references. References stay within the schema.
#[derive(Debug)]
pub struct RowSchema {
    validator: Validator,
    /// The same for flat rows, where the schema is of a kind that allows it.
    flat: Option<FlatSchema>,
}

/// A JSON document that is no valid schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema is not valid{}: {message}", at(path))]
pub struct SchemaError {
    /// Where in the schema the fault is, as dotted path; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at {path}") }
}

/// Refuses every reference that leaves the schema: a stage fetches nothing on a schema's behalf.
struct NoRemote;

impl Retrieve for NoRemote {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} lies outside the schema; copy it into the schema's $defs and refer to #/$defs/…").into())
    }
}

impl RowSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// When it is no valid schema, refers to something outside itself, or has a format or a pattern that cannot
    /// be checked.
    pub fn compile(schema: &Map<String, Value>) -> Result<Self, SchemaError> {
        match validator(&Value::Object(schema.clone())) {
            Ok(validator) => Ok(Self { validator, flat: FlatSchema::new(schema) }),
            Err(error) => Err(SchemaError { path: dotted(error.instance_path()), message: error.to_string() }),
        }
    }

    /// Whether a flat row surely satisfies the schema. It is many times cheaper than [`Self::check`]; where it is false,
    /// that one decides.
    #[must_use]
    pub fn surely_takes(&self, row: &FlatRow<'_>) -> bool {
        self.flat.as_ref().is_some_and(|schema| schema.takes(row))
    }

    /// Checks a row.
    ///
    /// # Errors
    /// The first violation: its reason is `schema_` and the schema's word in lower_snake_case.
    pub fn check(&self, row: &Value) -> Result<(), Rejection> {
        if self.validator.is_valid(row) {
            return Ok(());
        }
        match self.validator.iter_errors(row).next() {
            None => Ok(()),
            Some(error) => Err(rejection(&error)),
        }
    }
}

fn validator(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(PatternOptions::regex())
        .with_retriever(NoRemote)
        .build(schema)
}

fn rejection(error: &ValidationError<'_>) -> Rejection {
    let field = field(error);
    let message = match &field {
        Some(field) => format!("{field}: {}", sentence(error)),
        None => sentence(error),
    };
    let rejection = Rejection::new(reason(error.kind()), message);
    match field {
        Some(field) => rejection.at(field),
        None => rejection,
    }
}

/// The field at fault: for one that is missing or too many, its own name.
fn field(error: &ValidationError<'_>) -> Option<String> {
    let parent = dotted(error.instance_path());
    let own = match error.kind() {
        ValidationErrorKind::Required { property } => property.as_str(),
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected.first().map(String::as_str),
        _ => None,
    };
    match (parent.is_empty(), own) {
        (true, None) => None,
        (true, Some(own)) => Some(own.to_owned()),
        (false, None) => Some(parent),
        (false, Some(own)) => Some(format!("{parent}.{own}")),
    }
}

fn dotted(location: &Location) -> String {
    let segments = location.iter().map(|segment| match segment {
        LocationSegment::Property(name) => name.into_owned(),
        LocationSegment::Index(index) => index.to_string(),
    });
    segments.collect::<Vec<_>>().join(".")
}

fn reason(kind: &ValidationErrorKind) -> &'static str {
    use ValidationErrorKind as Kind;
    match kind {
        Kind::AdditionalItems { .. } | Kind::UnevaluatedItems { .. } => "schema_additional_item",
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => "schema_additional_property",
        Kind::AnyOf { .. } => "schema_any_of",
        Kind::BacktrackLimitExceeded { .. } | Kind::Pattern { .. } => "schema_pattern",
        Kind::Constant { .. } => "schema_const",
        Kind::Contains => "schema_contains",
        Kind::ContentEncoding { .. } | Kind::FromUtf8 { .. } => "schema_content_encoding",
        Kind::ContentMediaType { .. } => "schema_content_media_type",
        Kind::Custom { .. } => "schema_custom",
        Kind::Enum { .. } => "schema_enum",
        Kind::ExclusiveMaximum { .. } => "schema_exclusive_maximum",
        Kind::ExclusiveMinimum { .. } => "schema_exclusive_minimum",
        Kind::FalseSchema => "schema_forbidden",
        Kind::Format { .. } => "schema_format",
        Kind::MaxItems { .. } => "schema_max_items",
        Kind::Maximum { .. } => "schema_maximum",
        Kind::MaxLength { .. } => "schema_max_length",
        Kind::MaxProperties { .. } => "schema_max_properties",
        Kind::MinItems { .. } => "schema_min_items",
        Kind::Minimum { .. } => "schema_minimum",
        Kind::MinLength { .. } => "schema_min_length",
        Kind::MinProperties { .. } => "schema_min_properties",
        Kind::MultipleOf { .. } => "schema_multiple_of",
        Kind::Not { .. } => "schema_not",
        Kind::OneOfMultipleValid { .. } | Kind::OneOfNotValid { .. } => "schema_one_of",
        Kind::PropertyNames { .. } => "schema_property_names",
        Kind::Required { .. } => "schema_required",
        Kind::Type { .. } => "schema_type",
        Kind::UniqueItems => "schema_unique_items",
        Kind::Referencing(_) => "schema_reference",
    }
}

/// What was expected and what was found.
fn sentence(error: &ValidationError<'_>) -> String {
    use ValidationErrorKind as Kind;
    let found = shown(error.instance());
    match error.kind() {
        Kind::Required { .. } => "is required and is missing".to_owned(),
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => "is not in the schema".to_owned(),
        Kind::Type { kind: TypeKind::Single(expected) } => format!("expected {expected}, found {found}"),
        Kind::Type { kind: TypeKind::Multiple(expected) } => {
            let expected: Vec<_> = expected.iter().map(|expected| expected.to_string()).collect();
            format!("expected {}, found {found}", expected.join(" or "))
        }
        Kind::Enum { options } => format!("expected one of {}, found {found}", shown(options)),
        Kind::Constant { expected_value } => format!("expected {}, found {found}", shown(expected_value)),
        Kind::Format { format } => format!("expected the format {format}, found {found}"),
        Kind::Pattern { pattern } => format!("expected a match of {pattern}, found {found}"),
        Kind::Maximum { limit } => format!("expected at most {limit}, found {found}"),
        Kind::Minimum { limit } => format!("expected at least {limit}, found {found}"),
        Kind::ExclusiveMaximum { limit } => format!("expected less than {limit}, found {found}"),
        Kind::ExclusiveMinimum { limit } => format!("expected more than {limit}, found {found}"),
        Kind::MaxLength { limit } => format!("expected at most {limit} characters, found {found}"),
        Kind::MinLength { limit } => format!("expected at least {limit} characters, found {found}"),
        Kind::MultipleOf { multiple_of } => format!("expected a multiple of {multiple_of}, found {found}"),
        _ => shorten(&error.masked_with(found.as_str()).to_string(), 4 * SHOWN_CHARS),
    }
}

fn shown(value: &Value) -> String {
    shorten(&value.to_string(), SHOWN_CHARS)
}

fn shorten(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(schema: &Value) -> Result<RowSchema, SchemaError> {
        RowSchema::compile(schema.as_object().unwrap())
    }

    fn orders() -> RowSchema {
        schema(&json!({
            "type": "object",
            "required": ["InvoiceNo", "Quantity"],
            "additionalProperties": false,
            "properties": {
                "InvoiceNo": { "type": "string", "pattern": "^C?[0-9]{6}$" },
                "Quantity": { "type": "integer", "minimum": -100, "maximum": 100 },
                "Country": { "enum": ["France", "Spain"] },
                "Date": { "type": "string", "format": "date-time" },
                "Note": { "type": ["string", "null"], "maxLength": 5 },
                "Address": { "type": "object", "required": ["city"] },
                "Tags": { "type": "array", "items": { "type": "string" }, "maxItems": 2 }
            }
        }))
        .unwrap()
    }

    fn violation(change: &Value) -> (String, Option<String>, String) {
        let mut row = json!({"InvoiceNo": "536365", "Quantity": 6});
        for (name, value) in change.as_object().unwrap() {
            row[name] = value.clone();
        }
        let rejection = orders().check(&row).unwrap_err();
        (rejection.reason.into_owned(), rejection.field, rejection.message)
    }

    #[test]
    fn a_row_that_satisfies_the_schema_is_taken() {
        let row = json!({"InvoiceNo": "C36365", "Quantity": 6});
        assert!(orders().check(&row).is_err());
        let row = json!({"InvoiceNo": "C536365", "Quantity": -6, "Note": null, "Date": "2010-12-01T08:26:00Z"});
        assert_eq!(orders().check(&row), Ok(()));
    }

    #[test]
    fn a_violation_has_a_stable_reason_and_names_its_field() {
        for (change, reason, field, message) in [
            (json!({"Quantity": "6"}), "schema_type", "Quantity", "expected integer, found \"6\""),
            (json!({"Quantity": 6.5}), "schema_type", "Quantity", "expected integer, found 6.5"),
            (json!({"Quantity": 101}), "schema_maximum", "Quantity", "at most 100, found 101"),
            (json!({"Quantity": -101}), "schema_minimum", "Quantity", "at least -100, found -101"),
            (json!({"InvoiceNo": "x"}), "schema_pattern", "InvoiceNo", "match of ^C?[0-9]{6}$"),
            (json!({"Country": "Atlantis"}), "schema_enum", "Country", "one of [\"France\",\"Spain\"]"),
            (json!({"Date": "yesterday"}), "schema_format", "Date", "the format date-time"),
            (json!({"Note": "123456"}), "schema_max_length", "Note", "at most 5 characters"),
            (json!({"Note": 1}), "schema_type", "Note", "null or string"),
            (json!({"Address": {}}), "schema_required", "Address.city", "is missing"),
            (json!({"Tags": ["a", 2]}), "schema_type", "Tags.1", "expected string"),
            (json!({"Tags": ["a", "b", "c"]}), "schema_max_items", "Tags", "2"),
            (json!({"Surprise": 1}), "schema_additional_property", "Surprise", "is not in the schema"),
        ] {
            let (found_reason, found_field, found_message) = violation(&change);
            assert_eq!((found_reason.as_str(), found_field.as_deref()), (reason, Some(field)), "{change}");
            assert!(found_message.contains(message), "{change}: {found_message}");
        }
        let rejection = orders().check(&json!({"Quantity": 1})).unwrap_err();
        assert_eq!((rejection.reason.as_ref(), rejection.field.as_deref()), ("schema_required", Some("InvoiceNo")));
    }

    #[test]
    fn long_values_are_shortened_in_messages() {
        let (_, _, message) = violation(&json!({"Tags": ["a", {"x": "y".repeat(10_000)}]}));
        assert!(message.len() < 200, "{message}");
        let (_, _, message) = violation(&json!({"Tags": vec!["é"; 10_000]}));
        assert!(message.len() < 600, "{message}");
    }

    #[test]
    fn what_is_no_schema_is_refused_with_its_place() {
        for (document, path, message) in [
            (json!({"type": "strin"}), "type", "strin"),
            (json!({"properties": {"a": {"minimum": "1"}}}), "properties.a.minimum", "\"1\""),
            (json!({"properties": {"a": {"pattern": "("}}}), "", "("),
            (json!({"properties": {"a": {"format": "date-tme"}}}), "", "date-tme"),
            (json!({"$ref": "https://example.com/a.json"}), "", "$defs"),
            (json!({"$ref": "file:///etc/hostname"}), "", "$defs"),
        ] {
            let error = schema(&document).unwrap_err();
            assert!(error.path.starts_with(path), "{document}: {error:?}");
            assert!(error.to_string().contains(message), "{document}: {error}");
        }
    }

    #[test]
    fn references_within_the_schema_and_older_drafts_work() {
        let local = json!({"$defs": {"n": {"type": "number"}}, "properties": {"a": {"$ref": "#/$defs/n"}}});
        assert!(schema(&local).unwrap().check(&json!({"a": "x"})).is_err());
        let draft7 =
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"type": "number"}}});
        assert!(schema(&draft7).unwrap().check(&json!({"a": "x"})).is_err());
    }
}
