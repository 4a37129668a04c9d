//! How a column writes dates: named, or told from the values. A guess is taken only when no other reading of the
//! same values is possible.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime};

use crate::options::ParseOptionError;

/// Dates before and after are taken for a wrong reading, such as the year 10 for 2010.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2200;

/// Why the format of a column's dates cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// Several readings give different dates.
    #[error(
        "{example:?} may be {first} or {second}: say which with --date-format {first_format:?} or {second_format:?}"
    )]
    Ambiguous {
        /// A value that can be read in two ways.
        example: String,
        /// Read in the first way.
        first: String,
        /// Read in the second way.
        second: String,
        /// The first way.
        first_format: String,
        /// The second way.
        second_format: String,
    },
    /// No known format.
    #[error("{example:?} is in no known format: name it with --date-format, for example \"%m/%d/%Y %H:%M\"")]
    Unknown {
        /// The first value.
        example: String,
    },
    /// Some values are in one format and some in another.
    #[error(
        "{first:?} and {second:?} are in different formats: name the right one with --date-format; the other rows are then reported"
    )]
    Mixed {
        /// A value in one format.
        first: String,
        /// A value in another.
        second: String,
    },
    /// There is nothing to tell it from.
    #[error("no row that was looked at has a date: name the format with --date-format")]
    NoValues,
}

/// How dates are written, as for `strftime`.
#[derive(Clone, PartialEq)]
pub struct DateFormat {
    text: String,
    items: Vec<Item<'static>>,
}

impl fmt::Debug for DateFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DateFormat({:?})", self.text)
    }
}

impl fmt::Display for DateFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for DateFormat {
    type Err = ParseOptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |problem: &str| {
            ParseOptionError(format!("{text:?} is no date format: {problem}; write for example \"%m/%d/%Y %H:%M\""))
        };
        let items = StrftimeItems::new(text).parse_to_owned().map_err(|_| wrong("it holds an unknown % sign"))?;
        if !items.iter().any(|item| matches!(item, Item::Numeric(..) | Item::Fixed(..))) {
            return Err(wrong("it holds no part of a date"));
        }
        Ok(Self { text: text.to_owned(), items })
    }
}

impl DateFormat {
    /// Reads a value. Missing hours, minutes and seconds are zero; a zone is read and not applied.
    #[must_use]
    pub fn read(&self, value: &str) -> Option<NaiveDateTime> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, value.trim(), self.items.iter()).ok()?;
        if parsed.timestamp().is_some() {
            return parsed.to_naive_datetime_with_offset(0).ok();
        }
        let date = parsed.to_naive_date().ok().filter(|date| YEARS.contains(&date.year()))?;
        let has_hour = parsed.hour_mod_12().is_some();
        if has_hour && parsed.minute().is_none() {
            parsed.set_minute(0).ok()?;
        }
        let time = if has_hour { parsed.to_naive_time().ok()? } else { NaiveTime::MIN };
        Some(date.and_time(time))
    }
}

/// One end of a range of dates: `2010-12-01`, `2010-12-01T08:00`, `2010-12-01 08:00:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeBound(pub(crate) NaiveDateTime);

impl FromStr for TimeBound {
    type Err = ParseOptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let spaced = text.trim().replace('T', " ");
        let time = NaiveDate::parse_from_str(&spaced, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN));
        time.or_else(|_| NaiveDateTime::parse_from_str(&spaced, "%Y-%m-%d %H:%M"))
            .or_else(|_| NaiveDateTime::parse_from_str(&spaced, "%Y-%m-%d %H:%M:%S"))
            .map(Self)
            .map_err(|_| ParseOptionError(format!("{text:?} is no date: write 2010-12-01 or 2010-12-01T08:00")))
    }
}

impl fmt::Display for TimeBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.time() == NaiveTime::MIN {
            write!(f, "{}", self.0.date())
        } else {
            write!(f, "{}", self.0.format("%Y-%m-%dT%H:%M:%S"))
        }
    }
}

const DATES: [&str; 13] = [
    "%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y",
    "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%Y%m%d",
];
const TIMES: [&str; 11] = [
    "",
    " %H:%M",
    " %H:%M:%S",
    " %H:%M:%S%.f",
    "T%H:%M",
    "T%H:%M:%S",
    "T%H:%M:%S%.f",
    "T%H:%M:%S%.f%#z",
    " %H:%M:%S%.f%#z",
    " %I:%M %p",
    " %I:%M:%S %p",
];

/// Tells a format from values, one after the other.
pub(crate) struct Guess {
    alive: Vec<Candidate>,
    first: Option<String>,
    /// Values that two formats read differently which had agreed so far: at most one a format.
    telling: Vec<String>,
}

/// A format that could read every value, and a digest of all that it read: equal digests, equal readings.
struct Candidate {
    format: DateFormat,
    readings: u64,
}

impl Guess {
    pub(crate) fn new() -> Self {
        let formats = DATES.iter().flat_map(|date| TIMES.iter().map(move |time| format!("{date}{time}")));
        let alive =
            formats.filter_map(|text| text.parse().ok()).map(|format| Candidate { format, readings: 0 }).collect();
        Self { alive, first: None, telling: Vec::new() }
    }

    /// Looks at a value. True when nothing more can change the outcome.
    pub(crate) fn feed(&mut self, value: &str) -> Result<bool, DateError> {
        if value.trim().is_empty() {
            return Ok(false);
        }
        let mut read: Vec<Option<NaiveDateTime>> = self.alive.iter().map(|one| one.format.read(value)).collect();
        if read.iter().all(Option::is_none) {
            return Err(match &self.first {
                None => DateError::Unknown { example: value.to_owned() },
                Some(first) => DateError::Mixed { first: first.clone(), second: value.to_owned() },
            });
        }
        self.first.get_or_insert_with(|| value.to_owned());
        let mut keep = read.iter().map(Option::is_some);
        self.alive.retain(|_| keep.next().unwrap_or(false));
        read.retain(Option::is_some);
        let before = self.different_readings();
        for (one, date) in self.alive.iter_mut().zip(&read) {
            let mut digest = DefaultHasher::new();
            (one.readings, date).hash(&mut digest);
            one.readings = digest.finish();
        }
        if self.different_readings() > before {
            self.telling.push(value.to_owned());
        }
        Ok(self.alive.len() == 1)
    }

    /// The format, if every reading of the values that were fed gives the same dates.
    pub(crate) fn finish(mut self) -> Result<DateFormat, DateError> {
        if self.first.is_none() {
            return Err(DateError::NoValues);
        }
        let first = self.alive.swap_remove(0);
        let Some(second) = self.alive.iter().find(|other| other.readings != first.readings) else {
            return Ok(first.format);
        };
        let told = self.telling.iter().find_map(|value| {
            let (one, other) = (first.format.read(value)?, second.format.read(value)?);
            (one != other).then(|| (value.clone(), one, other))
        });
        let (example, one, other) = told.ok_or(DateError::NoValues)?;
        Err(DateError::Ambiguous {
            example,
            first: one.format("%-d %B %Y").to_string(),
            second: other.format("%-d %B %Y").to_string(),
            first_format: first.format.text,
            second_format: second.format.text.clone(),
        })
    }

    fn different_readings(&self) -> usize {
        let mut readings: Vec<u64> = self.alive.iter().map(|one| one.readings).collect();
        readings.sort_unstable();
        readings.dedup();
        readings.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn guess(values: &[&str]) -> Result<String, DateError> {
        let mut guess = Guess::new();
        for value in values {
            if guess.feed(value)? {
                break;
            }
        }
        guess.finish().map(|format| format.text)
    }

    #[test]
    fn a_day_beyond_twelve_tells_month_and_day_apart() {
        assert_eq!(guess(&["12/1/2010 8:26", "12/13/2010 9:00"]).unwrap(), "%m/%d/%Y %H:%M");
        assert_eq!(guess(&["1/12/2010 8:26", "", "13/12/2010 9:00"]).unwrap(), "%d/%m/%Y %H:%M");
    }

    #[test]
    fn an_ambiguous_column_is_an_error_that_names_both_readings() {
        let error = guess(&["12/1/2010 8:26", "12/2/2010 8:26"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("1 December 2010") && text.contains("12 January 2010"), "{text}");
        assert!(text.contains("--date-format"), "{text}");
        assert!(text.contains("%m/%d/%Y %H:%M") && text.contains("%d/%m/%Y %H:%M"), "{text}");
    }

    #[test]
    fn two_readings_that_agree_are_no_ambiguity() {
        assert!(guess(&["5/5/2010"]).is_ok());
        assert!(guess(&["5/5/2010", "5/6/2010"]).is_err());
        assert!(guess(&["5/6/2010", "5/5/2010"]).is_err(), "an early conflict is not forgotten");
    }

    #[test]
    fn usual_formats_are_known() {
        for (value, format) in [
            ("2010-12-01", "%Y-%m-%d"),
            ("2010-12-01 08:26:00", "%Y-%m-%d %H:%M:%S"),
            ("2010-12-01T08:26:00Z", "%Y-%m-%dT%H:%M:%S%.f%#z"),
            ("13.12.2010", "%d.%m.%Y"),
            ("12/13/10 8:26", "%m/%d/%y %H:%M"),
            ("12/13/2010 8:26 PM", "%m/%d/%Y %I:%M %p"),
            ("20101213", "%Y%m%d"),
            ("13 Dec 2010", "%d %b %Y"),
        ] {
            assert_eq!(guess(&[value]).unwrap(), format, "{value}");
        }
    }

    #[test]
    fn unknown_mixed_and_missing_dates_are_told() {
        assert!(matches!(guess(&["soon"]), Err(DateError::Unknown { .. })));
        assert!(matches!(guess(&["12/1/2010", "2010-12-01"]), Err(DateError::Mixed { .. })));
        assert_eq!(guess(&["", " "]), Err(DateError::NoValues));
    }

    #[test]
    fn a_named_format_reads_dates_with_and_without_time() {
        let read = |format: &str, value: &str| {
            format.parse::<DateFormat>().unwrap().read(value).map(|date| date.format("%Y-%m-%dT%H:%M:%S").to_string())
        };
        assert_eq!(read("%m/%d/%Y %H:%M", "12/1/2010 8:26").as_deref(), Some("2010-12-01T08:26:00"));
        assert_eq!(read("%d.%m.%Y", " 1.12.2010 ").as_deref(), Some("2010-12-01T00:00:00"));
        assert_eq!(read("%Y-%m-%d %H", "2010-12-01 07").as_deref(), Some("2010-12-01T07:00:00"));
        assert_eq!(read("%s", "1291191960").as_deref(), Some("2010-12-01T08:26:00"));
        assert_eq!(read("%m/%d/%Y", "13/1/2010"), None);
        assert!("%Q".parse::<DateFormat>().is_err());
        assert!("date".parse::<DateFormat>().is_err());
    }

    #[test]
    fn bounds_are_dates_with_or_without_a_time() {
        let bound = |text: &str| text.parse::<TimeBound>().map(|bound| bound.to_string());
        assert_eq!(bound("2010-12-01").unwrap(), "2010-12-01");
        assert_eq!(bound("2010-12-01 08:30").unwrap(), "2010-12-01T08:30:00");
        assert_eq!(bound("2010-12-01T08:30:15").unwrap(), "2010-12-01T08:30:15");
        assert!(bound("12/1/2010").is_err());
    }
}
