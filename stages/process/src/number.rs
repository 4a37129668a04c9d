//! Numbers as text.

use serde_json::Number;

/// The number as its shortest decimal text: `6` for `6`, `6.0` and `6e0`, `0.1` for `0.1`.
///
/// An exponent is used only where the digits alone would be long: below 1e-7 and from 1e21, as in ECMAScript.
#[must_use]
pub fn decimal_text(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => float_text(value),
        _ => number.to_string(),
    }
}

fn float_text(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if (1e-7..1e21).contains(&size) {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_equal_have_the_same_text() {
        for (json, text) in [
            ("6", "6"),
            ("6.0", "6"),
            ("6e0", "6"),
            ("-0.0", "0"),
            ("0.1", "0.1"),
            ("1.10", "1.1"),
            ("-18446744073709551", "-18446744073709551"),
            ("18446744073709551615", "18446744073709551615"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e21"),
            ("0.00000012", "0.00000012"),
            ("1.5e-9", "1.5e-9"),
            ("2.675", "2.675"),
        ] {
            let number: Number = serde_json::from_str(json).unwrap();
            assert_eq!(decimal_text(&number), text, "{json}");
        }
    }
}
