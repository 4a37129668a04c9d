//! Keys made from a record: `{InvoiceNo}`, `{StockCode}#{$id}`, `raw/{$arrival:%Y/%m/%d}/`.
//!
//! | written | means |
//! |---|---|
//! | `{Field}`, `{a.b}` | the value of a field: a string as it is, a number as its shortest decimal text, `true`, `false` |
//! | `{$id}` | the record's own id, else `<shard>:<sequence>:<sub-sequence>` |
//! | `{$shard}` | the shard |
//! | `{$arrival:%Y/%m/%d}` | when the buffer took the record, in UTC, in `strftime` letters |
//! | `{{`, `}}` | a brace |
//!
//! A field that is missing, null, an object or an array makes no key: the record is rejected.

mod parse;
mod path;

use std::fmt::Write as _;

use chrono::format::Item;
use chrono::{DateTime, Utc};
use penstock_contract::{ArrivalMillis, Rejection};

use crate::{FieldPath, FieldView, RecordContext, RowView};

/// A text that is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Where in the text the fault begins, in bytes.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// What would mend it.
    pub cure: String,
}

/// A template, read once and rendered for every record.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Literal(String),
    Field(FieldPath),
    Id,
    Shard,
    Arrival(Vec<Item<'static>>),
}

/// How a value goes into the text.
type Append = fn(&mut String, &FieldPath, &str) -> Result<(), Rejection>;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When a brace is open or stray, a special is unknown, or a time format has a letter that `strftime` lacks.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text, parse::Specials::All)
    }

    /// Reads a template for rows that have no position yet: fields only, no `$id`, `$shard` or `$arrival`.
    ///
    /// # Errors
    /// As [`Self::parse`], and for every special.
    pub fn parse_for_rows(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text, parse::Specials::None)
    }

    /// Makes the text for a record.
    ///
    /// # Errors
    /// `template_field_missing` or `template_field_type`, naming the field; `arrival_out_of_range`.
    pub fn render(&self, context: &RecordContext<'_>) -> Result<String, Rejection> {
        self.render_with(context.row, Some(context), append_as_is)
    }

    /// Makes the text for a row that has no position yet.
    ///
    /// # Errors
    /// As [`Self::render`]; `template_needs_position` for a template that was not read by [`Self::parse_for_rows`].
    pub fn render_row(&self, row: RowView<'_>) -> Result<String, Rejection> {
        self.render_with(row, None, append_as_is)
    }

    /// Makes a part of an object key. What comes from the record is percent-encoded, so it never adds a level,
    /// a control character or a `..`; what the template itself says stays as it is. An empty value becomes
    /// `__empty__`.
    ///
    /// # Errors
    /// As [`Self::render`]; `path_value_too_long` for a value of more than 255 bytes once it is encoded.
    pub fn render_path(&self, context: &RecordContext<'_>) -> Result<String, Rejection> {
        self.render_with(context.row, Some(context), path::append)
    }

    /// The fields that it reads, in order; one that is used twice is there twice.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field.as_str()),
            _ => None,
        })
    }

    /// Whether it has `{$id}`.
    #[must_use]
    pub fn uses_id(&self) -> bool {
        self.parts.contains(&Part::Id)
    }

    /// Whether it has `{$arrival:…}`.
    #[must_use]
    pub fn uses_arrival(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Arrival(_)))
    }

    /// Whether it gives the same text for every record.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    fn render_with(
        &self,
        row: RowView<'_>,
        context: Option<&RecordContext<'_>>,
        append: Append,
    ) -> Result<String, Rejection> {
        let mut text = String::with_capacity(64);
        for part in &self.parts {
            match (part, context) {
                (Part::Literal(literal), _) => text.push_str(literal),
                (Part::Field(field), _) => append_field(&mut text, row, field, append)?,
                (Part::Id, Some(context)) => append(&mut text, &FieldPath::new("$id"), &context.id())?,
                (Part::Shard, Some(context)) => append(&mut text, &FieldPath::new("$shard"), context.shard.as_str())?,
                (Part::Arrival(items), Some(context)) => append_arrival(&mut text, context.record.arrival, items)?,
                (Part::Id | Part::Shard | Part::Arrival(_), None) => return Err(needs_position()),
            }
        }
        Ok(text)
    }
}

fn append_field(text: &mut String, row: RowView<'_>, field: &FieldPath, append: Append) -> Result<(), Rejection> {
    let value = row.get(field);
    match value {
        Some(FieldView::Text(value)) => append(text, field, value),
        Some(FieldView::Number(value)) => append(text, field, &value.text()),
        Some(FieldView::Bool(value)) => append(text, field, if value { "true" } else { "false" }),
        None | Some(FieldView::Null) => {
            let state = if value.is_some() { "null" } else { "missing" };
            let message = format!("the field {} is {state}, and a key is made from it", field.as_str());
            Err(Rejection::new("template_field_missing", message).at(field.as_str()))
        }
        Some(nested @ (FieldView::Array(_) | FieldView::Object(_))) => {
            let found = nested.kind_name();
            let message = format!("a key is made from the field {}, which is {found}", field.as_str());
            Err(Rejection::new("template_field_type", message).at(field.as_str()))
        }
    }
}

fn append_as_is(text: &mut String, _: &FieldPath, value: &str) -> Result<(), Rejection> {
    text.push_str(value);
    Ok(())
}

fn append_arrival(text: &mut String, arrival: ArrivalMillis, items: &[Item<'static>]) -> Result<(), Rejection> {
    let out_of_range = || {
        let message = format!("the arrival time {} ms cannot be written in the key's time format", arrival.0);
        Rejection::new("arrival_out_of_range", message)
    };
    let moment = DateTime::<Utc>::from_timestamp_millis(arrival.0).ok_or_else(out_of_range)?;
    write!(text, "{}", moment.format_with_items(items.iter())).map_err(|_| out_of_range())
}

fn needs_position() -> Rejection {
    let message = "the template needs the record's position or arrival, which a row does not have yet";
    Rejection::new("template_needs_position", message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use penstock_contract::ShardId;

    use super::*;
    use crate::context::tests::record;
    use crate::parse_row;

    const ROW: &str = r#"{"InvoiceNo":"536365","Quantity":6,"UnitPrice":2.550,"Gift":true,"a":{"b":"x"},"n":null,"o":{},"l":[],"e":"","c":"Côte d'Ivoire/..","d":".."}"#;

    fn with_context<T>(check: impl FnOnce(&RecordContext<'_>) -> T) -> T {
        let record = record(ROW);
        let row = parse_row(&record.data).unwrap();
        check(&RecordContext {
            row: RowView::Parsed(&row),
            record: &record,
            shard: &ShardId::new("shard-1"),
            id_field: None,
        })
    }

    fn render(template: &str) -> Result<String, Rejection> {
        with_context(|context| Template::parse(template).unwrap().render(context))
    }

    fn render_path(template: &str) -> Result<String, Rejection> {
        with_context(|context| Template::parse(template).unwrap().render_path(context))
    }

    #[test]
    fn fields_and_specials_are_filled_in() {
        for (template, text) in [
            ("plain", "plain"),
            ("{InvoiceNo}-{Quantity}", "536365-6"),
            ("{UnitPrice} {Gift} {a.b}", "2.55 true x"),
            ("{$id}", "shard-1:4967:3"),
            ("{$shard}", "shard-1"),
            ("{$arrival:%Y/%m/%d %H:%M:%S%.3f}", "2010/12/01 08:26:00.007"),
            ("{{{InvoiceNo}}}", "{536365}"),
            ("", ""),
        ] {
            assert_eq!(render(template).unwrap(), text, "{template}");
        }
    }

    #[test]
    fn a_field_that_makes_no_key_is_named() {
        for (template, reason, field) in [
            ("{x}", "template_field_missing", "x"),
            ("{a.x}", "template_field_missing", "a.x"),
            ("{n}", "template_field_missing", "n"),
            ("{o}", "template_field_type", "o"),
            ("{l}", "template_field_type", "l"),
        ] {
            let rejection = render(template).unwrap_err();
            assert_eq!((rejection.reason.as_ref(), rejection.field.as_deref()), (reason, Some(field)));
        }
    }

    #[test]
    fn values_never_change_the_levels_of_a_path() {
        assert_eq!(render_path("raw/{c}/").unwrap(), "raw/C%C3%B4te%20d%27Ivoire%2F../");
        assert_eq!(render_path("raw/{d}/x").unwrap(), "raw/%2E%2E/x");
        assert_eq!(render_path("raw/{e}/").unwrap(), "raw/__empty__/");
        assert_eq!(render_path("{$arrival:%Y/%m}/{$id}").unwrap(), "2010/12/shard-1%3A4967%3A3");
    }

    #[test]
    fn a_path_value_is_bounded() {
        let record = record(&format!(r#"{{"a":"{}","b":"{}"}}"#, "x".repeat(255), "x".repeat(256)));
        let row = parse_row(&record.data).unwrap();
        let shard = ShardId::new("s");
        let context = RecordContext { row: RowView::Parsed(&row), record: &record, shard: &shard, id_field: None };
        assert_eq!(Template::parse("{a}").unwrap().render_path(&context).unwrap().len(), 255);
        let rejection = Template::parse("{b}").unwrap().render_path(&context).unwrap_err();
        assert_eq!((rejection.reason.as_ref(), rejection.field.as_deref()), ("path_value_too_long", Some("b")));
    }

    #[test]
    fn a_row_without_a_position_fills_fields_only() {
        let row = parse_row(ROW.as_bytes()).unwrap();
        let template = Template::parse_for_rows("{InvoiceNo}/{Quantity}").unwrap();
        let row = RowView::Parsed(&row);
        assert_eq!(template.render_row(row).unwrap(), "536365/6");
        let rejection = Template::parse("{$id}").unwrap().render_row(row).unwrap_err();
        assert_eq!(rejection.reason, "template_needs_position");
    }

    #[test]
    fn a_template_tells_what_it_reads() {
        let template = Template::parse("a{b}{c.d}{b}{$id}").unwrap();
        assert_eq!(template.fields().collect::<Vec<_>>(), ["b", "c.d", "b"]);
        assert!(template.uses_id() && !template.uses_arrival() && !template.is_constant());
        assert!(Template::parse("{$arrival:%Y}").unwrap().uses_arrival());
        assert!(Template::parse("a{{b}}").unwrap().is_constant());
    }
}
