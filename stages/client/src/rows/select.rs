//! Which rows are sent.

use super::BadRow;
use crate::input::dates::{DateFormat, TimeBound};
use crate::input::records::Record;
use crate::options::RowRange;

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is sent.
    Take,
    /// It is left out.
    Leave,
    /// Nobody can tell, so it is reported.
    Bad(BadRow),
    /// It is left out, and so are all behind it.
    Stop,
}

/// Decides row by row. What depends on the number of rows taken so far is given to it.
pub(crate) struct Selector {
    pub(crate) rows: RowRange,
    pub(crate) limit: Option<u64>,
    pub(crate) dates: Option<DateSelector>,
}

/// The rows of a range of dates.
pub(crate) struct DateSelector {
    pub(crate) index: usize,
    pub(crate) column: String,
    pub(crate) from: Option<TimeBound>,
    pub(crate) until: Option<TimeBound>,
    pub(crate) format: DateFormat,
}

impl Selector {
    /// By the row's number (counted from 1) and by how many were taken before it. Needs no content, so it also holds
    /// for rows that cannot be read.
    pub(crate) fn by_number(&self, number: u64, taken: u64) -> Verdict {
        if self.rows.end.is_some_and(|end| number >= end) || self.limit.is_some_and(|limit| taken >= limit) {
            Verdict::Stop
        } else if number < self.rows.start {
            Verdict::Leave
        } else {
            Verdict::Take
        }
    }

    /// By the row's date.
    pub(crate) fn by_content(&self, record: &Record<'_>) -> Verdict {
        let Some(dates) = &self.dates else { return Verdict::Take };
        let value = record.get(dates.index);
        let Some(date) = dates.format.read(value) else {
            return Verdict::Bad(BadRow {
                code: "date_unreadable",
                field: Some(dates.column.clone()),
                reason: format!("{:?} is no date of the format {:?}", clip(value), dates.format.to_string()),
            });
        };
        let early = dates.from.is_some_and(|from| date < from.0);
        let late = dates.until.is_some_and(|until| date >= until.0);
        if early || late { Verdict::Leave } else { Verdict::Take }
    }
}

fn clip(value: &str) -> String {
    value.chars().take(60).collect()
}
