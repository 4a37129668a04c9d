//! What is sent for an entry of a batch.

use std::collections::HashMap;
use std::fmt::Write as _;

use aws_sdk_dynamodb::types::AttributeValue;
use penstock_contract::{Range, Rejection};
use penstock_process::parse_row;

use crate::batch::{PutEntry, SumEntry};
use crate::config::{Config, RESERVED_PREFIX, Table, Write};
use crate::item::{Item, attribute, attributes};

/// An item's last position (`put`): a write must come from a later one.
pub(crate) const GUARD: &str = RESERVED_PREFIX;

/// A conditional write: the expression's names and values, and the condition on the mark.
#[derive(Debug, PartialEq)]
pub(crate) struct Update {
    pub(crate) key: Item,
    pub(crate) update: String,
    pub(crate) condition: &'static str,
    pub(crate) names: HashMap<String, String>,
    pub(crate) values: HashMap<String, AttributeValue>,
}

/// Only what comes from a later position, or a later range, than what is there. Positions are written so that
/// their bytes sort as they do.
pub(crate) const LATER: &str = "attribute_not_exists(#guard) OR #guard < :guard";

/// The item of a put entry.
pub(crate) fn item(table: &Table, entry: &PutEntry) -> Result<Item, Rejection> {
    let mut item = attributes(parse_row(&entry.row)?.0);
    if let (Some(attribute), Some(seconds)) = (&table.ttl, entry.ttl) {
        item.insert(attribute.as_str().to_owned(), AttributeValue::N(seconds.to_string()));
    }
    item.extend(table.key.item(&entry.key));
    if matches!(table.write, Write::PutLatest) {
        item.insert(GUARD.to_owned(), AttributeValue::S(entry.position.sortable()));
    }
    Ok(item)
}

/// The update of a sum entry: once for a range, whoever sends it and however often.
pub(crate) fn update(config: &Config, table: &Table, entry: &SumEntry, range: &Range) -> Update {
    let mut names = HashMap::new();
    let mut values = HashMap::new();
    names.insert("#guard".to_owned(), format!("{RESERVED_PREFIX}:{}:{}", config.application, range.shard));
    values.insert(":guard".to_owned(), AttributeValue::S(range.end_inclusive.sortable()));
    let mut update = "SET #guard = :guard".to_owned();
    for (index, (name, value)) in entry.set(table).enumerate() {
        append(&mut update, format_args!(", #s{index} = :s{index}"));
        names.insert(format!("#s{index}"), name.to_owned());
        values.insert(format!(":s{index}"), attribute(value.clone()));
    }
    for (index, (name, sum)) in entry.add(table).enumerate() {
        let clause = if index == 0 { " ADD" } else { "," };
        append(&mut update, format_args!("{clause} #a{index} :a{index}"));
        names.insert(format!("#a{index}"), name.to_owned());
        values.insert(format!(":a{index}"), AttributeValue::N(sum.to_string()));
    }
    Update { key: table.key.item(&entry.key), update, condition: LATER, names, values }
}

fn append(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(more);
}
