//! From a record to the prefix of its object and to its line in it.

use std::borrow::Cow;
use std::sync::Arc;

use penstock_contract::{ArrivalMillis, Record, Rejection, ShardId};
use penstock_process::{FlatRow, RecordContext, Row, RowView, Template, Transform, look_at};
use serde::Deserialize as _;
use serde::de::IgnoredAny;

/// What a record becomes.
pub(crate) struct Line<'a> {
    /// The first part of the object's key.
    pub(crate) prefix: Arc<str>,
    /// One JSON document without line breaks.
    pub(crate) document: Cow<'a, [u8]>,
}

/// The last prefix that was made of nothing but an arrival time: all members of an aggregate share one.
#[derive(Debug, Default)]
pub(crate) struct LastPrefix(Option<(ArrivalMillis, Arc<str>)>);

/// How records become lines of one shard.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    template: Template,
    needs_row: bool,
    transform: Transform,
    id_field: Option<String>,
    no_fields: Row,
}

impl Lines {
    pub(crate) fn new(template: Template, transform: Transform, id_field: Option<String>) -> Self {
        let needs_row = template.uses_id() || template.fields().next().is_some();
        Self { template, needs_row, transform, id_field, no_fields: Row::default() }
    }

    /// Without a program the record's own bytes are the line; they are read as fields only where the key needs any.
    ///
    /// # Errors
    /// When the record is no JSON, when the program does not want it, or when its key cannot be made.
    pub(crate) fn line<'a>(
        &self,
        record: &'a Record,
        shard: &ShardId,
        last: &mut LastPrefix,
    ) -> Result<Line<'a>, Rejection> {
        if let Some(program) = self.transform.program() {
            let row = look_at(&record.data, |row| program.run(row))?;
            let prefix = self.prefix(RowView::Parsed(&row), record, shard, last)?;
            let document = serde_json::to_vec(&row.0).map_err(|error| unwritable(&error))?;
            return Ok(Line { prefix, document: Cow::Owned(document) });
        }
        let prefix = if self.needs_row {
            look_at(&record.data, |row| self.prefix(row, record, shard, last))?
        } else {
            check_json(&record.data)?;
            self.prefix(RowView::Parsed(&self.no_fields), record, shard, last)?
        };
        Ok(Line { prefix, document: one_line(&record.data) })
    }

    fn prefix(
        &self,
        row: RowView<'_>,
        record: &Record,
        shard: &ShardId,
        last: &mut LastPrefix,
    ) -> Result<Arc<str>, Rejection> {
        let context = RecordContext { row, record, shard, id_field: self.id_field.as_deref() };
        if self.needs_row {
            return Ok(self.template.render_path(&context)?.into());
        }
        match &last.0 {
            Some((arrival, prefix)) if *arrival == record.arrival => Ok(Arc::clone(prefix)),
            _ => {
                let prefix: Arc<str> = self.template.render_path(&context)?.into();
                last.0 = Some((record.arrival, Arc::clone(&prefix)));
                Ok(prefix)
            }
        }
    }
}

/// Whether the bytes are one JSON document, without building it.
fn check_json(data: &[u8]) -> Result<(), Rejection> {
    if FlatRow::read(data).is_some() {
        return Ok(());
    }
    let text = std::str::from_utf8(data).map_err(|error| {
        let message = format!("the record is not UTF-8: byte {} begins no character", error.valid_up_to());
        Rejection::new("not_utf8", message)
    })?;
    let mut reader = serde_json::Deserializer::from_str(text);
    IgnoredAny::deserialize(&mut reader).and_then(|_| reader.end()).map_err(|error| {
        let message = format!("the record cannot be read as JSON: {error}");
        Rejection::new("not_json", message)
    })
}

/// A JSON document on one line. Line breaks in JSON stand between tokens only, where a space means the same; space
/// around the document goes. What has neither stays as it is, byte for byte.
fn one_line(document: &[u8]) -> Cow<'_, [u8]> {
    let document = document.trim_ascii();
    if memchr::memchr2(b'\n', b'\r', document).is_none() {
        return Cow::Borrowed(document);
    }
    Cow::Owned(document.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect())
}

fn unwritable(error: &serde_json::Error) -> Rejection {
    Rejection::new("not_serializable", format!("what the program made cannot be written as JSON: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use bytes::Bytes;
    use penstock_contract::{Position, Sequence};

    use super::*;

    fn lines(template: &str, program: Option<&str>) -> Lines {
        Lines::new(Template::parse(template).unwrap(), Transform::new(program).unwrap(), None)
    }

    fn line(lines: &Lines, data: &[u8]) -> Result<(String, String), Rejection> {
        let record = Record {
            position: Position::new(Sequence::parse("4967").unwrap(), 3),
            partition_key: Arc::from("key"),
            // 2010-12-01T08:26:00.007Z
            arrival: ArrivalMillis(1_291_191_960_007),
            data: Bytes::copy_from_slice(data),
        };
        let line = lines.line(&record, &ShardId::new("shard-1"), &mut LastPrefix::default())?;
        Ok((line.prefix.to_string(), String::from_utf8(line.document.into_owned()).unwrap()))
    }

    #[test]
    fn without_a_program_the_bytes_go_through() {
        let by_time = lines("raw/{$arrival:%Y/%m/%d}/", None);
        let data = r#"{"b": 1.50, "a":"é\n", "b":2}"#;
        assert_eq!(line(&by_time, data.as_bytes()).unwrap(), ("raw/2010/12/01/".to_owned(), data.to_owned()));
    }

    #[test]
    fn fields_sort_records_into_objects() {
        let by_field = lines("{Country}/", None);
        let data = r#"{"Country": "United Kingdom"}"#;
        assert_eq!(line(&by_field, data.as_bytes()).unwrap(), ("United%20Kingdom/".to_owned(), data.to_owned()));
        assert_eq!(line(&by_field, b"{}").unwrap_err().reason, "template_field_missing");
    }

    #[test]
    fn a_program_decides_the_line_and_the_prefix() {
        let doubled = lines("{n}/", Some(".n = to_int!(.n) * 2"));
        assert_eq!(line(&doubled, b"{ \"n\": 4 }").unwrap(), ("8/".to_owned(), r#"{"n":8}"#.to_owned()));
    }

    #[test]
    fn line_breaks_between_tokens_become_spaces() {
        let plain = lines("", None);
        let (_, document) = line(&plain, b"\r\n{\n\t\"a\": [1,\r\n2]\n}\n\n").unwrap();
        assert_eq!(document, "{ \t\"a\": [1,  2] }");
    }

    #[test]
    fn what_is_not_one_document_is_rejected() {
        let plain = lines("", None);
        for data in ["", " \n", "{", "{} {}", "nul", "{\"a\":\"\u{0}\"}", "{\"a\":\"line\nbreak\"}"] {
            assert_eq!(line(&plain, data.as_bytes()).unwrap_err().reason, "not_json", "{data:?}");
        }
        assert_eq!(line(&plain, b"{\"a\":\"\xff\"}").unwrap_err().reason, "not_utf8");
    }
}
