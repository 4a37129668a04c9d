//! Lines of an answer in its format: items with chosen fields, groups, totals.

use penstock_api::plan::RoutePlan;

use crate::compile::Route;
use crate::negotiation::Format;
use crate::value::{Cell, Item, is_public, write_json, write_text};

/// One line as it goes out: an object of JSON, or a line of a CSV.
pub(crate) fn line(route: &Route, item: &Item, format: Format) -> Vec<u8> {
    match &route.columns {
        Some(columns) => {
            let cells: Vec<_> = columns.iter().map(|(_, attribute)| Cell::of(item, attribute)).collect();
            cells_line(columns.iter().map(|(name, _)| name.as_str()), &cells, format)
        }
        None => everything(&route.plan, item),
    }
}

/// A line of known columns.
pub(crate) fn cells_line<'a>(names: impl Iterator<Item = &'a str>, cells: &[Cell], format: Format) -> Vec<u8> {
    if format == Format::Csv {
        return csv_line(cells.iter().map(Cell::csv));
    }
    let mut out = vec![b'{'];
    for (index, (name, cell)) in names.zip(cells).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(&mut out, name);
        out.push(b':');
        cell.write_json(&mut out);
    }
    out.push(b'}');
    out
}

/// All attributes of an item: its key first, the others by name.
fn everything(plan: &RoutePlan, item: &Item) -> Vec<u8> {
    let rank = |name: &str| {
        let is_sort = plan.sort_key.as_ref().is_some_and(|key| key.name == name);
        if plan.partition_key.name == name { 0 } else { 2 - u8::from(is_sort) }
    };
    let mut attributes: Vec<_> = item.iter().filter(|(name, _)| is_public(name)).collect();
    attributes.sort_by(|(left, _), (right, _)| (rank(left), left).cmp(&(rank(right), right)));
    let mut out = vec![b'{'];
    for (index, (name, value)) in attributes.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(&mut out, name);
        out.push(b':');
        write_json(&mut out, value);
    }
    out.push(b'}');
    out
}

/// The first line of a CSV.
pub(crate) fn csv_header(route: &Route) -> Vec<u8> {
    csv_line(route.column_names().unwrap_or_default().into_iter().map(str::as_bytes))
}

/// As RFC 4180 has it.
fn csv_line(cells: impl Iterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // A vector takes what is written.
    let _ = writer.write_record(cells);
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;

    #[test]
    fn cells_with_commas_quotes_and_breaks_are_quoted() {
        let cells = ["a,b", "say \"x\"", "two\nlines", ""].map(|text| Cell::Stored(AttributeValue::S(text.to_owned())));
        let line = cells_line(["a"; 4].into_iter(), &cells, Format::Csv);
        assert_eq!(String::from_utf8(line).unwrap(), "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\r\n");
        let line = cells_line(["a", "b"].into_iter(), &cells[..1], Format::Json);
        assert_eq!(String::from_utf8(line).unwrap(), r#"{"a":"a,b"}"#);
    }
}
