//! Taking a body apart into rows.
//!
//! A row that cannot be right is handed on as refused, and the others go on. Only what makes it impossible to
//! say where rows begin and end refuses the whole body, with the place in the message.

mod csv;
mod json;
mod made;

use bytes::Bytes;
use penstock_contract::Rejection;
use penstock_process::cell::ColumnTypes;

use crate::headers::Format;
use crate::problem::{Problem, ProblemKind};

pub(crate) use made::Made;

/// A row as it stands in the body.
#[derive(Debug)]
pub(crate) enum RawRow<'a> {
    /// A slice of the body; nothing has looked into it.
    Slice(Bytes),
    /// JSON that was made from a row of CSV.
    Written(&'a [u8]),
    /// It cannot be right.
    Refused(Rejection),
}

/// Where rows go, in order.
pub(crate) trait Rows {
    /// Takes the next row.
    ///
    /// # Errors
    /// When no more can be taken: the whole request is refused.
    fn row(&mut self, row: RawRow<'_>) -> Result<(), Problem>;
}

/// Whether the body said itself that it holds one row, or could hold many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    Many,
}

/// Takes the body apart.
pub(crate) fn split(
    format: Format,
    body: &Bytes,
    columns: &ColumnTypes,
    max_row_bytes: usize,
    rows: &mut impl Rows,
) -> Result<Shape, Problem> {
    match format {
        Format::Json => json::split_json(&without_bom(body), rows),
        Format::Ndjson => json::split_lines(&without_bom(body), rows).map(|()| Shape::Many),
        Format::Csv(encoding) => {
            csv::split_csv(&without_bom(body), encoding, columns, max_row_bytes, rows).map(|()| Shape::Many)
        }
    }
}

/// Some programs begin UTF-8 with a byte order mark; it is no part of the first row.
fn without_bom(body: &Bytes) -> Bytes {
    if body.starts_with(b"\xEF\xBB\xBF") { body.slice(3..) } else { body.clone() }
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::MalformedBody, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as text; those that are refused by their code.
    #[derive(Debug, Default)]
    pub(super) struct Collected(pub(super) Vec<String>);

    impl Rows for Collected {
        fn row(&mut self, row: RawRow<'_>) -> Result<(), Problem> {
            self.0.push(match row {
                RawRow::Slice(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                RawRow::Written(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                RawRow::Refused(rejection) => format!("{} {}", rejection.reason, rejection.field.unwrap_or_default()),
            });
            Ok(())
        }
    }
}
