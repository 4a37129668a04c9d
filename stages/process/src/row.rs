//! A record's bytes as a row of named fields.

use std::collections::BTreeMap;
use std::fmt;

use penstock_contract::Rejection;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// How deep a row may nest. It is the JSON reader's own bound, which keeps a hostile row from the stack.
pub const MAX_DEPTH: usize = 127;

/// Room for so many fields is made at once, as rows of tables have them.
const USUAL_FIELDS: usize = 14;
/// From here on a float may be a whole number that did not fit: 2^63.
const SUSPECT_MAGNITUDE: f64 = 9_223_372_036_854_775_808.0;

/// A JSON object: the fields in the order in which they were sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row(pub Map<String, Value>);

impl Row {
    /// Takes a JSON object.
    ///
    /// # Errors
    /// `not_an_object` when it is another kind of value.
    pub fn from_value(value: Value) -> Result<Self, Rejection> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(not_an_object(kind_name(&other))),
        }
    }

    /// The JSON object.
    #[must_use]
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: &FieldPath) -> Option<&Value> {
        field.find(&self.0)
    }
}

/// The name of a field: `Country`, or `address.city` for a field within an object.
///
/// A field whose own name holds dots (a CSV header such as `Unit.Price`) is found by that name first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath {
    text: String,
    nested: bool,
}

impl FieldPath {
    /// Reads the name.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let nested = text.contains('.');
        Self { text, nested }
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn find<'a>(&self, fields: &'a Map<String, Value>) -> Option<&'a Value> {
        let whole = fields.get(&self.text);
        if whole.is_some() || !self.nested {
            return whole;
        }
        let (parents, last) = self.text.rsplit_once('.')?;
        let parent = parents.split('.').try_fold(fields, |object, name| object.get(name)?.as_object())?;
        parent.get(last)
    }
}

/// Reads a record's bytes as a row. Where a field is there twice, the last one counts.
///
/// # Errors
/// `not_utf8`, `not_json`, `not_an_object`, `too_deep` (beyond [`MAX_DEPTH`]), or `number_out_of_range`: a
/// number beyond 1.8e308, or a whole number beyond 64 bits, which would lose digits. The field is named where one value
/// alone is at fault.
pub fn parse_row(data: &[u8]) -> Result<Row, Rejection> {
    let text = std::str::from_utf8(data).map_err(|error| {
        let message = format!("the record is not UTF-8: byte {} begins no character", error.valid_up_to());
        Rejection::new("not_utf8", message)
    })?;
    let row = match read_object(text) {
        Some(fields) => Row(fields),
        None => {
            let value = serde_json::from_str(text).map_err(|error| at_its_field(text, unreadable(&error)))?;
            Row::from_value(value)?
        }
    };
    if row.0.values().any(is_suspect) {
        refuse_long_integers(text).map_err(|rejection| at_its_field(text, rejection))?;
    }
    Ok(row)
}

/// Reads an object, with room for the usual number of fields from the beginning: a map that grows field by field is hashed
/// anew again and again. `None` for whatever is no valid object.
fn read_object(text: &str) -> Option<Map<String, Value>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json.deserialize_map(Fields).ok()?;
    json.end().ok()?;
    Some(fields)
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::with_capacity(USUAL_FIELDS);
        while let Some((name, value)) = access.next_entry()? {
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

/// Names the field whose value cannot be read, where the rest of the record can.
fn at_its_field(text: &str, rejection: Rejection) -> Rejection {
    let unreadable = |value: &RawValue| {
        serde_json::from_str::<Value>(value.get()).is_err() || refuse_long_integers(value.get()).is_err()
    };
    // Values that are not looked into have no bounds that could be missed.
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    match fields.iter().find(|(_, value)| unreadable(value)) {
        Some((name, _)) => rejection.at(name.as_str()),
        None => rejection,
    }
}

/// The JSON reader has no codes, so its words decide; a test holds them fast.
fn unreadable(error: &serde_json::Error) -> Rejection {
    let message = error.to_string();
    let reason = if message.starts_with("recursion limit exceeded") {
        return Rejection::new("too_deep", format!("the record nests deeper than {MAX_DEPTH} levels"));
    } else if message.starts_with("number out of range") {
        "number_out_of_range"
    } else {
        "not_json"
    };
    Rejection::new(reason, format!("the record cannot be read as JSON: {message}"))
}

fn not_an_object(found: &str) -> Rejection {
    Rejection::new("not_an_object", format!("expected a JSON object, found {found}"))
}

/// What a value is, with its article, for messages.
pub(crate) fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Whether the JSON reader may have made a float of a whole number that does not fit into 64 bits.
fn is_suspect(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.is_f64() && number.as_f64().is_some_and(|float| float.abs() >= SUSPECT_MAGNITUDE)
        }
        Value::Array(values) => values.iter().any(is_suspect),
        Value::Object(fields) => fields.values().any(is_suspect),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// Looks through valid JSON for a whole number that does not fit into 64 bits.
fn refuse_long_integers(json: &str) -> Result<(), Rejection> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..].iter().take_while(|byte| is_number_byte(**byte)).count();
                let number = &json[at..at + length];
                let whole = !number.contains(['.', 'e', 'E']);
                if whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                    return Err(long_integer(number));
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn long_integer(number: &str) -> Rejection {
    let shown: String = number.chars().take(40).collect();
    let message = format!("the whole number {shown} does not fit into 64 bits; send it as a string to keep its digits");
    Rejection::new("number_out_of_range", message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn reason(data: &[u8]) -> String {
        parse_row(data).unwrap_err().reason.into_owned()
    }

    #[test]
    fn fields_keep_the_order_in_which_they_were_sent() {
        let row = parse_row(br#"{"z":1,"a":2,"m":{"y":1,"b":2}}"#).unwrap();
        assert_eq!(serde_json::to_string(&row.0).unwrap(), r#"{"z":1,"a":2,"m":{"y":1,"b":2}}"#);
    }

    #[test]
    fn of_a_field_that_is_there_twice_the_last_counts() {
        assert_eq!(parse_row(br#"{"a":1,"a":2}"#).unwrap().0["a"], 2);
    }

    #[test]
    fn what_is_no_row_is_refused_with_its_reason() {
        assert_eq!(reason(b"{\"a\":\"\xff\"}"), "not_utf8");
        for text in ["", "{", "{} {}", "{\"a\":nul}", "{\"a\":\"\0\"}", "{\"a\":\"\\ud800\"}"] {
            assert_eq!(reason(text.as_bytes()), "not_json", "{text}");
        }
        for text in ["null", "1", "\"a\"", "[{}]", "true"] {
            assert_eq!(reason(text.as_bytes()), "not_an_object", "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(parse_row(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(reason(nested(MAX_DEPTH + 1).as_bytes()), "too_deep");
        assert_eq!(reason(nested(200_000).as_bytes()), "too_deep");
    }

    #[test]
    fn whole_numbers_never_lose_digits_in_silence() {
        for number in ["9223372036854775807", "-9223372036854775808", "18446744073709551615"] {
            let row = parse_row(format!("{{\"n\":{number}}}").as_bytes()).unwrap();
            assert_eq!(row.0["n"].to_string(), number);
        }
        for number in ["18446744073709551616", "-9223372036854775809", "123456789012345678901234567890", "1e400"] {
            assert_eq!(
                reason(format!("{{\"a\":\"1e5\",\"n\":[{{\"x\":{number}}}]}}").as_bytes()),
                "number_out_of_range"
            );
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_blamed_on_its_field() {
        let field = |text: &str| parse_row(text.as_bytes()).unwrap_err().field;
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for value in ["1e400", "[{\"y\": -1e999}]", "123456789012345678901234567890", &deep] {
            assert_eq!(field(&format!("{{\"a\":1.5,\"b\":{value},\"c\":null}}")).as_deref(), Some("b"), "{value}");
        }
        assert_eq!(field("[1e400]"), None);
        assert_eq!(field("{\"a\":nul}"), None);
    }

    #[test]
    fn large_floats_and_long_digits_in_strings_are_fine() {
        assert!(parse_row(br#"{"mole":6.02e23,"text":"a \" 123456789012345678901234567890"}"#).is_ok());
    }

    #[test]
    fn a_path_finds_nested_fields_and_names_with_dots() {
        let row = parse_row(br#"{"a":{"b":{"c":1}},"x.y":2,"x":{"y":3},"n":null}"#).unwrap();
        let get = |path: &str| row.get(&FieldPath::new(path)).cloned();
        assert_eq!(get("a.b.c"), Some(1.into()));
        assert_eq!(get("x.y"), Some(2.into()));
        assert_eq!(get("n"), Some(Value::Null));
        assert_eq!(get("a.x"), None);
        assert_eq!(get("n.x"), None);
        assert_eq!(get("missing"), None);
    }
}
