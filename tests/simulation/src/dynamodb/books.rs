//! What was done to the leases of one table, and what must never be done to them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Item;
use crate::Millis;
use crate::kinesis::EPOCH;

/// How far a lease is, in the KCL's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Checkpoint {
    /// At a sentinel: nothing is processed.
    Begin,
    /// A sequence number and a sub-sequence number.
    At(u128, u64),
    /// Everything is.
    ShardEnd,
}

/// The books of one table.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// When each shard was at its end.
    pub(crate) ended: BTreeMap<String, Millis>,
    /// When the first lease was written: from then on every record counts.
    pub(crate) begin: Option<Millis>,
    /// At which time reading of a shard began, where a lease says so.
    starts: BTreeMap<String, Millis>,
    /// When the first worker was started: reading does not begin earlier.
    pub(crate) first_worker: Option<Millis>,
    /// Leases that were deleted: a call that was on its way for long may write one again.
    deleted: BTreeSet<String>,
    /// How far each shard ever was.
    reached: BTreeMap<String, Checkpoint>,
    /// Where the sequence numbers of the stream begin, if it was created again.
    stream_begins: Option<u128>,
    /// Checkpoints that moved, with the moment.
    pub(crate) moves: Vec<(Millis, String, Checkpoint)>,
    pub(crate) violations: Vec<String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Books {
    /// The stream was deleted, and another has its name: its sequence numbers begin here, and no shard of it has ended.
    pub(crate) fn stream_is_another(&mut self, begin: u128) {
        self.stream_begins = Some(begin);
        self.ended.clear();
    }

    /// Whether a lease of an earlier stream is written anew.
    fn restarts(&self, before: Option<&Item>, after: &Item) -> bool {
        let known = |item: &Item| {
            known_sequence(item).max(match checkpoint(item) {
                Ok(Checkpoint::At(sequence, _)) => Some(sequence),
                _ => None,
            })
        };
        checkpoint(after) == Ok(Checkpoint::Begin)
            && self.stream_begins.is_some_and(|begin| {
                before.is_some_and(|before| known(before) < Some(begin)) && known(after) >= Some(begin)
            })
    }

    /// When reading of the shard began; `None` when it began with the oldest record, or did not.
    pub(crate) fn start(&self, shard: &str) -> Option<Millis> {
        self.starts.get(shard).copied()
    }

    /// Reading begins at the time of the service, be it known in whole seconds.
    fn note_start(&mut self, now: Millis, key: &str, after: &Item) {
        let Some(at) = after.get("penstockStartAtMillis").and_then(|value| value["N"].as_str()?.parse::<Millis>().ok())
        else {
            return;
        };
        let earliest = self.first_worker.unwrap_or(0) / 1000 * 1000;
        match at.checked_sub(EPOCH).filter(|at| (earliest..=now).contains(at)) {
            // What was written first stands: whoever comes later must begin there, too.
            Some(at) => drop(self.starts.entry(key.to_owned()).or_insert(at)),
            None => self.violations.push(format!("reading of {key} begins at {at}, when no worker asked for the time")),
        }
    }

    /// A row is written, created or deleted.
    pub(super) fn note(&mut self, now: Millis, key: &str, before: Option<&Item>, after: Option<&Item>) {
        if !key.starts_with("shardId-") {
            return;
        }
        self.count(before, after);
        let Some(after) = after else {
            self.deleted.insert(key.to_owned());
            return;
        };
        self.begin.get_or_insert(now);
        self.note_start(now, key, after);
        if before.is_none() && self.deleted.remove(key) {
            *self.counts.entry("deleted leases written again").or_default() += 1;
            self.reached.remove(key);
        }
        if self.restarts(before, after) {
            *self.counts.entry("leases of an earlier stream written anew").or_default() += 1;
            self.reached.remove(key);
            self.ended.remove(key);
        }
        let checkpoint = match checkpoint(after) {
            Ok(checkpoint) => checkpoint,
            Err(problem) => return self.violations.push(format!("{key} has a checkpoint that is none: {problem}")),
        };
        let reached = self.reached.get(key).copied().unwrap_or(Checkpoint::Begin);
        if checkpoint < reached {
            self.violations.push(format!("the checkpoint of {key} went back from {reached:?} to {checkpoint:?}"));
        }
        if checkpoint > reached {
            self.moves.push((now, key.to_owned(), checkpoint));
        }
        self.reached.insert(key.to_owned(), checkpoint.max(reached));
        if checkpoint == Checkpoint::ShardEnd {
            self.ended.entry(key.to_owned()).or_insert(now);
        }
        let counter = |item: &Item| item.get("leaseCounter").and_then(|value| value["N"].as_str()?.parse::<u64>().ok());
        if let Some(before) = before
            && counter(after) <= counter(before)
        {
            self.violations.push(format!("the counter of {key} did not move with a write"));
        }
    }

    fn count(&mut self, before: Option<&Item>, after: Option<&Item>) {
        let owner = |item: Option<&Item>| item.and_then(|item| item.get("leaseOwner")).cloned();
        let pinned = |item: Option<&Item>| item.is_some_and(|item| item.contains_key("pendingCheckpoint"));
        let ended = |item: Option<&Item>| item.is_some_and(|item| checkpoint(item) == Ok(Checkpoint::ShardEnd));
        let moved = before.is_some() && before.map(checkpoint) != after.map(checkpoint);
        let mut add = |what, is| *self.counts.entry(what).or_default() += u64::from(is);
        add("leases written", before.is_none());
        add("leases deleted", after.is_none());
        match (owner(before), owner(after)) {
            (None, Some(_)) => add("leases taken", true),
            (Some(_), None) => {
                add("leases given back", !ended(after));
                add("leases handed over", after.is_some_and(|after| after.contains_key("penstockIntendedOwner")));
            }
            (Some(before), Some(after)) if before != after => add("take-overs", true),
            _ => {}
        }
        add("ranges pinned", pinned(after) && (!pinned(before) || moved));
        add("commits", moved && pinned(before));
        add("commits with the next pin", moved && pinned(before) && pinned(after));
        add("shard ends", ended(after) && !ended(before));
    }
}

/// The sequence number by which a row knows its shard.
pub(crate) fn known_sequence(item: &Item) -> Option<u128> {
    item.get("penstockKnownSequenceNumber")?["S"].as_str()?.parse().ok()
}

/// The checkpoint of a row.
pub(crate) fn checkpoint(item: &Item) -> Result<Checkpoint, String> {
    let text = item.get("checkpoint").and_then(|value| value["S"].as_str()).ok_or("it is missing")?;
    match text {
        "TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP" => Ok(Checkpoint::Begin),
        "SHARD_END" => Ok(Checkpoint::ShardEnd),
        sequence => {
            let number = |value: &Value| value["N"].as_str().and_then(|text| text.parse().ok());
            let sub = item.get("checkpointSubSequenceNumber").and_then(number).ok_or("it has no sub-sequence")?;
            Ok(Checkpoint::At(sequence.parse().map_err(|_| sequence.to_owned())?, sub))
        }
    }
}
