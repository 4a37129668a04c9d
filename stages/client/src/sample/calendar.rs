//! When the shop is open, and when orders come in: more at noon and before Christmas.

use std::fmt;

/// Of each day from the first on, in order.
const DAYS: u64 = 374;
/// 1 December 2010 was a Wednesday (Monday is 0).
const FIRST_WEEKDAY: u64 = 2;
const SATURDAY: u64 = 5;
const SUNDAY: u64 = 6;
/// How many orders come in each hour from 8 on, and on Sundays from 10 on.
const WEEKDAY_HOURS: (u8, &[u64]) = (8, &[1, 4, 6, 7, 10, 9, 9, 8, 5, 3, 1, 1]);
const SUNDAY_HOURS: (u8, &[u64]) = (10, &[2, 6, 8, 7, 6, 5]);

/// A minute at which the shop is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Minute {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
}

impl fmt::Display for Minute {
    /// As American spreadsheets write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{} {}:{:02}", self.month, self.day, self.year, self.hour, self.minute)
    }
}

/// An open hour; `before` is the weight of all hours before it.
struct Hour {
    before: u64,
    weight: u64,
    start: Minute,
}

/// Gives rows their time, from the first row at the first open minute to the last at the last.
pub(super) struct Calendar {
    hours: Vec<Hour>,
    current: usize,
    total: u64,
    rows: u64,
}

impl Calendar {
    pub(super) fn new(rows: u64) -> Self {
        let mut hours = Vec::new();
        let mut before = 0;
        let (mut year, mut month, mut day) = (2010, 12, 1);
        for index in 0..DAYS {
            let weekday = (FIRST_WEEKDAY + index) % 7;
            if weekday != SATURDAY && !is_holiday(month, day) {
                let (first, weights) = if weekday == SUNDAY { SUNDAY_HOURS } else { WEEKDAY_HOURS };
                for (hour, weight) in (first..).zip(weights) {
                    let weight = weight * season(month);
                    hours.push(Hour { before, weight, start: Minute { year, month, day, hour, minute: 0 } });
                    before += weight;
                }
            }
            (year, month, day) = next_day(year, month, day);
        }
        Self { hours, current: 0, total: before, rows: rows.max(1) }
    }

    /// The time of a row. Rows must be asked for in order.
    pub(super) fn at(&mut self, row: u64) -> Minute {
        // In sixtieths, so that an hour of any weight parts into minutes.
        let point = u128::from(row) * u128::from(self.total) * 60 / u128::from(self.rows);
        let begins = |hour: &Hour| u128::from(hour.before) * 60;
        while self.hours.get(self.current + 1).is_some_and(|next| begins(next) <= point) {
            self.current += 1;
        }
        let hour = &self.hours[self.current];
        let minute = (point - begins(hour)) / u128::from(hour.weight);
        Minute { minute: u8::try_from(minute.min(59)).unwrap_or(0), ..hour.start }
    }
}

fn is_holiday(month: u8, day: u8) -> bool {
    (month == 12 && day >= 24) || (month == 1 && day <= 3)
}

/// How busy a month is.
fn season(month: u8) -> u64 {
    match month {
        11 => 4,
        9 | 10 | 12 => 3,
        _ => 2,
    }
}

fn next_day(year: u16, month: u8, day: u8) -> (u16, u8, u8) {
    let length = match month {
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day < length {
        (year, month, day + 1)
    } else if month < 12 {
        (year, month + 1, 1)
    } else {
        (year + 1, 1, 1)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDateTime, Timelike, Weekday};

    #[test]
    fn rows_spread_over_a_year_of_opening_hours_in_order() {
        let mut calendar = Calendar::new(20_000);
        let times: Vec<NaiveDateTime> = (0..20_000)
            .map(|row| NaiveDateTime::parse_from_str(&calendar.at(row).to_string(), "%m/%d/%Y %H:%M").unwrap())
            .collect();
        assert!(times.is_sorted());
        assert_eq!(times[0].to_string(), "2010-12-01 08:00:00");
        assert_eq!(times[19_999].date().to_string(), "2011-12-09");
        assert!(times.iter().all(|time| time.weekday() != Weekday::Sat && (8..20).contains(&time.hour())));
        let months: std::collections::BTreeSet<_> = times.iter().map(Datelike::month).collect();
        assert_eq!(months.len(), 12);
    }
}
