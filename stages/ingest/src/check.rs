//! Each row by itself: whether it may go into the stream, under which key, as which bytes.

mod id;

use std::sync::Arc;

use bytes::Bytes;
use penstock_contract::Rejection;
use penstock_process::{Flat, FlatRow, Row, RowSchema, RowView, Template, parse_row};
use penstock_stream::{HashKey, MAX_PARTITION_KEY_CHARS};

use self::id::{Added, NewId, add_id};
use crate::problem::{Problem, ProblemKind};
use crate::rows::{Made, RawRow, Rows};

/// So much of a field's name or of a reason is told: both may come from the row.
const TOLD_CHARS: usize = 300;

/// What every row of the source must satisfy. Made once.
#[derive(Debug)]
pub(crate) struct RowRules {
    pub(crate) schema: Option<RowSchema>,
    pub(crate) partition_key: Template,
    pub(crate) id_field: Option<String>,
    pub(crate) max_row_bytes: usize,
    pub(crate) max_rows: usize,
}

/// A row that may go into the stream.
#[derive(Debug, Clone)]
pub(crate) struct GoodRow {
    pub(crate) data: Bytes,
    pub(crate) key: Arc<str>,
    pub(crate) hash: HashKey,
}

/// A row that may not.
#[derive(Debug, Clone)]
pub(crate) struct RefusedRow {
    /// Its place in the request, from 0.
    pub(crate) index: u32,
    pub(crate) rejection: Rejection,
}

/// All rows of a request, each either good or refused; both in order.
#[derive(Debug, Default)]
pub(crate) struct CheckedRows {
    pub(crate) good: Vec<GoodRow>,
    pub(crate) refused: Vec<RefusedRow>,
}

impl CheckedRows {
    pub(crate) fn total(&self) -> usize {
        self.good.len() + self.refused.len()
    }
}

/// Checks the rows of one request as they come.
pub(crate) struct Checker<'a> {
    rules: &'a RowRules,
    made: Made,
    rows: CheckedRows,
    /// Rows of one key tend to follow each other: its text and hash are kept for the next row.
    last_key: Option<(Arc<str>, HashKey)>,
    scratch: Vec<u8>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(rules: &'a RowRules, made: Made) -> Self {
        Self { rules, made, rows: CheckedRows::default(), last_key: None, scratch: Vec::new() }
    }

    pub(crate) fn finish(self) -> (CheckedRows, Made) {
        (self.rows, self.made)
    }

    /// The outer error refuses the request, the inner one the row.
    fn check(&mut self, raw: &RawRow<'_>) -> Result<Result<GoodRow, Rejection>, Problem> {
        let bytes: &[u8] = match raw {
            RawRow::Slice(bytes) => bytes,
            RawRow::Written(bytes) => bytes,
            RawRow::Refused(rejection) => return Ok(Err(rejection.clone())),
        };
        let verdict = self.judge(bytes);
        let (change, (key, hash)) = match verdict {
            Ok(good) => good,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let data = match (raw, change) {
            (RawRow::Slice(slice), Change::None) => slice.clone(),
            (_, Change::None) => self.made.keep(bytes)?,
            (_, Change::Written) => self.made.keep(&self.scratch)?,
        };
        if data.len() > self.rules.max_row_bytes {
            return Ok(Err(row_too_large(data.len(), self.rules.max_row_bytes)));
        }
        Ok(Ok(GoodRow { data, key, hash }))
    }

    fn judge(&mut self, bytes: &[u8]) -> Result<(Change, (Arc<str>, HashKey)), Rejection> {
        if bytes.len() > self.rules.max_row_bytes {
            return Err(row_too_large(bytes.len(), self.rules.max_row_bytes));
        }
        if let Some(good) = self.judge_flat(bytes) {
            return Ok(good);
        }
        let mut row = parse_row(bytes)?;
        let added = match &self.rules.id_field {
            Some(field) => add_id(&mut row, field)?,
            None => None,
        };
        let row = self.satisfies_schema(row)?;
        let key = self.key_of(RowView::Parsed(&row))?;
        Ok((self.rewrite(bytes, added), key))
    }

    /// Most rows are flat and good, which shows without building them. `None` says nothing about the row.
    fn judge_flat(&mut self, bytes: &[u8]) -> Option<(Change, (Arc<str>, HashKey))> {
        let row = FlatRow::read(bytes)?;
        let rules = self.rules;
        let new_id = match &rules.id_field {
            Some(field) if RowView::Flat(&row).own_id(field).is_none() => Some((field, NewId::now())),
            _ => None,
        };
        // From here on it may hold the new id.
        let (alone, mut row) = (row.is_empty(), row);
        if let Some((field, id)) = &new_id {
            row.push(field, Flat::Text(id.as_str()))?;
        }
        if rules.schema.as_ref().is_some_and(|schema| !schema.surely_takes(&row)) {
            return None;
        }
        let key = self.key_of(RowView::Flat(&row)).ok()?;
        drop(row);
        Some((self.rewrite(bytes, new_id.map(|(_, id)| id.beside(alone))), key))
    }

    fn satisfies_schema(&self, row: Row) -> Result<Row, Rejection> {
        let Some(schema) = &self.rules.schema else { return Ok(row) };
        let value = row.into_value();
        schema.check(&value)?;
        Row::from_value(value)
    }

    fn key_of(&mut self, row: RowView<'_>) -> Result<(Arc<str>, HashKey), Rejection> {
        let text = self.rules.partition_key.render_row(row)?;
        if let Some(last) = self.last_key.as_ref().filter(|(last, _)| **last == *text) {
            return Ok(last.clone());
        }
        self.fits_the_stream(&text)?;
        let hash = HashKey::of_partition_key(&text);
        let key: Arc<str> = text.into();
        self.last_key = Some((key.clone(), hash));
        Ok((key, hash))
    }

    /// A partition key has 1 to 256 characters (PutRecords API reference).
    fn fits_the_stream(&self, key: &str) -> Result<(), Rejection> {
        let refuse = |reason, message| {
            let rejection = Rejection::new(reason, message);
            match self.rules.partition_key.fields().next() {
                Some(field) => Err(rejection.at(field)),
                None => Err(rejection),
            }
        };
        if key.is_empty() {
            return refuse("partition_key_empty", "the partition key that is made from the row is empty".to_owned());
        }
        let chars = if key.len() > MAX_PARTITION_KEY_CHARS { key.chars().count() } else { key.len() };
        if chars > MAX_PARTITION_KEY_CHARS {
            let message = format!(
                "the partition key that is made from the row has {chars} characters, at most {MAX_PARTITION_KEY_CHARS} \
                 are possible"
            );
            return refuse("partition_key_too_long", message);
        }
        Ok(())
    }

    /// Puts the row into the scratch buffer as it goes into the stream, if that is not how it came.
    fn rewrite(&mut self, bytes: &[u8], added: Option<Added>) -> Change {
        let breaks = memchr::memchr2(b'\n', b'\r', bytes).is_some();
        match &added {
            None if !breaks => return Change::None,
            None => {
                self.scratch.clear();
                push_single_line(bytes, &mut self.scratch);
            }
            Some(added) => added.write(bytes, self.rules.id_field.as_deref().unwrap_or_default(), &mut self.scratch),
        }
        Change::Written
    }
}

impl Rows for Checker<'_> {
    fn row(&mut self, raw: RawRow<'_>) -> Result<(), Problem> {
        let index = self.rows.total();
        if index >= self.rules.max_rows {
            let detail = format!("the body holds more than {} rows; send fewer in one request", self.rules.max_rows);
            return Err(Problem::new(ProblemKind::TooManyRows, detail));
        }
        // The number of rows is bounded by an int32 in the Pipeline.
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        match self.check(&raw)? {
            Ok(good) => self.rows.good.push(good),
            Err(rejection) => self.rows.refused.push(RefusedRow { index, rejection: shortened(rejection) }),
        }
        Ok(())
    }
}

/// Whether the bytes of a row differ from those that came.
enum Change {
    None,
    /// They are in the scratch buffer.
    Written,
}

/// Takes out line breaks and the indentation behind them. In valid JSON they stand only between tokens: within
/// a string they are written as escapes.
fn push_single_line(json: &[u8], out: &mut Vec<u8>) {
    let mut rest = json;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = rest[at..].trim_ascii_start();
    }
    out.extend_from_slice(rest);
}

/// The row is larger than the source allows.
pub(crate) fn row_too_large(bytes: usize, max_bytes: usize) -> Rejection {
    Rejection::new("row_too_large", format!("the row has {bytes} bytes or more, at most {max_bytes} are possible"))
}

fn shortened(mut rejection: Rejection) -> Rejection {
    for text in [Some(&mut rejection.message), rejection.field.as_mut()].into_iter().flatten() {
        if let Some((end, _)) = text.char_indices().nth(TOLD_CHARS) {
            text.truncate(end);
            text.push('…');
        }
    }
    rejection
}

#[cfg(test)]
mod tests;
