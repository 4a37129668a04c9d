//! `kill -9` at any point loses nothing that was acknowledged and leaves nothing half-written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::common::create_stream;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, Put, PutRequest, ScalarAttributeType,
    TransactWriteItem, Update, WriteRequest,
};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use parking_lot::Mutex;

/// The engines in a process that can be killed.
struct Process {
    child: Child,
    url: String,
}

fn binary() -> PathBuf {
    // <target>/<profile>/deps/<test> stands beside <target>/<profile>/examples.
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples").join("engines")
}

impl Process {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(binary()).arg(dir).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The part of a record's text that is its partition key.
fn key_of(text: &str) -> &str {
    text.split('=').next().unwrap()
}

type Acknowledged = Arc<Mutex<BTreeMap<String, String>>>;

/// Writes until the engines are gone; remembers what was acknowledged.
async fn write(url: String, writer: usize, round: usize, acknowledged: Acknowledged) {
    let client = crate::common::kinesis(&url);
    for batch in 0.. {
        let texts: Vec<String> =
            (0..50).map(|n| format!("{round}/{writer}/{batch}/{n}={}", "x".repeat(n * 20))).collect();
        let entries = texts
            .iter()
            .map(|text| {
                let entry =
                    PutRecordsRequestEntry::builder().partition_key(key_of(text)).data(Blob::new(text.as_bytes()));
                entry.build().unwrap()
            })
            .collect();
        let Ok(put) = client.put_records().stream_name("s").set_records(Some(entries)).send().await else { return };
        let mut acknowledged = acknowledged.lock();
        for (text, record) in texts.into_iter().zip(put.records()) {
            acknowledged.insert(record.sequence_number().unwrap().to_owned(), text);
        }
    }
}

/// Writes objects until the engines are gone; remembers what was acknowledged.
async fn write_objects(url: String, round: usize, acknowledged: Arc<Mutex<Vec<(String, usize)>>>) {
    let client = crate::common::s3(&url);
    for n in 0.. {
        let (key, size) = (format!("{round}/{n}"), 1000 + n * 70_000);
        let body = vec![b'o'; size];
        if client.put_object().bucket("lake").key(&key).body(body.into()).send().await.is_err() {
            return;
        }
        acknowledged.lock().push((key, size));
    }
}

async fn read(url: &str) -> BTreeMap<String, String> {
    let client = crate::common::kinesis(url);
    let mut found = BTreeMap::new();
    for shard in client.list_shards().stream_name("s").send().await.unwrap().shards() {
        let iterator = client.get_shard_iterator().stream_name("s").shard_id(shard.shard_id());
        let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
        let mut next = iterator.shard_iterator().unwrap().to_owned();
        loop {
            let answer = client.get_records().shard_iterator(next).send().await.unwrap();
            for record in answer.records() {
                let text = String::from_utf8(record.data().as_ref().to_vec()).unwrap();
                assert_eq!(record.partition_key(), Some(key_of(&text)), "a record is whole");
                assert!(found.insert(record.sequence_number().to_owned(), text).is_none());
            }
            if answer.millis_behind_latest() == Some(0) {
                break;
            }
            next = answer.next_shard_iterator().unwrap().to_owned();
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_is_there_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let (records, objects) = (Acknowledged::default(), Arc::new(Mutex::new(Vec::new())));
    let process = Process::start(dir.path());
    create_stream(&crate::common::kinesis(&process.url), "s", 3).await;
    crate::common::s3(&process.url).create_bucket().bucket("lake").send().await.unwrap();
    process.kill();
    for round in 0..6 {
        let process = Process::start(dir.path());
        let mut writers = Vec::new();
        for writer in 0..4 {
            writers.push(tokio::spawn(write(process.url.clone(), writer, round, Arc::clone(&records))));
        }
        writers.push(tokio::spawn(write_objects(process.url.clone(), round, Arc::clone(&objects))));
        // Somewhere in the middle of the work: writers do not pause, so the kill cuts requests in every state.
        let enough = records.lock().len() + 300 + 130 * round;
        let enough_objects = objects.lock().len() + 1 + round;
        crate::common::until("acknowledged writes", || async {
            records.lock().len() >= enough && objects.lock().len() >= enough_objects
        })
        .await;
        process.kill();
        for writer in writers {
            writer.await.unwrap();
        }
    }
    let process = Process::start(dir.path());
    let found = read(&process.url).await;
    let records = records.lock().clone();
    for (sequence, text) in &records {
        assert_eq!(found.get(sequence), Some(text), "an acknowledged record is there under its number");
    }
    let s3 = crate::common::s3(&process.url);
    let objects = objects.lock().clone();
    for (key, size) in &objects {
        let object = s3.get_object().bucket("lake").key(key).send().await.unwrap();
        assert_eq!(object.body.collect().await.unwrap().into_bytes().len(), *size);
    }
    process.kill();
    // Files of objects that were cut off are gone: as many are left as there are objects.
    let process = Process::start(dir.path());
    let mut listed = 0;
    let mut pages = crate::common::s3(&process.url).list_objects_v2().bucket("lake").into_paginator().send();
    while let Some(page) = pages.next().await {
        listed += page.unwrap().contents().len();
    }
    assert!(listed >= objects.len());
    let files = walk(&dir.path().join("s3").join("objects"));
    assert_eq!(files, listed);
    process.kill();
}

fn walk(dir: &Path) -> usize {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { walk(&path) } else { 1 })
        .sum()
}

const TABLE: &str = "items";
/// Items that a transaction puts, beside the one that counts transactions.
const IN_TRANSACTION: usize = 8;

/// Keys of items, and names of transactions, that were acknowledged.
#[derive(Debug, Default, Clone)]
struct Items {
    keys: BTreeSet<String>,
    transactions: BTreeSet<String>,
}

type AcknowledgedItems = Arc<Mutex<Items>>;

fn item(key: &str) -> HashMap<String, AttributeValue> {
    let body = AttributeValue::S("x".repeat(500));
    HashMap::from([("p".to_owned(), AttributeValue::S(key.to_owned())), ("body".to_owned(), body)])
}

async fn create_table(client: &aws_sdk_dynamodb::Client) {
    let attribute = AttributeDefinition::builder().attribute_name("p").attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder().attribute_name("p").key_type(KeyType::Hash);
    let table = client.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    let table = table.attribute_definitions(attribute.build().unwrap()).key_schema(key.build().unwrap());
    table.send().await.unwrap();
}

/// Puts items, one a request, until the engines are gone.
async fn put_items(url: String, round: usize, acknowledged: AcknowledgedItems) {
    let client = crate::common::dynamodb(&url);
    for n in 0.. {
        let key = format!("put/{round}/{n}");
        if client.put_item().table_name(TABLE).set_item(Some(item(&key))).send().await.is_err() {
            return;
        }
        acknowledged.lock().keys.insert(key);
    }
}

/// Puts items in batches until the engines are gone.
async fn put_batches(url: String, round: usize, acknowledged: AcknowledgedItems) {
    let client = crate::common::dynamodb(&url);
    for batch in 0.. {
        let keys: Vec<String> = (0..25).map(|n| format!("batch/{round}/{batch}/{n}")).collect();
        let put = |key: &String| PutRequest::builder().set_item(Some(item(key))).build().unwrap();
        let writes = keys.iter().map(|key| WriteRequest::builder().put_request(put(key)).build()).collect();
        let Ok(answer) = client.batch_write_item().request_items(TABLE, writes).send().await else { return };
        assert!(answer.unprocessed_items().is_none_or(HashMap::is_empty));
        acknowledged.lock().keys.extend(keys);
    }
}

/// Writes transactions until the engines are gone: each puts its items and counts itself.
async fn transact(url: String, round: usize, acknowledged: AcknowledgedItems) {
    let client = crate::common::dynamodb(&url);
    let count = Update::builder()
        .table_name(TABLE)
        .key("p", AttributeValue::S("transactions".into()))
        .update_expression("ADD written :one")
        .expression_attribute_values(":one", AttributeValue::N("1".into()))
        .build()
        .unwrap();
    for n in 0.. {
        let name = format!("{round}-{n}");
        let put = |at: usize| {
            let put = Put::builder().table_name(TABLE).set_item(Some(item(&format!("transaction/{name}/{at}"))));
            TransactWriteItem::builder().put(put.build().unwrap()).build()
        };
        let mut writes: Vec<TransactWriteItem> = (0..IN_TRANSACTION).map(put).collect();
        writes.push(TransactWriteItem::builder().update(count.clone()).build());
        if client.transact_write_items().set_transact_items(Some(writes)).send().await.is_err() {
            return;
        }
        acknowledged.lock().transactions.insert(name);
    }
}

/// All items by their keys.
async fn scan(url: &str) -> BTreeMap<String, HashMap<String, AttributeValue>> {
    let mut items = BTreeMap::new();
    let mut pages = crate::common::dynamodb(url).scan().table_name(TABLE).consistent_read(true).into_paginator().send();
    while let Some(page) = pages.next().await {
        for found in page.unwrap().items() {
            items.insert(found["p"].as_s().unwrap().clone(), found.clone());
        }
    }
    items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_item_is_there_after_kill_9_and_transactions_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = AcknowledgedItems::default();
    let process = Process::start(dir.path());
    create_table(&crate::common::dynamodb(&process.url)).await;
    process.kill();
    for round in 0..6 {
        let process = Process::start(dir.path());
        let (url, items) = (|| process.url.clone(), || Arc::clone(&acknowledged));
        let writers = [
            tokio::spawn(put_items(url(), round, items())),
            tokio::spawn(put_batches(url(), round, items())),
            tokio::spawn(transact(url(), round, items())),
        ];
        let before = acknowledged.lock().clone();
        let (enough, enough_transactions) =
            (before.keys.len() + 80 + 15 * round, before.transactions.len() + 2 + round);
        crate::common::until("acknowledged items", || async {
            let now = acknowledged.lock();
            now.keys.len() >= enough && now.transactions.len() >= enough_transactions
        })
        .await;
        process.kill();
        for writer in writers {
            writer.await.unwrap();
        }
    }
    let process = Process::start(dir.path());
    let found = scan(&process.url).await;
    let acknowledged = acknowledged.lock().clone();
    for key in &acknowledged.keys {
        assert_eq!(found.get(key), Some(&item(key)), "an acknowledged item is there as it was sent");
    }
    let mut transactions: BTreeMap<String, usize> = BTreeMap::new();
    for key in found.keys().filter_map(|key| key.strip_prefix("transaction/")) {
        *transactions.entry(key.split('/').next().unwrap().to_owned()).or_default() += 1;
    }
    for (name, items) in &transactions {
        assert_eq!(*items, IN_TRANSACTION, "transaction {name} is there as a whole");
    }
    for name in &acknowledged.transactions {
        assert!(transactions.contains_key(name), "acknowledged transaction {name} is there");
    }
    let counted: usize = found["transactions"]["written"].as_n().unwrap().parse().unwrap();
    assert_eq!(counted, transactions.len(), "what a transaction adds is there once for each");
    process.kill();
}
