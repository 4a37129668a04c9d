//! Records against the items of tables with `write: put`.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use aws_sdk_dynamodb::types::AttributeValue;
use penstock_api::plan::StartAt;
use penstock_api::plan::{DynamoDbTarget, TableTarget, WriteTarget};
use penstock_contract::{Record, ShardId};
use penstock_dynamodb::DynamoDbSink;
use sha2::{Digest as _, Sha256};

use super::Told;
use super::repeats::Judged;
use crate::audit::Audit;
use crate::audit::report::Verdict;

/// What an item of a key may be.
struct Expected {
    /// Fingerprints of the item, by the records that made it; the first is what it was when the leases were read.
    items: Vec<u128>,
    /// It must be there: its record was committed.
    is_due: bool,
    /// The record, for whoever misses its item.
    record: String,
}

/// The items of a sink's tables as its records make them.
pub(super) struct Items {
    sink: DynamoDbSink,
    tables: BTreeMap<String, HashMap<u128, Expected>>,
    targets: Vec<TableTarget>,
    from_the_oldest: bool,
}

impl Items {
    pub(super) fn new(audit: &Audit<'_>, target: &DynamoDbTarget) -> anyhow::Result<Self> {
        let sink = DynamoDbSink::new(audit.sink, audit.clients.dynamodb.clone())?;
        let targets = target.tables.iter().filter(|table| table.write == WriteTarget::Put).cloned();
        let from_the_oldest = audit.sink.start_at == StartAt::TrimHorizon;
        Ok(Self { sink, tables: BTreeMap::new(), targets: targets.collect(), from_the_oldest })
    }

    /// The next record of the shard.
    pub(super) fn take(
        &mut self,
        record: &Record,
        shard: &ShardId,
        judged: Judged,
        is_due: bool,
        _told: &mut Told<'_>,
    ) {
        if judged == Judged::Repeat {
            return;
        }
        // A rejected record makes no item; that it is among the dead letters was counted.
        let Ok(rendered) = self.sink.render(record, shard) else { return };
        for rendered in rendered {
            let key = fingerprint(&rendered.key);
            let item = fingerprint(&rendered.item);
            let is_certain = is_due && judged == Judged::New;
            let table = self.tables.entry(rendered.table).or_default();
            let expected = table.entry(key).or_insert_with(|| Expected {
                items: Vec::new(),
                is_due: false,
                record: format!("{shard} {}", record.position),
            });
            expected.is_due |= is_certain;
            if is_certain {
                // What was committed later takes its place.
                expected.items.clear();
            }
            expected.items.push(item);
        }
    }

    /// Compares with the tables.
    pub(super) async fn end(mut self, audit: &Audit<'_>, told: &mut Told<'_>) -> anyhow::Result<()> {
        for target in std::mem::take(&mut self.targets) {
            let mut expected = self.tables.remove(&target.name).unwrap_or_default();
            let mut pages = audit.clients.dynamodb.scan().table_name(&target.name).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.with_context(|| format!("the table {:?} cannot be read", target.name))?;
                for item in page.items.unwrap_or_default() {
                    check(&target, &item, &mut expected, told);
                }
            }
            // An item whose time is over is deleted by the service.
            let missing = expected.values().filter(|expected| expected.is_due && target.ttl.is_none());
            for missing in missing.filter(|_| self.from_the_oldest) {
                let what = format!("the item of record {} is missing", missing.record);
                told.say(Verdict::Wrong, None, target.name.clone(), what);
            }
        }
        Ok(())
    }
}

fn check(
    target: &TableTarget,
    item: &HashMap<String, AttributeValue>,
    expected: &mut HashMap<u128, Expected>,
    told: &mut Told<'_>,
) {
    let key: HashMap<_, _> = [Some(&target.partition), target.sort.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|part| item.get_key_value(part.attribute_name()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // Of a record that the stream has deleted since, or of another writer: nothing is known of it.
    let Some(expected) = expected.remove(&fingerprint(&key)) else { return };
    if !expected.items.contains(&fingerprint(item)) {
        let what = format!("the item {key:?} is not what record {} makes", expected.record);
        told.say(Verdict::Wrong, None, target.name.clone(), what);
    }
}

/// Of attributes, whatever order they come in.
fn fingerprint(attributes: &HashMap<String, AttributeValue>) -> u128 {
    let sorted: BTreeMap<_, _> = attributes.iter().map(|(name, value)| (name, canonical(value))).collect();
    let hash = Sha256::digest(format!("{sorted:?}"));
    hash.first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes))
}

/// The value with maps in order.
fn canonical(value: &AttributeValue) -> String {
    match value {
        AttributeValue::M(map) => {
            let sorted: BTreeMap<_, _> = map.iter().map(|(name, value)| (name, canonical(value))).collect();
            format!("{sorted:?}")
        }
        AttributeValue::L(list) => format!("{:?}", list.iter().map(canonical).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}
