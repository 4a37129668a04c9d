//! Which records are repeats: from the rule as it is written down, and from nothing but the whole stream.

use std::collections::BTreeSet;

use super::Kinesis;
use crate::Millis;
use crate::record::UserRecord;

/// A record in the log that goes on the logs of the parents.
#[derive(Clone, Copy)]
struct Appearance {
    id: u64,
    arrival: Millis,
    is_inherited: bool,
}

impl Kinesis {
    /// Records that come next into a shard's log: notes which of them are repeats.
    pub(super) fn note_repeats(&mut self, shard: &str, next: &[UserRecord]) {
        let Some(window) = self.window else { return };
        let mut log = self.log_of(shard);
        for record in next {
            let before = log.iter().rev().zip(1..).find(|(before, _)| before.id == record.id);
            if let Some((before, back)) = before
                && back <= window.records
                && record.arrival - before.arrival <= window.millis
            {
                self.repeats.insert(record.number);
                self.inherited_repeats += u64::from(before.is_inherited);
            }
            log.push(Appearance { id: record.id, arrival: record.arrival, is_inherited: false });
        }
    }

    /// The logs of all shards that the shard was made from, as the records arrived, and then its own.
    fn log_of(&self, id: &str) -> Vec<Appearance> {
        let mut lineage = BTreeSet::new();
        let mut next = vec![id];
        while let Some(shard) = next.pop() {
            if lineage.insert(shard) {
                next.extend(self.shards.get(shard).into_iter().flat_map(|shard| &shard.parents).map(String::as_str));
            }
        }
        let entries = lineage.into_iter().filter_map(|name| Some((name, self.shards.get(name)?)));
        let mut entries: Vec<_> =
            entries.flat_map(|(name, shard)| shard.log.iter().map(move |entry| (name != id, entry))).collect();
        entries.sort_by_key(|(_, entry)| entry.sequence);
        let appearance = |is_inherited| {
            move |record: &UserRecord| Appearance { id: record.id, arrival: record.arrival, is_inherited }
        };
        entries
            .into_iter()
            .flat_map(|(is_inherited, entry)| entry.records.iter().map(appearance(is_inherited)))
            .collect()
    }
}
