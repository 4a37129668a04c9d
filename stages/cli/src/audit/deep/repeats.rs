//! Which records repeat an id, told from the stream alone and apart from the consumer's own memory of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use penstock_api::plan::{DuplicateWindow, SinkStage};
use penstock_contract::{Record, ShardId};
use penstock_stream::Shard;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What a record must be to its sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is stored.
    New,
    /// It is left out.
    Repeat,
    /// Its id came before at the edge of the window, or outside of it.
    Either,
}

/// All ids so far.
pub(super) struct Repeats {
    rule: Option<(String, DuplicateWindow)>,
    /// The last appearance of each id.
    seen: HashMap<u128, Appearance>,
    /// Each shard with all that it was made from.
    lineage: BTreeMap<ShardId, BTreeSet<ShardId>>,
    records: u64,
    /// Records whose id came before in another lineage, within the window, and that are stored once more.
    pub(super) across: u64,
}

struct Appearance {
    shard: ShardId,
    arrival: i64,
    number: u64,
}

impl Repeats {
    pub(super) fn new(sink: &SinkStage, listed: &[Shard]) -> Self {
        let lineage = listed.iter().map(|shard| (shard.id.clone(), ancestors(listed, shard))).collect();
        let rule = sink.id_field.clone().zip(sink.duplicates);
        Self { rule, seen: HashMap::new(), lineage, records: 0, across: 0 }
    }

    /// Judges a record; each after those before it in its shard, and after those of the shards before.
    pub(super) fn judge(&mut self, record: &Record, shard: &ShardId) -> Judged {
        self.records += 1;
        let Some((field, window)) = &self.rule else { return Judged::New };
        let Some(id) = id_of(&record.data, field) else { return Judged::New };
        let now = Appearance { shard: shard.clone(), arrival: record.arrival.0, number: self.records };
        let Some(before) = self.seen.insert(id, now) else { return Judged::New };
        let is_ancestor =
            |shard_before: &ShardId| self.lineage.get(shard).is_some_and(|ancestors| ancestors.contains(shard_before));
        let apart = record.arrival.0.abs_diff(before.arrival);
        if before.shard != *shard && !is_ancestor(&before.shard) {
            self.across += u64::from(apart < window.millis);
            return Judged::New;
        }
        let well_inside = apart < window.millis / 2 && self.records - before.number < window.records / 2;
        if well_inside { Judged::Repeat } else { Judged::Either }
    }
}

fn ancestors(listed: &[Shard], shard: &Shard) -> BTreeSet<ShardId> {
    let mut found = BTreeSet::new();
    let mut todo: Vec<&ShardId> = shard.parents.iter().collect();
    while let Some(parent) = todo.pop() {
        if found.insert(parent.clone()) {
            todo.extend(listed.iter().filter(|shard| shard.id == *parent).flat_map(|shard| &shard.parents));
        }
    }
    found
}

fn id_of(data: &[u8], field: &str) -> Option<u128> {
    let fields: serde_json::Map<String, Value> = serde_json::from_slice(data).ok()?;
    let id = fields.get(field).filter(|id| !id.is_null())?;
    let hash = Sha256::digest(id.to_string());
    hash.first_chunk::<16>().map(|bytes| u128::from_be_bytes(*bytes))
}
