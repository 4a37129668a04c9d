//! Durations and sizes as people write them in a Pipeline: `48h`, `5m`, `64Mi`.

use std::time::Duration;

/// A text that is no duration or no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {wanted}")]
pub struct InvalidUnit {
    /// What was found.
    pub text: String,
    /// What was expected, with an example.
    pub wanted: &'static str,
}

/// The pattern of a duration, for the schema.
pub const DURATION_PATTERN: &str = "^[1-9][0-9]{0,5}(ms|s|m|h|d)$";
/// The pattern of a size, for the schema.
pub const SIZE_PATTERN: &str = "^[1-9][0-9]{0,9}(Ki|Mi|Gi)?$";

/// Reads a whole number with one unit of `ms`, `s`, `m`, `h`, `d`.
///
/// # Errors
/// When the text does not match [`DURATION_PATTERN`].
pub fn duration(text: &str) -> Result<Duration, InvalidUnit> {
    let invalid = || InvalidUnit {
        text: text.to_owned(),
        wanted: "duration: a whole number above 0 and one of ms, s, m, h, d, such as 5m",
    };
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
    let (digits, unit) = text.split_at(split);
    if digits.len() > 6 || digits.starts_with('0') {
        return Err(invalid());
    }
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(invalid()),
    };
    Ok(Duration::from_millis(number * millis))
}

/// Reads a whole number of bytes with an optional unit of `Ki`, `Mi`, `Gi`.
///
/// # Errors
/// When the text does not match [`SIZE_PATTERN`].
pub fn size(text: &str) -> Result<u64, InvalidUnit> {
    let invalid = || InvalidUnit {
        text: text.to_owned(),
        wanted: "size: a whole number above 0 of bytes, or one with Ki, Mi or Gi, such as 64Mi",
    };
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    if digits.len() > 10 || digits.starts_with('0') {
        return Err(invalid());
    }
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    let factor = match unit {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(invalid()),
    };
    Ok(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        assert_eq!(duration("48h"), Ok(Duration::from_secs(48 * 3600)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "5", "m", "5 m", "-5m", "1.5h", "5w", "0s", "1234567s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_as_written() {
        assert_eq!(size("64Mi"), Ok(64 << 20));
        assert_eq!(size("1000"), Ok(1000));
        assert_eq!(size("9999999999Gi"), Ok(9_999_999_999 << 30));
        for text in ["", "Mi", "5MB", "5 Mi", "-5", "1.5Gi", "0Mi", "99999999999"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
