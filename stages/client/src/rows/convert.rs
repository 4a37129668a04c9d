//! One cell of a CSV file as a JSON value. Numbers keep their digits: what the file says is what is sent, not what a
//! float makes of it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::CellType;

/// So many zeros at most are written for an exponent.
const MAX_EXPONENT: i64 = 64;
/// So much of a cell is shown in a reason.
const SHOWN_CHARS: usize = 60;

/// Why a cell cannot have the type that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) code: &'static str,
    pub(crate) reason: String,
}

fn unfit(code: &'static str, cell: &str, what: &str) -> Unfit {
    let mut shown: String = cell.chars().take(SHOWN_CHARS).collect();
    if shown.len() < cell.len() {
        shown.push('…');
    }
    Unfit { code, reason: format!("{shown:?} is no {what}") }
}

/// Writes a cell that is not empty. On an error, what was written is to be thrown away.
pub(crate) fn write_cell(cell: &str, kind: CellType, decimal_comma: bool, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let trimmed = cell.trim();
    match kind {
        CellType::String => {
            write_string(cell, out);
            Ok(())
        }
        CellType::Integer => {
            let number = Number::parse(&with_point(trimmed, decimal_comma)).and_then(|number| number.integer());
            out.extend_from_slice(number.ok_or_else(|| unfit("not_an_integer", cell, "whole number"))?.as_bytes());
            Ok(())
        }
        CellType::Number => {
            let text = with_point(trimmed, decimal_comma);
            let number = Number::parse(&text).ok_or_else(|| unfit("not_a_number", cell, "number"))?;
            number.write(out);
            Ok(())
        }
        CellType::Boolean => {
            let truth = boolean(trimmed).ok_or_else(|| unfit("not_a_boolean", cell, "true or false"))?;
            out.extend_from_slice(if truth { b"true" } else { b"false" });
            Ok(())
        }
        CellType::Json => {
            let value =
                serde_json::from_str::<&RawValue>(trimmed).map_err(|_| unfit("not_json", cell, "JSON value"))?;
            // A line end between two tokens would end the line that the row is.
            if value.get().contains(['\n', '\r']) {
                out.extend(value.get().bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
            } else {
                out.extend_from_slice(value.get().as_bytes());
            }
            Ok(())
        }
    }
}

/// Writes a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).unwrap_or_else(|_| unreachable!("a vector takes every string"));
    }
}

fn with_point(text: &str, decimal_comma: bool) -> Cow<'_, str> {
    match decimal_comma && text.contains(',') && !text.contains('.') {
        true => Cow::Owned(text.replacen(',', ".", 1)),
        false => Cow::Borrowed(text),
    }
}

fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(&["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// The parts of a decimal number: sign, digits before and behind the point, exponent.
struct Number<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: Option<i64>,
}

impl<'a> Number<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], Some(exponent(&unsigned[at + 1..])?)),
            None => (unsigned, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return None;
        }
        let zeros = whole.bytes().take_while(|byte| *byte == b'0').count();
        Some(Self { negative, whole: &whole[zeros..], fraction, exponent })
    }

    /// As JSON writes it, digit for digit; JSON knows neither a plus sign nor leading zeros nor a bare point.
    fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        out.extend_from_slice(if self.whole.is_empty() { b"0" } else { self.whole.as_bytes() });
        if !self.fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(self.fraction.as_bytes());
        }
        if let Some(exponent) = self.exponent {
            out.extend_from_slice(format!("e{exponent}").as_bytes());
        }
    }

    /// The same value without a point, if it is whole.
    fn integer(&self) -> Option<String> {
        let exponent = self.exponent.unwrap_or(0);
        let mut digits = self.whole.to_owned() + self.fraction;
        let shift = exponent - i64::try_from(self.fraction.len()).ok()?;
        if digits.bytes().all(|byte| byte == b'0') {
            return Some("0".to_owned());
        }
        if shift > MAX_EXPONENT {
            return None;
        }
        for _ in 0..shift {
            digits.push('0');
        }
        for _ in shift..0 {
            if digits.pop().is_some_and(|digit| digit != '0') {
                return None;
            }
        }
        let digits = digits.trim_start_matches('0');
        match digits {
            "" => None,
            _ if self.negative => Some(format!("-{digits}")),
            _ => Some(digits.to_owned()),
        }
    }
}

fn exponent(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let known = (1..=6).contains(&unsigned.len()) && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    known.then(|| text.strip_prefix('+').unwrap_or(text).parse().ok()).flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn convert(cell: &str, kind: CellType) -> Result<String, &'static str> {
        let mut out = Vec::new();
        write_cell(cell, kind, false, &mut out).map_err(|unfit| unfit.code)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn whole_numbers_are_those_whose_value_is_whole() {
        for (cell, expected) in [
            ("6", "6"),
            ("-12", "-12"),
            ("+6", "6"),
            ("007", "7"),
            ("17850.0", "17850"),
            ("17850.", "17850"),
            ("0", "0"),
            ("-0", "0"),
            ("0.00", "0"),
            (" 6 ", "6"),
            ("1.5e1", "15"),
            ("1.2E+05", "120000"),
            ("1200e-2", "12"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("0e999999", "0"),
        ] {
            assert_eq!(convert(cell, CellType::Integer).as_deref(), Ok(expected), "{cell}");
        }
        for cell in
            ["", "x", "6.5", "1e-1", "1e999", "1e-999999", "--6", "6-", "1,000", "0x10", "NaN", "inf", ".", "e5", "٣"]
        {
            assert_eq!(convert(cell, CellType::Integer), Err("not_an_integer"), "{cell}");
        }
    }

    #[test]
    fn decimals_keep_their_digits() {
        for (cell, expected) in [
            ("2.55", "2.55"),
            ("2.10", "2.10"),
            ("18", "18"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-.5", "-0.5"),
            ("+2.5", "2.5"),
            ("007.50", "7.50"),
            ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
            ("1.5E+3", "1.5e3"),
            ("0", "0"),
            ("00", "0"),
        ] {
            assert_eq!(convert(cell, CellType::Number).as_deref(), Ok(expected), "{cell}");
        }
        for cell in ["2,55", "1.2.3", "£2.55", "Infinity", "1e", "1e+", "-"] {
            assert_eq!(convert(cell, CellType::Number), Err("not_a_number"), "{cell}");
        }
    }

    #[test]
    fn a_decimal_comma_is_read_when_it_was_named() {
        let mut out = Vec::new();
        write_cell("2,55", CellType::Number, true, &mut out).unwrap();
        assert_eq!(out, b"2.55");
        assert!(write_cell("1.234,5", CellType::Number, true, &mut Vec::new()).is_err(), "thousands are not guessed");
    }

    #[test]
    fn truth_has_many_words() {
        for cell in ["true", "TRUE", "yes", "Y", "1", "t"] {
            assert_eq!(convert(cell, CellType::Boolean).as_deref(), Ok("true"), "{cell}");
        }
        assert_eq!(convert("no", CellType::Boolean).as_deref(), Ok("false"));
        assert_eq!(convert("maybe", CellType::Boolean), Err("not_a_boolean"));
    }

    #[test]
    fn json_cells_stay_on_their_line() {
        assert_eq!(convert("{\"a\":\n[1, 2]}", CellType::Json).as_deref(), Ok("{\"a\": [1, 2]}"));
        assert_eq!(convert("{\"a\":", CellType::Json), Err("not_json"));
    }

    #[test]
    fn a_reason_shows_only_the_beginning_of_a_long_cell() {
        let unfit = write_cell(&"x".repeat(10_000), CellType::Number, false, &mut Vec::new()).unwrap_err();
        assert!(unfit.reason.len() < 100, "{}", unfit.reason);
    }

    proptest! {
        #[test]
        fn every_string_comes_back_as_it_was(text in "\\PC*|[\\x00-\\x7f]*") {
            let written = convert(&text, CellType::String).unwrap();
            prop_assert!(!written.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }

        #[test]
        fn every_float_keeps_its_value(number in proptest::num::f64::NORMAL) {
            let written = convert(&format!("{number:e}"), CellType::Number).unwrap();
            prop_assert_eq!(serde_json::from_str::<f64>(&written).unwrap(), number);
        }

        #[test]
        fn what_is_taken_for_a_number_is_one_in_json(text in "[-+0-9.eE]{0,12}") {
            for kind in [CellType::Integer, CellType::Number] {
                if let Ok(written) = convert(&text, kind) {
                    prop_assert!(serde_json::from_str::<&RawValue>(&written).is_ok(), "{}", written);
                }
            }
        }
    }
}
