//! Exact numbers: read from DynamoDB's text and written as plain digits.

use std::str::FromStr as _;

use bigdecimal::{BigDecimal, RoundingMode, Zero as _};

/// How many places an average has.
const AVERAGE_PLACES: i64 = 6;
/// The longest number that is read: DynamoDB's have 38 digits.
const MAX_LETTERS: usize = 64;
/// DynamoDB's numbers lie within these powers of ten (developer guide, "Constraints").
const MAX_POWER: i64 = 130;

/// Reads a number as JSON and DynamoDB write it, if it is one that DynamoDB could hold.
pub(crate) fn read(text: &str) -> Option<BigDecimal> {
    if text.len() > MAX_LETTERS || !is_json_number(text) {
        return None;
    }
    // Looked at first: a great exponent would be written out in full somewhere.
    let power: i64 = text.split_once(['e', 'E']).map_or(Some(0), |(_, power)| power.parse().ok())?;
    if power.abs() > MAX_POWER {
        return None;
    }
    BigDecimal::from_str(text).ok()
}

/// Whether a text is a number of JSON (RFC 8259).
pub(crate) fn is_json_number(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let (number, power) = rest.split_once(['e', 'E']).map_or((rest, None), |(number, power)| (number, Some(power)));
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, part)| (whole, Some(part)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && power.is_none_or(|power| digits(power.strip_prefix(['+', '-']).unwrap_or(power)))
}

/// Plain digits, without zeros at the end.
pub(crate) fn plain(number: &BigDecimal) -> String {
    if number.is_zero() { "0".to_owned() } else { number.normalized().to_plain_string() }
}

/// The average, rounded half to even.
pub(crate) fn average(sum: &BigDecimal, count: u64) -> Option<BigDecimal> {
    if count == 0 {
        return None;
    }
    // Enough digits that the rounding after the division is the only one that shows.
    Some((sum / BigDecimal::from(count)).with_scale_round(AVERAGE_PLACES, RoundingMode::HalfEven))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_plain_digits() {
        for (text, wanted) in [
            ("0", "0"),
            ("-0.50", "-0.5"),
            ("1E+3", "1000"),
            ("748957.020", "748957.02"),
            ("100", "100"),
            ("1e-7", "0.0000001"),
        ] {
            assert_eq!(plain(&read(text).unwrap()), wanted);
        }
    }

    #[test]
    fn what_is_no_number_or_beyond_dynamodbs_is_not_read() {
        for text in ["", "-", "01", "1.", ".5", "+1", "1e", "NaN", "1 ", "0x1", "1e999999999", "1e131", "١"] {
            assert!(read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_average_is_rounded_half_to_even() {
        let average = |sum: &str, count| plain(&average(&read(sum).unwrap(), count).unwrap());
        assert_eq!(average("10", 4), "2.5");
        assert_eq!(average("1", 3), "0.333333");
        assert_eq!(average("0.000001", 2), "0");
        assert_eq!(average("0.000003", 2), "0.000002");
        assert!(super::average(&read("1").unwrap(), 0).is_none());
    }
}
