//! The fields of a row, however it was read.

use std::borrow::Cow;

use penstock_contract::Rejection;
use serde_json::{Map, Number, Value};

use crate::flat::{Flat, FlatNumber, FlatRow};
use crate::{FieldPath, Row, decimal_text, parse_row};

/// A look at a row.
#[derive(Debug, Clone, Copy)]
pub enum RowView<'a> {
    /// One that was built.
    Parsed(&'a Row),
    /// One that is seen in its bytes.
    Flat(&'a FlatRow<'a>),
}

/// A look at the value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldView<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A string.
    Text(&'a str),
    /// A number.
    Number(NumberView<'a>),
    /// An array.
    Array(&'a [Value]),
    /// An object.
    Object(&'a Map<String, Value>),
}

/// A look at a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NumberView<'a> {
    /// As the JSON reader made it.
    Parsed(&'a Number),
    /// As it stands in the row.
    Flat(FlatNumber<'a>),
}

/// Reads a record's bytes as a row, in the cheapest way that there is, and shows it.
///
/// # Errors
/// As [`parse_row`], and those of `look`.
pub fn look_at<T>(data: &[u8], look: impl FnOnce(RowView<'_>) -> Result<T, Rejection>) -> Result<T, Rejection> {
    match FlatRow::read(data) {
        Some(row) => look(RowView::Flat(&row)),
        None => look(RowView::Parsed(&parse_row(data)?)),
    }
}

impl<'a> RowView<'a> {
    /// The value of a field, also of one within an object.
    #[must_use]
    pub fn get(self, field: &FieldPath) -> Option<FieldView<'a>> {
        match self {
            Self::Parsed(row) => row.get(field).map(FieldView::from),
            // There is no object in it, so no path leads deeper.
            Self::Flat(row) => row.get(field.as_str()).map(FieldView::from),
        }
    }

    /// The value of the field of that name.
    #[must_use]
    pub fn named(self, name: &str) -> Option<FieldView<'a>> {
        match self {
            Self::Parsed(row) => row.0.get(name).map(FieldView::from),
            Self::Flat(row) => row.get(name).map(FieldView::from),
        }
    }

    /// All fields, in the order in which they were sent.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, FieldView<'a>)> {
        let (parsed, flat) = match self {
            Self::Parsed(row) => (Some(row.0.iter()), None),
            Self::Flat(row) => (None, Some(row.fields())),
        };
        let parsed = parsed.into_iter().flatten().map(|(name, value)| (name.as_str(), FieldView::from(value)));
        parsed.chain(flat.into_iter().flatten().map(|(name, value)| (name, FieldView::from(value))))
    }

    /// The id that the row brought along in the field: a string that is not empty, or a number.
    #[must_use]
    pub fn own_id(self, id_field: &str) -> Option<Cow<'a, str>> {
        match self.named(id_field)? {
            FieldView::Text(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
            FieldView::Number(number) => Some(number.text()),
            _ => None,
        }
    }
}

impl<'a> From<&'a Value> for FieldView<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::String(text) => Self::Text(text),
            Value::Number(number) => Self::Number(NumberView::Parsed(number)),
            Value::Array(values) => Self::Array(values),
            Value::Object(fields) => Self::Object(fields),
        }
    }
}

impl<'a> From<Flat<'a>> for FieldView<'a> {
    fn from(value: Flat<'a>) -> Self {
        match value {
            Flat::Null => Self::Null,
            Flat::Bool(value) => Self::Bool(value),
            Flat::Text(text) => Self::Text(text),
            Flat::Number(number) => Self::Number(NumberView::Flat(number)),
        }
    }
}

impl FieldView<'_> {
    /// The value as JSON of its own.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Text(text) => Value::String(text.to_owned()),
            Self::Number(NumberView::Parsed(number)) => Value::Number(number.clone()),
            Self::Number(NumberView::Flat(number)) => Flat::Number(number).to_value(),
            Self::Array(values) => Value::Array(values.to_vec()),
            Self::Object(fields) => Value::Object(fields.clone()),
        }
    }

    /// What it is, with its article, for messages.
    #[must_use]
    pub fn kind_name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl<'a> NumberView<'a> {
    /// The shortest decimal text, as [`decimal_text`] writes it.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Parsed(number) => Cow::Owned(decimal_text(number)),
            Self::Flat(number) => Cow::Borrowed(number.text()),
        }
    }

    /// The number, if it is whole, was written so, and fits.
    #[must_use]
    pub fn whole(self) -> Option<i64> {
        match self {
            Self::Parsed(number) => number.as_i64(),
            Self::Flat(number) => number.whole(),
        }
    }

    /// The number as a float.
    #[must_use]
    pub fn float(self) -> Option<f64> {
        match self {
            Self::Parsed(number) => number.as_f64(),
            Self::Flat(number) => number.float(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::parse_row;

    const ROW: &str = r#"{"a":"x","n":6,"d":2.550,"t":true,"z":null,"e":""}"#;

    fn both(check: impl Fn(RowView<'_>)) {
        let parsed = parse_row(ROW.as_bytes()).unwrap();
        check(RowView::Parsed(&parsed));
        check(RowView::Flat(&FlatRow::read(ROW.as_bytes()).unwrap()));
    }

    #[test]
    fn a_row_looks_the_same_however_it_was_read() {
        both(|row| {
            let fields: Vec<_> = row.fields().map(|(name, value)| (name, value.to_value().to_string())).collect();
            let expected = [("a", "\"x\""), ("n", "6"), ("d", "2.55"), ("t", "true"), ("z", "null"), ("e", "\"\"")];
            assert_eq!(fields, expected.map(|(name, value)| (name, value.to_owned())));
            let kinds: Vec<_> = row.fields().map(|(_, value)| value.kind_name()).collect();
            assert_eq!(kinds, ["a string", "a number", "a number", "a boolean", "null", "a string"]);
            assert_eq!(row.get(&FieldPath::new("a")), Some(FieldView::Text("x")));
            assert_eq!(row.get(&FieldPath::new("a.b")), None);
            let Some(FieldView::Number(number)) = row.named("d") else { panic!("d is a number") };
            assert_eq!((number.text().as_ref(), number.whole(), number.float()), ("2.55", None, Some(2.55)));
        });
    }

    #[test]
    fn an_id_is_a_string_that_is_not_empty_or_a_number() {
        both(|row| {
            let ids = ["a", "n", "d", "t", "z", "e", "missing"].map(|field| row.own_id(field).map(Cow::into_owned));
            assert_eq!(ids, [Some("x".into()), Some("6".into()), Some("2.55".into()), None, None, None, None]);
        });
    }
}
