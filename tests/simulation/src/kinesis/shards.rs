//! Splitting, merging, resizing.

use std::collections::VecDeque;

use super::{Closed, Kinesis, Shard};
use crate::Millis;

impl Kinesis {
    pub(super) fn add_even_shards(&mut self, count: usize) {
        let width = u128::MAX / count as u128;
        for n in 0..count as u128 {
            let first = if n == 0 { 0 } else { n * width + 1 };
            let last = if n + 1 == count as u128 { u128::MAX } else { (n + 1) * width };
            self.add(0, first, last, Vec::new());
        }
    }

    fn add(&mut self, now: Millis, first_hash: u128, last_hash: u128, parents: Vec<String>) {
        let id = format!("shardId-{:012}", self.next_shard);
        self.next_shard += 1;
        let first_sequence = self.sequence();
        let shard = Shard {
            parents,
            first_hash,
            last_hash,
            born: now,
            first_sequence,
            closed: None,
            log: Vec::new(),
            trimmed: 0,
            reads: VecDeque::new(),
        };
        self.shards.insert(id, shard);
    }

    fn close(&mut self, now: Millis, id: &str) {
        let sequence = self.sequence();
        if let Some(shard) = self.shards.get_mut(id) {
            shard.closed = Some(Closed { at: now, sequence });
        }
    }

    /// The open shards in the order of their hash keys.
    pub(crate) fn open_shards(&self) -> Vec<String> {
        let mut open: Vec<_> = self.shards.iter().filter(|(_, shard)| shard.is_open()).collect();
        open.sort_by_key(|(_, shard)| shard.first_hash);
        open.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// Splits an open shard somewhere in its middle.
    pub(crate) fn split(&mut self, now: Millis, id: &str) {
        let Some(shard) = self.shards.get(id) else { return };
        let (first, last) = (shard.first_hash, shard.last_hash);
        if last - first < 4 {
            return;
        }
        self.close(now, id);
        let middle = first + (last - first) / 2;
        self.add(now, first, middle, vec![id.to_owned()]);
        self.add(now, middle + 1, last, vec![id.to_owned()]);
    }

    /// Merges two open shards that lie beside each other.
    pub(crate) fn merge(&mut self, now: Millis, left: &str, right: &str) {
        let (Some(first), Some(last)) = (self.shards.get(left), self.shards.get(right)) else { return };
        let (first, last) = (first.first_hash, last.last_hash);
        self.close(now, left);
        self.close(now, right);
        self.add(now, first, last, vec![left.to_owned(), right.to_owned()]);
    }
}
