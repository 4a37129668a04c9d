//! A decimal number as text, digit for digit.

use std::io::Write as _;

/// So many zeros at most are written for an exponent.
const MAX_ZEROS: usize = 64;
/// So many digits at most has an exponent: no float comes near.
const MAX_EXPONENT_DIGITS: usize = 6;

/// The parts of a decimal number.
pub(super) struct Decimal<'a> {
    negative: bool,
    /// The digits before the point, without leading zeros.
    whole: &'a str,
    /// The digits behind the point.
    fraction: &'a str,
    exponent: Option<i64>,
}

impl<'a> Decimal<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = split_digits(unsigned);
        let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest.strip_prefix(['e', 'E']) {
            Some(text) => Some(exponent(text)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        Some(Self { negative, whole: whole.trim_start_matches('0'), fraction, exponent })
    }

    /// As JSON writes it, which knows neither a plus sign nor leading zeros nor a bare point.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        out.extend_from_slice(if self.whole.is_empty() { b"0" } else { self.whole.as_bytes() });
        if !self.fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(self.fraction.as_bytes());
        }
        if let Some(exponent) = self.exponent {
            // Writing to a vector cannot fail.
            let _ = write!(out, "e{exponent}");
        }
    }

    /// The same value without point and exponent. Nothing is written when it is not whole.
    pub(super) fn write_whole(&self, out: &mut Vec<u8>) -> Option<()> {
        let fraction = self.fraction.trim_end_matches('0');
        if self.whole.is_empty() && fraction.is_empty() {
            out.push(b'0');
            return Some(());
        }
        // The value is whole and fraction side by side, with so many zeros behind them, or so many digits too many.
        let shift = self.exponent.unwrap_or(0) - i64::try_from(fraction.len()).ok()?;
        let (whole, zeros) = match usize::try_from(shift) {
            Ok(zeros) if zeros <= MAX_ZEROS => (self.whole, zeros),
            Err(_) if fraction.is_empty() => (without_zeros(self.whole, shift.unsigned_abs())?, 0),
            _ => return None,
        };
        if self.negative {
            out.push(b'-');
        }
        out.extend_from_slice(whole.as_bytes());
        out.extend_from_slice(if whole.is_empty() { fraction.trim_start_matches('0') } else { fraction }.as_bytes());
        out.resize(out.len() + zeros, b'0');
        Some(())
    }
}

/// The digits at the beginning, and what is behind them.
fn split_digits(text: &str) -> (&str, &str) {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(length)
}

fn exponent(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, rest) = split_digits(unsigned);
    let value = digits.trim_start_matches('0');
    if digits.is_empty() || !rest.is_empty() || value.len() > MAX_EXPONENT_DIGITS {
        return None;
    }
    let size: i64 = if value.is_empty() { 0 } else { value.parse().ok()? };
    Some(if negative { -size } else { size })
}

/// The digits without so many zeros at their end, if they are zeros.
fn without_zeros(digits: &str, count: u64) -> Option<&str> {
    let (kept, zeros) = digits.split_at(digits.len().checked_sub(usize::try_from(count).ok()?)?);
    zeros.bytes().all(|digit| digit == b'0').then_some(kept)
}
