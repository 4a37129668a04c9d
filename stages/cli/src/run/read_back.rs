//! Reads back what a Pipeline buffered and stored, through the same APIs as anybody would.
//!
//! Memory is bounded by the number of records only through the set of their hashed ids (16 bytes each),
//! which tells repeats from records.

mod objects;
mod stream;
mod table;

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use bigdecimal::BigDecimal;
use penstock_api::plan::{Plan, SinkTarget, StageKind};
use penstock_runtime::Aws;
use serde::Serialize;
use serde_json::Value;

use super::report::Total;

/// What one store holds.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoreCount {
    /// The source, buffer or sink that it belongs to.
    pub part: String,
    /// What kind of store it is.
    pub kind: StoreKind,
    /// Its name.
    pub store: String,
    /// Objects, where it holds objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// Records or items.
    pub records: u64,
    /// How many of the records repeat the id of another one; unknown where the store holds no ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
    /// What was added up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
}

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum StoreKind {
    /// A Kinesis stream.
    Stream,
    /// Objects in S3.
    Objects,
    /// A DynamoDB table.
    Table,
    /// Objects with records that could not be handled.
    DeadLetters,
}

/// Reads all stores of a plan.
pub(super) async fn read(plan: &Plan, aws: &Aws, total: Option<&Total>) -> anyhow::Result<Vec<StoreCount>> {
    let clients = crate::starting::clients(aws);
    let mut stores = Vec::new();
    for planned in &plan.resources.streams {
        stores.push(stream::count(&clients.kinesis, &planned.name, id_field_of(plan, &planned.name), total).await?);
    }
    for config in &plan.stages {
        let StageKind::Sink(sink) = &config.kind else { continue };
        match &sink.target {
            SinkTarget::S3(target) => stores.push(objects::count(&clients.s3, config, sink, target, total).await?),
            SinkTarget::DynamoDb(target) => {
                for table in &target.tables {
                    stores.push(table::count(&clients.dynamodb, config, sink, table, total).await?);
                }
            }
        }
        stores.push(objects::count_dead_letters(&clients.s3, config, sink).await?);
    }
    Ok(stores)
}

fn id_field_of<'a>(plan: &'a Plan, stream: &str) -> Option<&'a str> {
    plan.stages.iter().find_map(|config| match &config.kind {
        StageKind::Http(http) if http.stream == stream => http.id_field.as_deref(),
        StageKind::Sink(sink) if sink.stream == stream => sink.id_field.as_deref(),
        _ => None,
    })
}

/// Counts records, repeats and a total, one record at a time.
struct Tally<'a> {
    id_field: Option<&'a str>,
    total: Option<&'a Total>,
    hasher: RandomState,
    ids: HashSet<u64>,
    records: u64,
    repeats: u64,
    sum: BigDecimal,
}

impl<'a> Tally<'a> {
    fn new(id_field: Option<&'a str>, total: Option<&'a Total>) -> Self {
        Self {
            id_field,
            total,
            hasher: RandomState::new(),
            ids: HashSet::new(),
            records: 0,
            repeats: 0,
            sum: BigDecimal::default(),
        }
    }

    /// Counts a record that may be anything; one that is no JSON object is counted without id and total.
    fn add_bytes(&mut self, data: &[u8]) {
        self.records += 1;
        if self.id_field.is_none() && self.total.is_none() {
            return;
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(data) else { return };
        if let Some(id) = self.id_field.and_then(|field| fields.get(field)) {
            self.add_id(&id.to_string());
        }
        if let Some(amount) = self.total.and_then(|total| total.of(|field| number_text(fields.get(field)?))) {
            self.sum += amount;
        }
    }

    fn add_id(&mut self, id: &str) {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(id.as_bytes());
        if !self.ids.insert(hasher.finish()) {
            self.repeats += 1;
        }
    }

    fn into_count(self, part: &str, kind: StoreKind, store: String, objects: Option<u64>) -> StoreCount {
        StoreCount {
            part: part.to_owned(),
            kind,
            store,
            objects,
            records: self.records,
            repeats: self.id_field.map(|_| self.repeats),
            total: self.total.map(|_| self.sum.normalized().to_plain_string()),
        }
    }
}

fn number_text(value: &Value) -> Option<String> {
    value.as_number().map(ToString::to_string)
}
