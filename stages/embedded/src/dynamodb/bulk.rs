//! A shorter way for the commonest large request: `BatchWriteItem` that puts plain items into one table.
//!
//! The library's own handler parses such a request several times and commits every item by itself. Its import
//! writes the same rows in one transaction. What is taken here is only what cannot be told apart from the
//! handler's result: puts of strings, numbers, booleans and nulls, under keys that are strings and differ, into a
//! table without indexes and streams. Everything else, and everything that the import refuses (it then wrote
//! nothing), goes to the handler, which has the service's words for what is wrong.

use std::collections::{HashMap, HashSet};

use dynoxide::types::{MAX_ITEM_SIZE, item_size};
use dynoxide::{AttributeValue, Database, ImportOptions, Item, TableMetadata};
use serde::Deserialize;

/// The operation that may go the shorter way.
pub(super) const OPERATION: &str = "BatchWriteItem";

/// Writes of one request (Amazon DynamoDB API Reference, `BatchWriteItem`).
const MAX_WRITES: usize = 25;

/// Puts all items of the request. False when the request has to go to the library's handler; then nothing is written.
pub(super) fn put(database: &Database, body: &[u8]) -> bool {
    let Some((table, items)) = serde_json::from_slice::<Request>(body).ok().and_then(Request::into_items) else {
        return false;
    };
    let Ok(Some(metadata)) = database.get_table_metadata(&table) else { return false };
    if !is_plain(&metadata) || !are_keys_different(&metadata, &items) {
        return false;
    }
    let options = ImportOptions { record_streams: false, set_cached_at: false };
    database.import_items(&table, items, options).is_ok()
}

/// No indexes, no streams: putting an item writes one row.
fn is_plain(table: &TableMetadata) -> bool {
    let none =
        |definitions: &Option<String>| definitions.as_deref().is_none_or(|text| matches!(text, "" | "[]" | "null"));
    table.table_status == "ACTIVE"
        && !table.stream_enabled
        && none(&table.gsi_definitions)
        && none(&table.lsi_definitions)
        && none(&table.vector_index_definitions)
}

/// Two puts under one key are refused by the service. Keys that are not strings are left to the handler, because equal
/// numbers may be written differently.
fn are_keys_different(table: &TableMetadata, items: &[Item]) -> bool {
    let Ok(schema) = serde_json::from_str::<Vec<KeyElement>>(&table.key_schema) else { return false };
    let mut seen = HashSet::new();
    items.iter().all(|item| {
        let key: Option<Vec<&str>> = schema
            .iter()
            .map(|element| match item.get(&element.attribute_name) {
                Some(AttributeValue::S(value)) => Some(value.as_str()),
                _ => None,
            })
            .collect();
        key.is_some_and(|key| seen.insert(key))
    })
}

#[derive(Deserialize)]
struct KeyElement {
    #[serde(rename = "AttributeName")]
    attribute_name: String,
}

/// A request without options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(rename = "RequestItems")]
    request_items: HashMap<String, Vec<Write>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    #[serde(rename = "PutRequest")]
    put: Put,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    #[serde(rename = "Item")]
    item: HashMap<String, Plain>,
}

/// A value that needs no further checks than the import makes. Exactly one member, as serde reads it.
#[derive(Deserialize)]
enum Plain {
    S(String),
    N(String),
    #[serde(rename = "BOOL")]
    Bool(bool),
    #[serde(rename = "NULL")]
    Null(bool),
}

impl Request {
    /// The table and its items, when all of them may go the shorter way.
    fn into_items(self) -> Option<(String, Vec<Item>)> {
        let mut tables = self.request_items.into_iter();
        let (Some((table, writes)), None) = (tables.next(), tables.next()) else { return None };
        if writes.is_empty() || writes.len() > MAX_WRITES {
            return None;
        }
        let items = writes.into_iter().map(|write| write.put.into_item()).collect::<Option<Vec<Item>>>()?;
        Some((table, items))
    }
}

impl Put {
    fn into_item(self) -> Option<Item> {
        let item = self
            .item
            .into_iter()
            .map(|(name, value)| Some((name, value.into_value()?)).filter(|(name, _)| !name.is_empty()))
            .collect::<Option<Item>>()?;
        (item_size(&item) <= MAX_ITEM_SIZE).then_some(item)
    }
}

impl Plain {
    fn into_value(self) -> Option<AttributeValue> {
        match self {
            Self::S(text) => Some(AttributeValue::S(text)),
            Self::N(number) => Some(AttributeValue::N(number)),
            Self::Bool(value) => Some(AttributeValue::BOOL(value)),
            Self::Null(true) => Some(AttributeValue::NULL(true)),
            Self::Null(false) => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn database(extra: &Value) -> Database {
        let database = Database::memory().unwrap();
        let mut request = json!({
            "TableName": "orders",
            "AttributeDefinitions": [
                { "AttributeName": "p", "AttributeType": "S" }, { "AttributeName": "s", "AttributeType": "S" },
            ],
            "KeySchema": [{ "AttributeName": "p", "KeyType": "HASH" }, { "AttributeName": "s", "KeyType": "RANGE" }],
            "BillingMode": "PAY_PER_REQUEST",
        });
        request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        database.create_table(serde_json::from_value(request).unwrap()).unwrap();
        database
    }

    fn request(items: &[Value]) -> Value {
        let writes: Vec<_> = items.iter().map(|item| json!({ "PutRequest": { "Item": item } })).collect();
        json!({ "RequestItems": { "orders": writes } })
    }

    fn item(sort: &str) -> Value {
        json!({ "p": { "S": "a" }, "s": { "S": sort }, "n": { "N": "-1.50" }, "b": { "BOOL": true }, "z": { "NULL": true } })
    }

    fn put_json(database: &Database, request: &Value) -> bool {
        put(database, request.to_string().as_bytes())
    }

    fn scan(database: &Database) -> Value {
        let all = database.scan(serde_json::from_value(json!({ "TableName": "orders" })).unwrap()).unwrap();
        serde_json::to_value(all).unwrap()
    }

    #[test]
    fn plain_items_are_stored_as_the_handler_stores_them() {
        let (short, long) = (database(&json!({})), database(&json!({})));
        for round in [&[item("1"), item("2")][..], &[item("2"), item("3")][..]] {
            assert!(put_json(&short, &request(round)));
            long.batch_write_item(serde_json::from_value(request(round)).unwrap()).unwrap();
        }
        let stored = scan(&short);
        assert_eq!(stored["Count"], 3);
        assert_eq!(stored, scan(&long));
    }

    #[test]
    fn what_the_service_may_refuse_or_do_more_for_goes_to_the_handler_and_writes_nothing() {
        let many: Vec<_> = (0..26).map(|number| item(&number.to_string())).collect();
        let large = json!({ "p": { "S": "a" }, "s": { "S": "1" }, "x": { "S": "x".repeat(MAX_ITEM_SIZE) } });
        let with = |name: &str, value: Value| {
            let mut item = item("1");
            item[name] = value;
            vec![item]
        };
        let plain = database(&json!({}));
        for items in [
            vec![],
            many,
            vec![large],
            vec![item("1"), item("1")],
            vec![item("")],
            vec![json!({ "p": { "S": "a" } })],
            with("s", json!({ "N": "1" })),
            with("n", json!({ "N": "abc" })),
            with("n", json!({ "N": 5 })),
            with("n", json!({ "NULL": false })),
            with("n", json!({ "S": "1", "N": "1" })),
            with("n", json!({ "SS": ["a", "a"] })),
            with("n", json!({})),
            with("", json!({ "S": "no name" })),
        ] {
            assert!(!put_json(&plain, &request(&items)), "{items:?}");
        }
        let mut two_tables = request(&[item("1")]);
        two_tables["RequestItems"]["others"] = two_tables["RequestItems"]["orders"].clone();
        let delete = json!({ "RequestItems": { "orders": [{ "DeleteRequest": { "Key": { "p": { "S": "a" } } } }] } });
        let mut options = request(&[item("1")]);
        options["ReturnConsumedCapacity"] = json!("TOTAL");
        let unknown = json!({ "RequestItems": { "others": [{ "PutRequest": { "Item": item("1") } }] } });
        for request in [two_tables, delete, options, unknown, json!([]), json!({})] {
            assert!(!put_json(&plain, &request), "{request}");
        }
        assert_eq!(scan(&plain)["Count"], 0);

        let stream = json!({ "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "KEYS_ONLY" } });
        let index = json!({ "GlobalSecondaryIndexes": [{
            "IndexName": "by-s",
            "KeySchema": [{ "AttributeName": "s", "KeyType": "HASH" }],
            "Projection": { "ProjectionType": "ALL" },
        }] });
        for extra in [stream, index] {
            let database = database(&extra);
            assert!(!put_json(&database, &request(&[item("1")])), "{extra}");
            assert_eq!(scan(&database)["Count"], 0);
        }
    }
}
