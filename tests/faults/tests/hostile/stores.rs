//! What is in the stores, read back by the AWS SDK.

use std::collections::BTreeMap;
use std::io::Read;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_faults::Ready;
use penstock_runtime::Aws;
use serde_json::{Map, Value, json};

use crate::shop::Expected;

const BUCKET: &str = "acme-lake";

/// A record that could not be handled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Letter {
    sink: String,
    reason: String,
    field: Option<String>,
    /// Shard, sequence number and sub-sequence.
    position: String,
    data: Vec<u8>,
}

impl Letter {
    pub(crate) fn new(sink: &str, data: &[u8], position: &str, reason: &str, field: Option<&str>) -> Self {
        let (sink, reason, position) = (sink.to_owned(), reason.to_owned(), position.to_owned());
        Self { sink, reason, field: field.map(str::to_owned), position, data: data.to_vec() }
    }

    fn of_line(line: &Value) -> Self {
        for part in ["partitionKey", "message", "arrival"] {
            assert!(line[part].as_str().is_some_and(|text| !text.is_empty()), "no {part}: {line}");
        }
        let data = match line["data"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => STANDARD.decode(line["dataBase64"].as_str().unwrap()).unwrap(),
        };
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let (sink, reason) = (text("sink").unwrap(), text("reason").unwrap());
        Self { sink, reason, field: text("field"), position: position(line), data }
    }

    /// Short enough to read.
    fn shown(&self) -> String {
        let data = String::from_utf8_lossy(&self.data[..self.data.len().min(120)]).into_owned();
        let Self { sink, reason, field, position, .. } = self;
        format!("{sink} {reason} {field:?} at {position}, {} bytes: {data}", self.data.len())
    }
}

/// Where a record stands, from a line of dead letters or from an answer.
pub(crate) fn position(told: &Value) -> String {
    let text = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("no {name}: {told}"));
    format!("{}:{}:{}", text("shard"), text("sequence"), told["subSequence"].as_u64().unwrap())
}

/// Everything that a shop has stored.
pub(crate) struct Stores {
    raw: Vec<Value>,
    letters: Vec<Letter>,
    invoices: Vec<Value>,
    customers: Vec<Value>,
}

/// Runs until it is done; tests are not async otherwise.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

pub(crate) async fn aws(ready: &Ready) -> Aws {
    Aws::local(&ready.region, &ready.aws_endpoint_url).await
}

impl Stores {
    pub(crate) fn read(ready: &Ready) -> Self {
        block_on(async {
            let aws = aws(ready).await;
            let dynamodb = aws_sdk_dynamodb::Client::new(&aws.config);
            let (raw, letters) = objects(&aws).await;
            let letters = letters.iter().map(Letter::of_line).collect();
            let invoices = items(&dynamodb, "ecommerce-invoices").await;
            let customers = items(&dynamodb, "ecommerce-customers").await;
            Self { raw, letters, invoices, customers }
        })
    }

    /// All of what is expected, once, and nothing else.
    pub(crate) fn hold(mut self, expected: &Expected) {
        same_rows("S3", &self.raw, &expected.raw);
        self.invoices.iter_mut().for_each(as_it_came);
        same_rows("the invoices' table", &self.invoices, &expected.items);
        let customers: BTreeMap<_, _> = self.customers.iter().map(|item| (customer(item), sums(item))).collect();
        assert_eq!(customers, summed(&expected.items), "the customers' table");
        let mut letters = expected.letters.clone();
        self.letters.sort();
        letters.sort();
        let shown = |letters: &[Letter]| letters.iter().map(Letter::shown).collect::<Vec<_>>();
        assert!(self.letters == letters, "dead letters: {:#?}\nexpected: {:#?}", shown(&self.letters), shown(&letters));
    }
}

/// The lines of the bucket's objects: those that are kept as they came, and those that nobody could handle.
async fn objects(aws: &Aws) -> (Vec<Value>, Vec<Value>) {
    let config = aws_sdk_s3::config::Builder::from(&aws.config).force_path_style(true).build();
    let client = aws_sdk_s3::Client::from_conf(config);
    let (mut raw, mut letters) = (Vec::new(), Vec::new());
    let mut pages = client.list_objects_v2().bucket(BUCKET).into_paginator().send();
    while let Some(page) = pages.next().await {
        for object in page.unwrap().contents() {
            let key = object.key().unwrap();
            let body = client.get_object().bucket(BUCKET).key(key).send().await.unwrap().body;
            let lines = lines(key, &body.collect().await.unwrap().into_bytes());
            let kind = if key.starts_with("raw/") { &mut raw } else { &mut letters };
            assert!(key.starts_with("raw/") || key.starts_with("dead-letters/"), "{key}");
            kind.extend(lines);
        }
    }
    (raw, letters)
}

fn lines(key: &str, body: &[u8]) -> Vec<Value> {
    let mut text = Vec::new();
    if key.ends_with(".zst") {
        zstd::stream::read::Decoder::new(body).unwrap().read_to_end(&mut text).unwrap();
    } else {
        text.extend_from_slice(body);
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

async fn items(client: &aws_sdk_dynamodb::Client, table: &str) -> Vec<Value> {
    let items = client.scan().table_name(table).into_paginator().items().send();
    let items: Vec<_> = items.try_collect().await.unwrap();
    items.into_iter().map(|item| Value::Object(object(item))).collect()
}

fn object(attributes: impl IntoIterator<Item = (String, AttributeValue)>) -> Map<String, Value> {
    attributes.into_iter().map(|(name, value)| (name, plain(value))).collect()
}

fn plain(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => text.into(),
        AttributeValue::N(number) => serde_json::from_str(&number).unwrap(),
        AttributeValue::Bool(value) => value.into(),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::L(values) => values.into_iter().map(plain).collect(),
        AttributeValue::M(attributes) => Value::Object(object(attributes)),
        other => panic!("{other:?}"),
    }
}

/// Takes off what the Pipeline added, once it is right.
fn as_it_came(item: &mut Value) {
    let fields = item.as_object_mut().unwrap();
    let sort = fields.remove("sk").unwrap();
    assert_eq!(sort, json!(format!("{}#{}", fields["StockCode"].as_str().unwrap(), fields["_id"].as_str().unwrap())));
    let amount = fields.remove("Amount").unwrap();
    assert!((amount.as_f64().unwrap() - amount_of(item)).abs() < 0.0005, "{amount}: {item}");
}

fn amount_of(row: &Value) -> f64 {
    row["Quantity"].as_f64().unwrap() * row["UnitPrice"].as_f64().unwrap()
}

fn customer(row: &Value) -> (String, String) {
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    (text("CustomerID"), text("InvoiceNo"))
}

/// Thousandths, so that sums are exact, and lines.
fn sums(item: &Value) -> (i64, i64) {
    (thousandths(item["Amount"].as_f64().unwrap()), item["Lines"].as_i64().unwrap())
}

#[allow(clippy::cast_possible_truncation, reason = "small in all tests")]
fn thousandths(amount: f64) -> i64 {
    (amount * 1000.0).round() as i64
}

fn summed(rows: &[Value]) -> BTreeMap<(String, String), (i64, i64)> {
    let mut sums = BTreeMap::new();
    for row in rows.iter().filter(|row| !row["CustomerID"].is_null()) {
        let (amount, lines) = sums.entry(customer(row)).or_insert((0, 0));
        *amount += thousandths(amount_of(row));
        *lines += 1;
    }
    sums
}

/// Whether the same rows are here and there, each once. Every row of a test has an article of its own.
fn same_rows(store: &str, found: &[Value], expected: &[Value]) {
    let by_article = |rows: &[Value]| -> BTreeMap<String, Value> {
        rows.iter().map(|row| (row["StockCode"].as_str().unwrap().to_owned(), row.clone())).collect()
    };
    let (mut there, wanted) = (by_article(found), by_article(expected));
    let missing: Vec<_> = wanted.keys().filter(|id| !there.contains_key(*id)).take(5).collect();
    let foreign: Vec<_> = there.keys().filter(|id| !wanted.contains_key(*id)).take(5).collect();
    assert!(missing.is_empty() && foreign.is_empty(), "{store}: missing {missing:?}, not expected {foreign:?}");
    for (id, row) in &wanted {
        let found = there.get_mut(id).unwrap();
        // Where the row came without an id, it was given one.
        if row.get("_id").is_none() {
            assert!(found.as_object_mut().unwrap().remove("_id").is_some_and(|given| given.is_string()), "{found}");
        }
        assert!(*found == *row, "{store}, {id}: {}\nexpected {}", shown(found), shown(row));
    }
    assert_eq!((found.len(), expected.len()), (there.len(), wanted.len()), "{store}: rows that are there twice");
}

fn shown(row: &Value) -> String {
    row.to_string().chars().take(400).collect()
}
