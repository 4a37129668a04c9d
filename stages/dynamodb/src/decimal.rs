//! Exact decimal numbers within DynamoDB's bounds.
//!
//! A sum of prices must come out to the penny, however many there are: floats are taken by their shortest
//! decimal text, and nothing is ever rounded.

use std::fmt;

use penstock_process::{NumberView, decimal_text};
use serde_json::Number;

/// The most significant digits of a number (DynamoDB developer guide, "Constraints": data types, Number).
const MAX_DIGITS: u32 = 38;
/// The power of ten of the first digit lies between these (as above).
const MAX_MAGNITUDE: i64 = 125;
const MIN_MAGNITUDE: i64 = -130;
/// Up to so many zeros are written out rather than as an exponent.
const MAX_ZEROS: i32 = 40;

/// `mantissa × 10^exponent`; the mantissa never ends with a zero, and zero has the exponent zero. So equal
/// numbers are equal values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Decimal {
    mantissa: i128,
    exponent: i32,
}

impl Decimal {
    /// The number, if DynamoDB can hold it.
    pub(crate) fn from_json(number: &Number) -> Option<Self> {
        if let Some(whole) = number.as_i64() {
            return Self::new(i128::from(whole), 0);
        }
        if let Some(whole) = number.as_u64() {
            return Self::new(i128::from(whole), 0);
        }
        Self::from_text(&decimal_text(number))
    }

    /// The same for a look at a number.
    pub(crate) fn from_number(number: NumberView<'_>) -> Option<Self> {
        match number {
            NumberView::Parsed(number) => Self::from_json(number),
            NumberView::Flat(number) => Self::from_short(number.text()),
        }
    }

    /// Reads digits with an optional sign and point; their value fits into 64 bits.
    fn from_short(text: &str) -> Option<Self> {
        let (mut mantissa, mut places, mut behind_point) = (0_i64, 0_i32, false);
        for byte in text.bytes().filter(|byte| *byte != b'-') {
            if byte == b'.' {
                behind_point = true;
                continue;
            }
            let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
            mantissa = mantissa.checked_mul(10)?.checked_add(i64::from(digit))?;
            places += i32::from(behind_point);
        }
        let signed = if text.starts_with('-') { -mantissa } else { mantissa };
        Self::new(i128::from(signed), -places)
    }

    pub(crate) fn from_whole(whole: i64) -> Self {
        Self { mantissa: i128::from(whole), exponent: 0 }.trimmed()
    }

    /// Reads digits with an optional sign, point and exponent.
    fn from_text(text: &str) -> Option<Self> {
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let digits = format!("{whole}{fraction}");
        // Zeros at the end may be more than the mantissa holds.
        let significant = digits.trim_end_matches('0');
        let zeros = i32::try_from(digits.len() - significant.len()).ok()?;
        let places = i32::try_from(fraction.len()).ok()?;
        let mantissa = if matches!(significant, "" | "-") { 0 } else { significant.parse::<i128>().ok()? };
        Self::new(mantissa, exponent.checked_add(zeros)?.checked_sub(places)?)
    }

    fn new(mantissa: i128, exponent: i32) -> Option<Self> {
        let number = Self { mantissa, exponent }.trimmed();
        number.fits().then_some(number)
    }

    fn trimmed(mut self) -> Self {
        if self.mantissa == 0 {
            return Self::default();
        }
        // Most numbers are short, and 128 bits take many times as long to divide.
        if let Ok(mut short) = i64::try_from(self.mantissa) {
            while short % 10 == 0 {
                short /= 10;
                self.exponent += 1;
            }
            self.mantissa = i128::from(short);
            return self;
        }
        while self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.exponent += 1;
        }
        self
    }

    fn fits(self) -> bool {
        let magnitude = i64::from(self.exponent) + i64::from(self.digits()) - 1;
        self.mantissa == 0 || (self.digits() <= MAX_DIGITS && (MIN_MAGNITUDE..=MAX_MAGNITUDE).contains(&magnitude))
    }

    fn digits(self) -> u32 {
        let mantissa = self.mantissa.unsigned_abs();
        let log = u64::try_from(mantissa).map_or_else(|_| mantissa.checked_ilog10(), u64::checked_ilog10);
        log.map_or(0, |log| log + 1)
    }

    /// The sum, if it can be held without rounding.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        // The exponent of zero says nothing and must not widen the other number.
        if self.mantissa == 0 {
            return Some(other);
        }
        if other.mantissa == 0 {
            return Some(self);
        }
        let exponent = self.exponent.min(other.exponent);
        let sum = self.scaled_to(exponent)?.checked_add(other.scaled_to(exponent)?)?;
        Self::new(sum, exponent)
    }

    fn scaled_to(self, exponent: i32) -> Option<i128> {
        let shift = u32::try_from(self.exponent - exponent).ok()?;
        self.mantissa.checked_mul(10_i128.checked_pow(shift)?)
    }

    /// What the number costs in an item: a byte, one for every two digits on each side of the point, and one for
    /// a minus sign (as measured at the 400 KB limit; the developer guide says "approximately").
    pub(crate) fn size(self) -> usize {
        let digits = i64::from(self.digits());
        let whole = (digits + i64::from(self.exponent)).clamp(0, digits);
        let bytes = 1 + (whole + 1) / 2 + (digits - whole + 1) / 2 + i64::from(self.mantissa < 0);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

/// As DynamoDB reads it.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.mantissa.unsigned_abs().to_string();
        if self.mantissa < 0 {
            f.write_str("-")?;
        }
        let below = usize::try_from(-self.exponent).unwrap_or(0);
        if (0..=MAX_ZEROS).contains(&self.exponent) {
            let zeros = usize::try_from(self.exponent).unwrap_or(0);
            write!(f, "{digits}{:0<zeros$}", "")
        } else if below > 0 && below < digits.len() {
            let (whole, fraction) = digits.split_at(digits.len() - below);
            write!(f, "{whole}.{fraction}")
        } else if (1..=40).contains(&below) {
            write!(f, "0.{digits:0>below$}")
        } else {
            write!(f, "{digits}E{}", self.exponent)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(json: &str) -> Option<Decimal> {
        Decimal::from_json(&serde_json::from_str(json).unwrap())
    }

    fn text(json: &str) -> String {
        decimal(json).unwrap().to_string()
    }

    #[test]
    fn numbers_read_and_write_as_they_are() {
        for (json, expected) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("2.55", "2.55"),
            ("-0.001", "-0.001"),
            ("100", "100"),
            ("1e20", "100000000000000000000"),
            ("1.5e-9", "0.0000000015"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1e125", "1E125"),
            ("1.25e-100", "125E-102"),
            ("12345.678", "12345.678"),
        ] {
            assert_eq!(text(json), expected, "{json}");
        }
    }

    #[test]
    fn what_dynamodb_cannot_hold_is_no_number() {
        for json in ["1e126", "-1e300", "1e-131", "4.9e-324"] {
            assert_eq!(decimal(json), None, "{json}");
        }
        assert!(decimal("9.999999e125").is_some() && decimal("1e-130").is_some());
    }

    #[test]
    fn sums_are_exact_where_floats_are_not() {
        let sum = |numbers: &[&str]| {
            numbers.iter().try_fold(Decimal::default(), |sum, number| sum.checked_add(decimal(number).unwrap()))
        };
        assert_eq!(sum(&["0.1", "0.2"]).unwrap().to_string(), "0.3");
        assert_eq!(sum(&["15.3", "-15.3"]), Some(Decimal::default()));
        assert_eq!(sum(&["1e20", "0.01"]).unwrap().to_string(), "100000000000000000000.01");
        assert_eq!(sum(&["1e25", "1e-25"]), None, "51 digits");
        assert_eq!(sum(&["1e125", "0"]), decimal("1e125"));
    }

    #[test]
    fn a_number_costs_what_dynamodb_counts() {
        for (json, size) in
            [("0", 1), ("42", 2), ("-42", 3), ("100", 2), ("12345", 4), ("1.5", 3), ("0.05", 2), ("123.456", 5)]
        {
            assert_eq!(decimal(json).unwrap().size(), size, "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_sum_of_cents_is_the_sum_of_whole_numbers(cents in prop::collection::vec(-10_000_000_i64..10_000_000, 0..200)) {
            let mut sum = Decimal::default();
            for cent in &cents {
                #[allow(clippy::cast_precision_loss, reason = "small")]
                let number = Number::from_f64(*cent as f64 / 100.0).unwrap();
                sum = sum.checked_add(Decimal::from_json(&number).unwrap()).unwrap();
            }
            let expected = Decimal::new(i128::from(cents.iter().sum::<i64>()), -2).unwrap();
            prop_assert_eq!(sum, expected);
        }

        #[test]
        fn short_numbers_read_as_others_do(mantissa in -999_999_999_999_999_i64..=999_999_999_999_999, places in 0_usize..8) {
            let sign = if mantissa < 0 { "-" } else { "" };
            let digits = format!("{:0>width$}", mantissa.unsigned_abs(), width = places + 1);
            let (whole, fraction) = digits.split_at(digits.len() - places);
            let text = if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
            prop_assert_eq!(Decimal::from_short(&text), Decimal::from_text(&text));
        }

        #[test]
        fn text_reads_back(mantissa in any::<i64>(), exponent in -100_i32..100) {
            let number = Decimal::new(i128::from(mantissa), exponent).unwrap();
            prop_assert_eq!(Decimal::from_text(&number.to_string()), Some(number));
        }

        #[test]
        fn the_order_of_a_sum_does_not_matter(numbers in prop::collection::vec((any::<i32>(), -6_i32..6), 0..50)) {
            let add = |sum: Decimal, (mantissa, exponent): &(i32, i32)| {
                sum.checked_add(Decimal::new(i128::from(*mantissa), *exponent).unwrap()).unwrap()
            };
            let forward = numbers.iter().fold(Decimal::default(), add);
            let backward = numbers.iter().rev().fold(Decimal::default(), add);
            prop_assert_eq!(forward, backward);
        }
    }
}
