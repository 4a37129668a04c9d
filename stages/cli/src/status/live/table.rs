//! The state of a running Pipeline as text. Pure.

use std::fmt::Write as _;

use super::state::{ShardState, SinkState, State};
use crate::audit::report::aligned;

/// A paragraph a sink.
pub(super) fn of(state: &State) -> String {
    let mut text = String::new();
    for sink in &state.sinks {
        text.push_str(&paragraph(&state.pipeline, sink));
        text.push('\n');
    }
    for missing in &state.missing {
        let _ = writeln!(text, "not known: {missing}");
    }
    text
}

fn paragraph(pipeline: &str, sink: &SinkState) -> String {
    let mut text = format!(
        "{pipeline} {}: {} ranges applied, {} records stored, {} dead letters, {} duplicates removed",
        sink.sink, sink.applied_ranges, sink.stored_records, sink.dead_letters, sink.duplicates_removed
    );
    if let (Some(retries), Some(throttled)) = (sink.retries, sink.throttled_calls) {
        let _ = write!(text, "; {retries} retries, {throttled} throttled");
    }
    if let Some(moves) = &sink.lease_moves {
        let _ = write!(text, "; leases: {} taken, {} given back, {} lost", moves.taken, moves.given_back, moves.lost);
    }
    text.push('\n');
    text.push_str(&workers(sink));
    text.push_str(&shards(sink));
    text
}

fn workers(sink: &SinkState) -> String {
    let head = ["WORKER", "LEASES", "HEARTBEAT", ""].map(str::to_owned);
    let rows = sink.workers.iter().map(|worker| {
        let age = worker.heartbeat_age_seconds.map_or_else(|| "-".to_owned(), |age| format!("{age:.1}s ago"));
        let draining = if worker.draining { "draining" } else { "" };
        [worker.worker.clone(), worker.leases.to_string(), age, draining.to_owned()]
    });
    aligned(std::iter::once(head).chain(rows).collect())
}

/// Shards that have ended are counted, since a stream that is resharded often has many.
fn shards(sink: &SinkState) -> String {
    let head =
        ["SHARD", "OWNER", "BEHIND", "UNAPPLIED", "READ", "BYTES", "RANGES", "RECORDS", "RETRIES"].map(str::to_owned);
    let (ended, open): (Vec<_>, Vec<_>) = sink.shards.iter().partition(|shard| shard.ended);
    let mut text = aligned(std::iter::once(head).chain(open.into_iter().map(row)).collect());
    if !ended.is_empty() {
        let records: u64 = ended.iter().filter_map(|shard| shard.records).sum();
        let _ = writeln!(text, "  and {} shards that have ended, with {records} records", ended.len());
    }
    text
}

fn row(shard: &ShardState) -> [String; 9] {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    [
        shard.shard.clone(),
        shard.owner.clone().unwrap_or_else(|| "nobody".to_owned()),
        shard.behind_latest_millis.map_or_else(|| "-".to_owned(), |millis| format!("{millis} ms")),
        shard.oldest_unapplied_seconds.map_or_else(|| "-".to_owned(), |age| format!("{age:.1} s")),
        number(shard.read_records),
        number(shard.read_bytes),
        number(shard.ranges),
        number(shard.records),
        number(shard.retries),
    ]
}
