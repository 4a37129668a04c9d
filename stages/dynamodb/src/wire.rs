//! The body of a BatchWriteItem, written straight from the rows.
//!
//! The SDK wants a map of attribute values for every item, which it then writes as JSON: for rows that came as JSON
//! that is most of the work of a sink. So the body is made here, and the SDK does all the rest: endpoint, signature, attempts,
//! answer. What it is: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>.

use std::io::Write as _;

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use bytes::Bytes;
use penstock_contract::Rejection;
use penstock_process::cell::write_string;
use penstock_process::{FieldView, NumberView, RowView, look_at};

use crate::batch::PutEntry;
use crate::config::{Table, Write};
use crate::decimal::Decimal;
use crate::key::KeyValue;
use crate::request::GUARD;

/// The puts of one call, growing.
#[derive(Debug)]
pub(crate) struct Body {
    json: Vec<u8>,
    items: usize,
}

impl Body {
    /// A body that puts items into the table; `bytes` is how large they are about.
    pub(crate) fn new(table: &str, bytes: usize) -> Self {
        let mut json = Vec::with_capacity(bytes);
        json.extend_from_slice(b"{\"RequestItems\":{");
        write_string(table, &mut json);
        json.extend_from_slice(b":[");
        Self { json, items: 0 }
    }

    /// Adds the item of an entry; after an error the body is as it was.
    pub(crate) fn put(&mut self, table: &Table, entry: &PutEntry) -> Result<(), Rejection> {
        let before = self.json.len();
        if self.items > 0 {
            self.json.push(b',');
        }
        self.json.extend_from_slice(b"{\"PutRequest\":{\"Item\":{");
        if let Err(rejection) = write_item(table, entry, &mut self.json) {
            self.json.truncate(before);
            return Err(rejection);
        }
        self.json.extend_from_slice(b"}}}");
        self.items += 1;
        Ok(())
    }

    pub(crate) fn items(&self) -> usize {
        self.items
    }

    pub(crate) fn finish(mut self) -> Bytes {
        self.json.extend_from_slice(b"]}}");
        Bytes::from(self.json)
    }
}

/// Writes the attributes of an item: those of its key, those of its row, its end, and its mark.
fn write_item(table: &Table, entry: &PutEntry, out: &mut Vec<u8>) -> Result<(), Rejection> {
    for (index, (name, value)) in table.key.values(&entry.key).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_name(name, out);
        write_key(value, out);
    }
    look_at(&entry.row, |row| {
        write_fields(table, row, out);
        Ok(())
    })?;
    if let (Some(attribute), Some(seconds)) = (&table.ttl, entry.ttl) {
        out.push(b',');
        write_name(attribute.as_str(), out);
        write_number(format_args!("{seconds}"), out);
    }
    if matches!(table.write, Write::PutLatest) {
        out.push(b',');
        write_name(GUARD, out);
        write_text(&entry.position.sortable(), out);
    }
    Ok(())
}

/// What is a field of the row and an attribute of the key was written with the key.
fn write_fields(table: &Table, row: RowView<'_>, out: &mut Vec<u8>) {
    for (name, value) in row.fields() {
        if table.key.attributes().all(|attribute| attribute != name) {
            out.push(b',');
            write_name(name, out);
            write_value(value, out);
        }
    }
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    write_string(name, out);
    out.push(b':');
}

fn write_key(value: &KeyValue, out: &mut Vec<u8>) {
    match value {
        KeyValue::S(text) => write_text(text, out),
        KeyValue::N(number) => write_number(format_args!("{number}"), out),
        KeyValue::B(bytes) => {
            out.extend_from_slice(b"{\"B\":\"");
            // A vector takes all bytes, so there is no error to handle.
            let _ = EncoderWriter::new(&mut *out, &STANDARD).write_all(bytes);
            out.extend_from_slice(b"\"}");
        }
    }
}

fn write_value(value: FieldView<'_>, out: &mut Vec<u8>) {
    match value {
        FieldView::Null => out.extend_from_slice(b"{\"NULL\":true}"),
        FieldView::Bool(true) => out.extend_from_slice(b"{\"BOOL\":true}"),
        FieldView::Bool(false) => out.extend_from_slice(b"{\"BOOL\":false}"),
        FieldView::Text(text) => write_text(text, out),
        FieldView::Number(NumberView::Flat(number)) => write_number(format_args!("{}", number.text()), out),
        FieldView::Number(NumberView::Parsed(number)) => match Decimal::from_json(number) {
            Some(decimal) => write_number(format_args!("{decimal}"), out),
            // It was measured, so it is one; and if not, the service says so.
            None => write_number(format_args!("{number}"), out),
        },
        FieldView::Array(values) => {
            out.extend_from_slice(b"{\"L\":[");
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(value.into(), out);
            }
            out.extend_from_slice(b"]}");
        }
        FieldView::Object(fields) => {
            out.extend_from_slice(b"{\"M\":{");
            for (index, (name, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_name(name, out);
                write_value(value.into(), out);
            }
            out.extend_from_slice(b"}}");
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"S\":");
    write_string(text, out);
    out.push(b'}');
}

fn write_number(number: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"N\":\"");
    // A vector takes every text, so there is no error to handle.
    let _ = out.write_fmt(number);
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
