//! Durations, sizes and times as people write them in a Pipeline: `48h`, `64Mi`, `2026-11-01T00:00:00Z`.

use std::time::Duration;

use chrono::DateTime;

/// A text that is no duration, no size or no time.
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

/// The pattern of a time (RFC 3339), for the schema. It leaves days that a month has not to [`time`].
pub const TIME_PATTERN: &str = "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,3})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";

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

/// Reads a time with its offset; gives milliseconds since 1970 in UTC.
///
/// # Errors
/// When the text does not match [`TIME_PATTERN`], or names a day that its month has not.
pub fn time(text: &str) -> Result<i64, InvalidUnit> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| InvalidUnit {
        text: text.to_owned(),
        wanted: "time: one of the calendar with its offset, such as 2026-11-01T00:00:00Z",
    })?;
    Ok(time.timestamp_millis())
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
    fn times_read_as_written() {
        assert_eq!(time("2026-11-01T00:00:00Z"), Ok(1_793_491_200_000));
        assert_eq!(time("2026-11-01T01:30:00.250+01:30"), Ok(1_793_491_200_250));
        for text in ["", "2026-11-01", "2026-11-01T00:00:00", "2026-02-30T00:00:00Z", "2026-11-01T25:00:00Z", "now"] {
            assert!(time(text).is_err(), "{text}");
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
