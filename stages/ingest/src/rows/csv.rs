//! CSV bodies (RFC 4180): a header row that names the fields, then a row a line; cells may hold line breaks
//! and quotes when they are quoted.

use std::borrow::Cow;

use bytes::Bytes;
use csv::{ByteRecord, Reader, ReaderBuilder};
use encoding_rs::{Encoding, UTF_8};
use penstock_contract::Rejection;
use penstock_process::cell::{CellType, ColumnType, ColumnTypes, Unfit, write_string};

use super::{RawRow, Rows, malformed};
use crate::problem::{Problem, ProblemKind};

/// The most columns that a header may name.
const MAX_COLUMNS: usize = 4096;

struct Column {
    name: String,
    /// The name as JSON, with its colon.
    key: Vec<u8>,
    wants: ColumnType,
}

/// Makes a JSON object of each row, its values typed as the schema wants them.
pub(super) fn split_csv(
    body: &Bytes,
    encoding: &'static Encoding,
    types: &ColumnTypes,
    max_row_bytes: usize,
    rows: &mut impl Rows,
) -> Result<(), Problem> {
    let text = decode(body, encoding)?;
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_ref());
    let mut record = ByteRecord::new();
    if !read(&mut reader, &mut record)? {
        return Err(malformed("the body is empty; send a header row that names the fields, then the rows"));
    }
    let columns = columns(&record, types)?;
    let mut json = Vec::new();
    let mut last_start = 0;
    while read(&mut reader, &mut record)? {
        last_start = record.position().map_or(last_start, csv::Position::byte);
        json.clear();
        match write_row(&columns, &record, max_row_bytes, &mut json) {
            Ok(()) => rows.row(RawRow::Written(&json))?,
            Err(rejection) => rows.row(RawRow::Refused(rejection))?,
        }
    }
    let last = usize::try_from(last_start).ok().and_then(|start| text.get(start..)).unwrap_or_default();
    if ends_within_quotes(last) {
        return Err(malformed(format!(
            "the quotes of a cell in the row that begins at byte {last_start} are not closed before the body ends"
        )));
    }
    Ok(())
}

/// UTF-8 stays as it is: a row that is none is refused by itself. Other sets are converted whole.
fn decode<'a>(body: &'a Bytes, encoding: &'static Encoding) -> Result<Cow<'a, [u8]>, Problem> {
    if encoding == UTF_8 {
        return Ok(Cow::Borrowed(body));
    }
    match encoding.decode_without_bom_handling_and_without_replacement(body) {
        Some(Cow::Borrowed(text)) => Ok(Cow::Borrowed(text.as_bytes())),
        Some(Cow::Owned(text)) => Ok(Cow::Owned(text.into_bytes())),
        None => {
            let detail = format!("the body is not {}; name the character set that it is in", encoding.name());
            Err(Problem::new(ProblemKind::MalformedBody, detail))
        }
    }
}

fn read(reader: &mut Reader<&[u8]>, record: &mut ByteRecord) -> Result<bool, Problem> {
    reader.read_byte_record(record).map_err(|error| malformed(format!("the CSV cannot be read: {error}")))
}

fn columns(header: &ByteRecord, types: &ColumnTypes) -> Result<Vec<Column>, Problem> {
    if header.len() > MAX_COLUMNS {
        return Err(malformed(format!("the header row names more than {MAX_COLUMNS} columns")));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(header.len());
    let mut seen = std::collections::HashSet::new();
    for (place, cell) in header.iter().enumerate() {
        let number = place + 1;
        let name = std::str::from_utf8(cell)
            .map_err(|_| malformed(format!("the name of column {number} is not UTF-8; name the character set")))?
            .trim();
        if name.is_empty() {
            return Err(malformed(format!("column {number} has no name; the first row must name the fields")));
        }
        if !seen.insert(name) {
            return Err(malformed(format!("the header row names the column {name:?} twice")));
        }
        let mut key = Vec::with_capacity(name.len() + 3);
        write_string(name, &mut key);
        key.push(b':');
        columns.push(Column { name: name.to_owned(), key, wants: types.get(name) });
    }
    Ok(columns)
}

fn write_row(columns: &[Column], row: &ByteRecord, max_bytes: usize, json: &mut Vec<u8>) -> Result<(), Rejection> {
    if row.len() != columns.len() {
        let message = format!("the row has {} cells, the header row names {}", row.len(), columns.len());
        return Err(Rejection::new("csv_columns", message));
    }
    if row.as_slice().len() > max_bytes {
        return Err(crate::check::row_too_large(row.as_slice().len(), max_bytes));
    }
    json.push(b'{');
    for (column, cell) in columns.iter().zip(row) {
        let before = json.len();
        if before > 1 {
            json.push(b',');
        }
        json.extend_from_slice(&column.key);
        if !write_cell(text(column, cell)?, column.wants, json) {
            json.truncate(before);
        }
        // Long names over short cells make rows much larger than the CSV was.
        if json.len() > max_bytes {
            return Err(crate::check::row_too_large(json.len(), max_bytes));
        }
    }
    json.push(b'}');
    Ok(())
}

/// Writes the cell as the column wants it. What it cannot be is for the schema to refuse, in its words: a number that
/// is not whole stays a number, all else becomes a string, and an empty cell is a field that is missing. False when
/// nothing was written.
fn write_cell(cell: &str, wants: ColumnType, json: &mut Vec<u8>) -> bool {
    match wants.write(cell, json) {
        Ok(written) => written,
        Err(Unfit::Empty) => false,
        Err(Unfit::Integer) => write_cell(cell, ColumnType { cell: CellType::Number, ..wants }, json),
        Err(Unfit::Number | Unfit::Boolean | Unfit::Json) => {
            write_string(cell, json);
            true
        }
    }
}

fn text<'a>(column: &Column, cell: &'a [u8]) -> Result<&'a str, Rejection> {
    let text = std::str::from_utf8(cell).map_err(|error| {
        let message = format!("{}: the cell is not UTF-8 from its byte {} on", column.name, error.valid_up_to());
        Rejection::new("not_utf8", message).at(&column.name)
    })?;
    if text.contains('\0') {
        let message = format!("{}: the cell holds a NUL character", column.name);
        return Err(Rejection::new("nul_character", message).at(&column.name));
    }
    Ok(text)
}

/// Whether a row breaks off within a quoted cell, which the CSV reader takes for its end.
fn ends_within_quotes(row: &[u8]) -> bool {
    let mut quoted = false;
    let mut cell_starts = true;
    let mut bytes = row.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted && bytes.peek() == Some(&&b'"') => {
                bytes.next();
            }
            b'"' if quoted => quoted = false,
            b'"' if cell_starts => quoted = true,
            _ => {}
        }
        cell_starts = !quoted && matches!(byte, b',' | b'\n' | b'\r');
    }
    quoted
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::rows::tests::Collected;

    fn csv_in(body: &[u8], encoding: &'static Encoding) -> Result<Vec<String>, String> {
        let schema = json!({"required": ["No"], "properties": {"No": {"type": "string"}, "Qty": {"type": "integer"}}});
        let mut rows = Collected::default();
        let types = ColumnTypes::of(schema.as_object().unwrap());
        split_csv(&Bytes::copy_from_slice(body), encoding, &types, 1000, &mut rows)
            .map_err(|problem| format!("{problem:?}"))?;
        Ok(rows.0)
    }

    fn csv(body: &[u8]) -> Result<Vec<String>, String> {
        csv_in(body, UTF_8)
    }

    #[test]
    fn cells_may_hold_quotes_commas_and_line_breaks() {
        let rows = csv(b"No,Text,Qty\r\n1,\"a \"\"b\"\",\r\nc\",6\r\n\r\n2,5\" pipe,\n").unwrap();
        assert_eq!(rows, [r#"{"No":"1","Text":"a \"b\",\r\nc","Qty":6}"#, r#"{"No":"2","Text":"5\" pipe"}"#]);
    }

    #[test]
    fn what_does_not_fit_stays_as_it_is_for_the_schema_to_refuse() {
        assert_eq!(
            csv(b"No,Qty\n1,17850.0\n2,17850.5\n3,six\n4, \n").unwrap(),
            [r#"{"No":"1","Qty":17850}"#, r#"{"No":"2","Qty":17850.5}"#, r#"{"No":"3","Qty":"six"}"#, r#"{"No":"4"}"#,]
        );
        assert_eq!(csv(b"No,Qty\n,6\n").unwrap(), [r#"{"No":"","Qty":6}"#]);
        let schema =
            json!({"required": ["Qty"], "properties": {"Qty": {"type": "integer"}, "Gift": {"type": "boolean"}}});
        let (mut rows, types) = (Collected::default(), ColumnTypes::of(schema.as_object().unwrap()));
        split_csv(&Bytes::from_static(b"Qty,Gift\n,maybe\n"), UTF_8, &types, 1000, &mut rows).unwrap();
        assert_eq!(rows.0, [r#"{"Gift":"maybe"}"#]);
    }

    #[test]
    fn a_row_that_is_wrong_does_not_hide_the_next() {
        let rows = csv(b"No,Text\n1,a,b\n2\n3,\xff\n4,\0\n5,x\n").unwrap();
        assert_eq!(
            rows,
            ["csv_columns ", "csv_columns ", "not_utf8 Text", "nul_character Text", r#"{"No":"5","Text":"x"}"#]
        );
    }

    #[test]
    fn other_character_sets_are_converted() {
        assert_eq!(csv_in(b"No\nCaf\xe9\n", encoding_rs::WINDOWS_1252).unwrap(), [r#"{"No":"Café"}"#]);
        assert!(csv_in(b"No\n\xff\xff\n", encoding_rs::SHIFT_JIS).unwrap_err().contains("Shift_JIS"));
    }

    #[test]
    fn a_header_that_names_no_fields_is_refused() {
        for (body, why) in [("", "empty"), ("a,,b\n", "column 2 has no name"), ("a,b,a\n", "\\\"a\\\" twice")] {
            let problem = csv(body.as_bytes()).unwrap_err();
            assert!(problem.contains(why), "{body}: {problem}");
        }
        assert_eq!(csv(b"a,b\n").unwrap(), [""; 0]);
    }

    #[test]
    fn quotes_that_stay_open_refuse_the_body() {
        for body in ["No,Text\n1,\"a\n2,b\n", "No,Text\n1,a\n2,\"b", "No,Text\n1,\"b\"\""] {
            assert!(csv(body.as_bytes()).unwrap_err().contains("not closed"), "{body}");
        }
        for body in ["No,Text\n1,\"b\"", "No,Text\n1,a\"b", "No,Text\n1,\"\""] {
            assert!(csv(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn names_and_values_that_make_a_row_too_large_are_refused() {
        let long = "n".repeat(600);
        assert_eq!(csv(format!("{long}1,{long}2\na,b\n").as_bytes()).unwrap(), ["row_too_large "]);
        assert_eq!(csv(format!("No\n{long}{long}\n").as_bytes()).unwrap(), ["row_too_large "]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_rows_are_json(body in "[a-c,\"\n\r]{0,60}") {
            for row in csv(body.as_bytes()).unwrap_or_default() {
                prop_assert!(row.starts_with("csv_columns") || serde_json::from_str::<serde_json::Value>(&row).is_ok());
            }
        }
    }
}
