//! The records that readers get: rows of a shop's file, written down once as the service would answer them.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use encoding_rs::WINDOWS_1252;
use penstock_stream::PutEntry;
use penstock_stream::aggregate::Aggregator;
use serde_json::{Map, Value};

/// The aggregates of the KPL's default size, in bytes.
const AGGREGATE_BYTES: usize = 50 * 1024;

/// What the ids of rows begin with.
const FILE_ID: &str = "0123456789abcdef";

/// How rows lie in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A stream record each.
    Raw,
    /// Aggregated, as the KPL does it.
    Aggregated,
}

/// Stream records, each as the beginning of its JSON.
#[derive(Debug)]
pub struct Content {
    pub(crate) records: Vec<Prepared>,
}

/// One stream record.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Up to the sequence number.
    pub(crate) json: Vec<u8>,
    pub(crate) user_records: u64,
}

impl Content {
    /// So many rows: those that are given, as JSON, each with its partition key, and again with other ids.
    ///
    /// # Errors
    /// When a row does not fit into an aggregate.
    pub fn new(rows: &[(String, String)], form: Form, count: usize) -> anyhow::Result<Self> {
        let rounds = 0..count.div_ceil(rows.len().max(1));
        let again = |round: usize| rows.iter().map(move |(key, row)| (key, with_other_id(row, round)));
        let rows = rounds.flat_map(again).take(count);
        let records = match form {
            Form::Raw => rows.map(|(key, row)| Prepared::new(key, row.as_bytes(), 1)).collect(),
            Form::Aggregated => aggregated(rows)?,
        };
        Ok(Self { records })
    }
}

impl Prepared {
    fn new(key: &str, data: &[u8], user_records: u64) -> Self {
        let (data, key) = (STANDARD.encode(data), Value::from(key));
        let json = format!(
            r#"{{"ApproximateArrivalTimestamp":1291190400.123,"Data":"{data}","PartitionKey":{key},"SequenceNumber":""#
        );
        Self { json: json.into_bytes(), user_records }
    }
}

/// The id's first part is the file's, as the client makes it.
fn with_other_id(row: &str, round: usize) -> String {
    row.replacen(FILE_ID, &format!("{round:016x}"), 1)
}

fn aggregated<'a>(rows: impl Iterator<Item = (&'a String, String)>) -> anyhow::Result<Vec<Prepared>> {
    let mut records = Vec::new();
    let mut open = Aggregator::new(AGGREGATE_BYTES);
    for (key, row) in rows {
        if !open.would_fit(key, None, row.as_bytes()) {
            records.extend(finish(std::mem::replace(&mut open, Aggregator::new(AGGREGATE_BYTES))));
        }
        open.push(&key.as_str().into(), None, Bytes::from(row))?;
    }
    records.extend(finish(open));
    Ok(records)
}

fn finish(open: Aggregator) -> Option<Prepared> {
    let aggregate = open.finish()?;
    let PutEntry { data, partition_key, .. } = &aggregate.entry;
    Some(Prepared::new(partition_key, data, aggregate.members as u64))
}

/// The rows of a shop's CSV as the client sends them: the partition key (the invoice) and the JSON.
///
/// # Errors
/// When the file cannot be read, or is not a shop's.
pub fn rows_of(csv: &Path, limit: usize) -> anyhow::Result<Vec<(String, String)>> {
    let bytes = fs::read(csv).with_context(|| format!("reading {}", csv.display()))?;
    // As the shop's own files are, and the generated ones with them.
    let (text, _, _) = WINDOWS_1252.decode(&bytes);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers()?.clone();
    let mut rows = Vec::new();
    for (line, record) in reader.records().enumerate().take(limit) {
        let record = record?;
        let cells = header.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty());
        let mut row: Map<String, Value> =
            cells.map(|(name, cell)| Ok((name.to_owned(), typed(name, cell)?))).collect::<anyhow::Result<_>>()?;
        row.insert("_id".to_owned(), format!("{FILE_ID}:{line}").into());
        let key = row.get("InvoiceNo").and_then(Value::as_str).context("a row without InvoiceNo")?.to_owned();
        rows.push((key, Value::Object(row).to_string()));
    }
    Ok(rows)
}

fn typed(name: &str, cell: &str) -> anyhow::Result<Value> {
    Ok(match name {
        "Quantity" => cell.parse::<i64>()?.into(),
        "UnitPrice" => cell.parse::<f64>()?.into(),
        _ => cell.into(),
    })
}
