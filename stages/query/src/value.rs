//! DynamoDB's values as JSON, as cells of a CSV, and compared.

use std::cmp::Ordering;
use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bigdecimal::BigDecimal;

use crate::decimal;

/// An item as it is in the table.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// What a sink keeps for itself.
const RESERVED_PREFIX: &str = "_penstock";

/// Whether an attribute is for others than the sink.
pub(crate) fn is_public(attribute: &str) -> bool {
    !attribute.starts_with(RESERVED_PREFIX)
}

/// A value of the answer: one of the table, or one that was computed.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Stored(AttributeValue),
    Computed(Option<BigDecimal>),
    Missing,
}

/// Writes a text as JSON.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    // A text is always JSON, and a vector takes what is written.
    let _ = serde_json::to_writer(out, text);
}

/// Writes a value as JSON.
pub(crate) fn write_json(out: &mut Vec<u8>, value: &AttributeValue) {
    match value {
        AttributeValue::S(text) => write_text(out, text),
        AttributeValue::N(number) => write_number(out, number),
        AttributeValue::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        AttributeValue::B(bytes) => write_text(out, &STANDARD.encode(bytes)),
        AttributeValue::L(values) => write_list(out, values, write_json),
        AttributeValue::Ss(texts) => write_list(out, texts, |out, text| write_text(out, text)),
        AttributeValue::Ns(numbers) => write_list(out, numbers, |out, number| write_number(out, number)),
        AttributeValue::Bs(all) => write_list(out, all, |out, bytes| write_text(out, &STANDARD.encode(bytes))),
        AttributeValue::M(members) => {
            // DynamoDB keeps no order of members: one is needed that is always the same.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(out, name);
                out.push(b':');
                write_json(out, value);
            }
            out.push(b'}');
        }
        // `Null`, and kinds that DynamoDB has not got yet.
        _ => out.extend_from_slice(b"null"),
    }
}

fn write_list<T>(out: &mut Vec<u8>, values: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, value);
    }
    out.push(b']');
}

/// The digits as DynamoDB has them. Something else than a number of JSON would be a text.
fn write_number(out: &mut Vec<u8>, number: &str) {
    if decimal::is_json_number(number) {
        out.extend_from_slice(number.as_bytes());
    } else {
        write_text(out, number);
    }
}

impl Cell {
    /// The attribute of an item.
    pub(crate) fn of(item: &Item, attribute: &str) -> Self {
        item.get(attribute).cloned().map_or(Self::Missing, Self::Stored)
    }

    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Stored(value) => write_json(out, value),
            Self::Computed(Some(number)) => out.extend_from_slice(decimal::plain(number).as_bytes()),
            Self::Computed(None) | Self::Missing => out.extend_from_slice(b"null"),
        }
    }

    /// As a cell of a CSV: texts as they are, lists and maps as JSON, nothing for nothing.
    pub(crate) fn csv(&self) -> Vec<u8> {
        match self {
            Self::Stored(AttributeValue::S(text)) => text.clone().into_bytes(),
            Self::Stored(AttributeValue::B(bytes)) => STANDARD.encode(bytes).into_bytes(),
            Self::Stored(AttributeValue::Null(_)) | Self::Computed(None) | Self::Missing => Vec::new(),
            other => {
                let mut out = Vec::new();
                other.write_json(&mut out);
                out
            }
        }
    }

    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// What it is ordered by: numbers before texts before everything else before nothing.
    pub(crate) fn rank(&self) -> Rank {
        match self {
            Self::Stored(AttributeValue::N(number)) => decimal::read(number).map_or(Rank::Other, Rank::Number),
            Self::Stored(AttributeValue::S(text)) => Rank::Text(text.clone()),
            Self::Computed(Some(number)) => Rank::Number(number.clone()),
            Self::Computed(None) | Self::Missing => Rank::Nothing,
            Self::Stored(_) => Rank::Other,
        }
    }
}

/// What a cell is ordered by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Number(BigDecimal),
    Text(String),
    Other,
    Nothing,
}

impl Rank {
    /// Compares in a direction; nothing comes last in both.
    pub(crate) fn compare(&self, other: &Self, descending: bool) -> Ordering {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => self.cmp(other),
            _ if descending => other.cmp(self),
            _ => self.cmp(other),
        }
    }
}

/// What an item costs in the table, about: names and values (developer guide, "item sizes").
pub(crate) fn size(item: &Item) -> u64 {
    item.iter().map(|(name, value)| name.len() as u64 + size_of(value)).sum()
}

fn size_of(value: &AttributeValue) -> u64 {
    match value {
        AttributeValue::S(text) => text.len() as u64,
        AttributeValue::N(number) => number.len() as u64 / 2 + 1,
        AttributeValue::B(bytes) => bytes.as_ref().len() as u64,
        AttributeValue::L(values) => values.iter().map(|value| 1 + size_of(value)).sum::<u64>() + 3,
        AttributeValue::M(members) => size(members) + members.len() as u64 + 3,
        AttributeValue::Ss(texts) => texts.iter().map(|text| text.len() as u64).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| number.len() as u64 / 2 + 1).sum(),
        AttributeValue::Bs(all) => all.iter().map(|bytes| bytes.as_ref().len() as u64).sum(),
        _ => 1,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn json(value: &AttributeValue) -> String {
        let mut out = Vec::new();
        write_json(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_keep_their_digits() {
        for digits in ["0.1", "12345678901234567890123456789012345678", "-1E-130", "748957.02"] {
            assert_eq!(json(&AttributeValue::N(digits.to_owned())), digits);
        }
        assert_eq!(json(&AttributeValue::N("NaN".to_owned())), r#""NaN""#);
    }

    #[test]
    fn members_have_an_order() {
        let members = ["b", "a", "c"].map(|name| (name.to_owned(), AttributeValue::Bool(true)));
        assert_eq!(json(&AttributeValue::M(HashMap::from(members))), r#"{"a":true,"b":true,"c":true}"#);
        let list = AttributeValue::L(vec![AttributeValue::Null(true), AttributeValue::S("\"\n".to_owned())]);
        assert_eq!(json(&list), r#"[null,"\"\n"]"#);
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_nothing_comes_last() {
        let number = |text: &str| Cell::Stored(AttributeValue::N(text.to_owned())).rank();
        assert_eq!(number("9").compare(&number("10"), false), Ordering::Less);
        assert_eq!(number("9").compare(&number("10"), true), Ordering::Greater);
        for descending in [true, false] {
            assert_eq!(Cell::Missing.rank().compare(&number("1"), descending), Ordering::Greater);
        }
    }
}
