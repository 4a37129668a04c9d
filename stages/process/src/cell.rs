//! A cell of CSV as a JSON value, of the type that a JSON Schema wants.
//!
//! Whoever turns CSV into rows does it here, so that a file becomes the same rows whether the client converts it or
//! the source does. Numbers keep their digits: what the file says is what is sent, not what a float makes of it.

mod columns;
mod number;

use std::str::FromStr;

use serde_json::value::RawValue;

pub use columns::{ColumnType, ColumnTypes};
use number::Decimal;

/// So much of a cell is shown in a message.
const SHOWN_CHARS: usize = 60;

/// The JSON type that a column's cells become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CellType {
    /// Text, as it stands in the file.
    #[default]
    String,
    /// A whole number; `17850.0` is one.
    Integer,
    /// A decimal number, with the digits that the file has.
    Number,
    /// `true` or `false`; also `yes`, `no`, `1` and `0`.
    Boolean,
    /// A cell that holds JSON itself.
    Json,
}

/// A word that names no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no column type: write string, integer, number, boolean or json")]
pub struct UnknownCellType(String);

impl FromStr for CellType {
    type Err = UnknownCellType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "string" => Ok(Self::String),
            "integer" => Ok(Self::Integer),
            "number" => Ok(Self::Number),
            "boolean" => Ok(Self::Boolean),
            "json" => Ok(Self::Json),
            _ => Err(UnknownCellType(text.to_owned())),
        }
    }
}

/// Why a cell cannot be what its column wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It is empty, and the field is required.
    Empty,
    /// It is no whole number.
    Integer,
    /// It is no number.
    Number,
    /// It is neither true nor false.
    Boolean,
    /// It is no JSON.
    Json,
}

impl Unfit {
    /// The stable code.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "required_empty",
            Self::Integer => "not_an_integer",
            Self::Number => "not_a_number",
            Self::Boolean => "not_a_boolean",
            Self::Json => "not_json",
        }
    }

    /// What is wrong with the cell, for people.
    #[must_use]
    pub fn message(self, cell: &str) -> String {
        let wanted = match self {
            Self::Empty => return "the field is required and the cell is empty".to_owned(),
            Self::Integer => "whole number",
            Self::Number => "number",
            Self::Boolean => "true or false",
            Self::Json => "JSON value",
        };
        let mut shown: String = cell.chars().take(SHOWN_CHARS).collect();
        if shown.len() < cell.len() {
            shown.push('…');
        }
        format!("{shown:?} is no {wanted}")
    }
}

impl ColumnType {
    /// Writes a cell as JSON on one line. False when the field is left out. Whatever is not written leaves `out` as
    /// it was.
    ///
    /// An empty cell is no value: the field is left out, unless the schema requires it. Then it is null where it may
    /// be, else an empty string where it may be that.
    ///
    /// # Errors
    /// When the cell cannot be what the column wants.
    pub fn write(self, cell: &str, out: &mut Vec<u8>) -> Result<bool, Unfit> {
        if self.cell == CellType::String {
            if cell.is_empty() {
                return self.write_empty(out);
            }
            write_string(cell, out);
            return Ok(true);
        }
        let trimmed = cell.trim();
        if trimmed.is_empty() {
            return self.write_empty(out);
        }
        match self.cell {
            CellType::String => write_string(cell, out),
            CellType::Integer => write_integer(trimmed, out)?,
            CellType::Number => Decimal::parse(trimmed).ok_or(Unfit::Number)?.write(out),
            CellType::Boolean => out.extend_from_slice(boolean(trimmed)?),
            CellType::Json => write_json(trimmed, out)?,
        }
        Ok(true)
    }

    fn write_empty(self, out: &mut Vec<u8>) -> Result<bool, Unfit> {
        let value: &[u8] = match self {
            Self { required: false, .. } => return Ok(false),
            Self { nullable: true, .. } => b"null",
            Self { cell: CellType::String, .. } => b"\"\"",
            _ => return Err(Unfit::Empty),
        };
        out.extend_from_slice(value);
        Ok(true)
    }
}

/// Writes a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    // Looking at every byte, also behind one that must be escaped, is faster: the compiler takes many at a time.
    let escapes = text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
    if !escapes {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // A vector takes every text, so there is no error to handle.
        let _ = serde_json::to_writer(out, text);
    }
}

fn write_integer(text: &str, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let whole = Decimal::parse(text).and_then(|number| number.write_whole(out));
    whole.ok_or(Unfit::Integer)
}

fn boolean(text: &str) -> Result<&'static [u8], Unfit> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(&["true", "t", "yes", "y", "1"]) {
        Ok(b"true")
    } else if is(&["false", "f", "no", "n", "0"]) {
        Ok(b"false")
    } else {
        Err(Unfit::Boolean)
    }
}

fn write_json(text: &str, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let value = serde_json::from_str::<&RawValue>(text).map_err(|_| Unfit::Json)?.get();
    // Line ends stand between tokens only: within a string they are escapes. One would end the line that the row is.
    out.extend(value.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    Ok(())
}

#[cfg(test)]
mod tests;
