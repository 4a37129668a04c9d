//! How a record becomes a JSON line: worked out once from the header, the options and the schema, applied to each row.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Write;

use penstock_process::cell::{CellType, ColumnType, write_string};

use super::BadRow;
use super::key::{KeyHash, LaneRule};
use super::schema::RowSchema;
use crate::error::SendError;
use crate::input::records::Record;

/// What the layout is worked out from.
pub(crate) struct LayoutInputs<'a> {
    /// The input, for messages.
    pub(crate) name: &'a str,
    pub(crate) header: &'a [String],
    pub(crate) renames: &'a [(String, String)],
    pub(crate) types: &'a [(String, CellType)],
    pub(crate) schema: Option<&'a RowSchema>,
    pub(crate) decimal_comma: bool,
    /// The field that takes the id, and the first part of each id.
    pub(crate) id: Option<(&'a str, &'a str)>,
    /// The template of the partition key.
    pub(crate) partition_key: Option<&'a str>,
}

/// How a record becomes a JSON line.
pub(crate) struct Layout {
    columns: Vec<Column>,
    id: Option<IdField>,
    pub(crate) lanes: LaneRule,
}

struct Column {
    name: String,
    /// `"Name":`
    label: Vec<u8>,
    wants: ColumnType,
    decimal_comma: bool,
    /// Whether it is part of the partition key.
    key: bool,
}

struct IdField {
    /// `"_id":"0123456789abcdef-`
    label: Vec<u8>,
    /// A column of that name, whose cells are the ids where they are not empty.
    column: Option<usize>,
}

impl Layout {
    pub(crate) fn new(inputs: &LayoutInputs<'_>) -> Result<Self, SendError> {
        let names = field_names(inputs)?;
        for (column, _) in inputs.types {
            find_column("--type", column, inputs.header, &names)?;
        }
        let views: Vec<&str> = names.iter().map(String::as_str).collect();
        let id_name = inputs.id.map(|(field, _)| field);
        check_required(inputs, &views, id_name)?;
        let lanes = LaneRule::new(inputs.partition_key, &views, id_name);
        let keys = match &lanes {
            LaneRule::Columns(columns) => columns.as_slice(),
            LaneRule::One | LaneRule::Each => &[],
        };
        let columns = names.iter().enumerate().map(|(index, name)| {
            let wants = inputs.schema.map(|schema| schema.column(name)).unwrap_or_default();
            let named = inputs.types.iter().find(|(column, _)| *column == inputs.header[index] || column == name);
            Column {
                label: label(name),
                wants: ColumnType { cell: named.map_or(wants.cell, |(_, cell)| *cell), ..wants },
                decimal_comma: inputs.decimal_comma,
                key: keys.contains(&index),
                name: name.clone(),
            }
        });
        let id = inputs.id.map(|(field, prefix)| {
            let mut text = label(field);
            text.push(b'"');
            text.extend_from_slice(prefix.as_bytes());
            text.push(b'-');
            IdField { label: text, column: names.iter().position(|name| name == field) }
        });
        Ok(Self { columns: columns.collect(), id, lanes })
    }

    /// Writes a record as a JSON line with its line end, and gives the hash of its partition key. On an error, what
    /// was written is to be thrown away.
    pub(crate) fn write(&self, record: &Record<'_>, line: u64, out: &mut Vec<u8>) -> Result<u64, BadRow> {
        if record.len() != self.columns.len() {
            return Err(BadRow {
                code: "ragged_row",
                field: None,
                reason: format!("it has {} fields, the header has {}", record.len(), self.columns.len()),
            });
        }
        out.push(b'{');
        let empty = out.len();
        if let Some(id) = &self.id
            && id.column.is_none_or(|column| record.get(column).is_empty())
        {
            out.extend_from_slice(&id.label);
            // Writing to a vector cannot fail.
            let _ = write!(out, "{line}\"");
        }
        let mut key = KeyHash::default();
        let is_only = matches!(&self.lanes, LaneRule::Columns(columns) if columns.len() == 1);
        for (column, cell) in self.columns.iter().zip(record.iter()) {
            let start = out.len();
            let separator = usize::from(start > empty);
            if separator == 1 {
                out.push(b',');
            }
            out.extend_from_slice(&column.label);
            if column.write(cell, out)? {
                if column.key {
                    key.field(&out[start + separator + column.label.len()..], column.wants.cell, is_only);
                }
            } else {
                out.truncate(start);
            }
        }
        out.extend_from_slice(b"}\n");
        Ok(if self.lanes == LaneRule::Each { line } else { key.finish() })
    }
}

impl Column {
    /// False when the field is left out.
    fn write(&self, cell: &str, out: &mut Vec<u8>) -> Result<bool, BadRow> {
        // The endpoint refuses it in CSV; written as JSON it would slip through to stores that cannot hold it.
        if cell.contains('\0') {
            let reason = "the cell holds a NUL character".to_owned();
            return Err(BadRow { code: "nul_character", field: Some(self.name.clone()), reason });
        }
        let numeric = matches!(self.wants.cell, CellType::Integer | CellType::Number);
        let text = if numeric && self.decimal_comma { with_point(cell) } else { Cow::Borrowed(cell) };
        self.wants.write(&text, out).map_err(|unfit| BadRow {
            code: unfit.reason(),
            field: Some(self.name.clone()),
            reason: unfit.message(cell),
        })
    }
}

/// `2,55` as `2.55`. Of `1.234,5` nobody can say which is which, so it stays.
fn with_point(cell: &str) -> Cow<'_, str> {
    match cell.contains(',') && !cell.contains('.') {
        true => Cow::Owned(cell.replacen(',', ".", 1)),
        false => Cow::Borrowed(cell),
    }
}

/// The header's names after renaming: none empty, none twice.
fn field_names(inputs: &LayoutInputs<'_>) -> Result<Vec<String>, SendError> {
    let wrong = |problem: String| SendError::Header { name: inputs.name.to_owned(), problem };
    for (old, _) in inputs.renames {
        find_column("--rename", old, inputs.header, inputs.header)?;
    }
    let mut seen = HashSet::new();
    let mut names = Vec::with_capacity(inputs.header.len());
    for (index, column) in inputs.header.iter().enumerate() {
        let name = inputs.renames.iter().find(|(old, _)| old == column).map_or(column, |(_, new)| new);
        if name.trim().is_empty() {
            return Err(wrong(format!("gives no name to column {}; each column needs one", index + 1)));
        }
        if !seen.insert(name.as_str()) {
            return Err(wrong(format!("names two columns {name:?}; give each a name of its own (--rename OLD=NEW)")));
        }
        names.push(name.clone());
    }
    Ok(names)
}

/// The index of a column that an option names, by its name in the file or its new one.
pub(crate) fn find_column(
    option: &'static str,
    column: &str,
    header: &[String],
    names: &[String],
) -> Result<usize, SendError> {
    let position = |names: &[String]| names.iter().position(|name| name == column);
    position(header).or_else(|| position(names)).ok_or_else(|| SendError::NoSuchColumn {
        option,
        column: column.to_owned(),
        columns: header.join(", "),
    })
}

/// A field that no row can have would have every row refused.
fn check_required(inputs: &LayoutInputs<'_>, names: &[&str], id_name: Option<&str>) -> Result<(), SendError> {
    let mut required = inputs.schema.into_iter().flat_map(RowSchema::required);
    match required.find(|field| !names.contains(field) && id_name != Some(*field)) {
        None => Ok(()),
        Some(field) => Err(SendError::RequiredColumn { field: field.to_owned(), columns: inputs.header.join(", ") }),
    }
}

fn label(name: &str) -> Vec<u8> {
    let mut label = Vec::with_capacity(name.len() + 3);
    write_string(name, &mut label);
    label.push(b':');
    label
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
