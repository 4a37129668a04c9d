//! Scalars, read as `kubectl` and Helm read them.
//!
//! Both use a YAML 1.1 reader: a bare `N`, `yes` or `off` is a boolean for them, and a bare `0755` is octal. To
//! give the cluster's verdict, the same text must come to the same value here.

use serde_json::{Number, Value};

/// A scalar: its text, and the value that it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// The text, without quotes and indentation.
    pub text: String,
    /// How it is written.
    pub style: Style,
    /// The value.
    pub value: Value,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Bare.
    Plain,
    /// In single or double quotes.
    Quoted,
    /// As a block whose lines are kept (`|`).
    Literal,
    /// As a block whose lines are joined (`>`).
    Folded,
}

impl Scalar {
    /// Reads a scalar. `tag` is the suffix of a core tag, such as `str` of `!!str`.
    pub(super) fn read(text: String, style: Style, tag: Option<&str>) -> Self {
        let value = match (style, tag) {
            (_, Some("str")) => Value::String(text.clone()),
            (Style::Plain, _) => resolve(&text),
            _ => Value::String(text.clone()),
        };
        Self { text, style, value }
    }
}

fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => {
            number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
        }
        _ => Value::String(text.to_owned()),
    }
}

fn number(text: &str) -> Option<Number> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    whole_number(&plain).or_else(|| fraction(&plain))
}

fn whole_number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some(two) if two.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0_i64.checked_sub_unsigned(magnitude).map(Number::from) } else { Some(Number::from(magnitude)) }
}

fn fraction(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    // Rust reads `inf` and `nan` as numbers; YAML does not.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !unsigned.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    // A whole number below 2^53 goes to the API server as a whole number, however it was written.
    #[allow(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bare_words_come_to_what_kubectl_makes_of_them() {
        for (text, value) in [
            ("a", json!("a")),
            ("", json!(null)),
            ("~", json!(null)),
            ("N", json!(false)),
            ("on", json!(true)),
            ("None", json!("None")),
            ("4", json!(4)),
            ("-4", json!(-4)),
            ("+4", json!(4)),
            ("4.0", json!(4)),
            ("4.5", json!(4.5)),
            ("1e3", json!(1000)),
            (".5", json!(0.5)),
            ("0x1F", json!(31)),
            ("010", json!(8)),
            ("08", json!(8)),
            ("1_000", json!(1000)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("-", json!("-")),
            (".", json!(".")),
            ("48h", json!("48h")),
            ("1.2.3", json!("1.2.3")),
            ("2024-01-01", json!("2024-01-01")),
            ("--1", json!("--1")),
            ("0x", json!("0x")),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
    }

    #[test]
    fn quotes_and_tags_make_a_text() {
        assert_eq!(Scalar::read("N".to_owned(), Style::Quoted, None).value, json!("N"));
        assert_eq!(Scalar::read("4".to_owned(), Style::Plain, Some("str")).value, json!("4"));
    }
}
