//! The newest records of a stream. There is no reading backwards: what arrived lately is read, lately at first being
//! very little, so that few calls are taken from those that the stream has for its sinks.

use std::time::Duration;

use penstock_contract::ArrivalMillis;
use penstock_stream::{
    Shard, ShardFilter, StartingAt, StreamError, StreamRecord, get_records, get_shard_iterator, list_shards,
    service_time, user_records,
};
use serde_json::{Value, json};

use super::{PeekError, SHOWN, shown};
use crate::subject::Stores;

/// How far back is looked, one after the other, until there is something.
const BACK: [Duration; 4] =
    [Duration::from_secs(3), Duration::from_secs(60), Duration::from_secs(3_600), Duration::from_secs(24 * 3_600)];
/// Reads of a shard in one look. A shard has five a second for everybody.
const READS: usize = 2;
/// Records of one read.
const LIMIT: i32 = 2_000;
/// Shards that are looked at.
const SHARDS: usize = 8;

pub(super) async fn newest(stores: &Stores, stream: &str) -> Result<Value, PeekError> {
    let failed = |error: StreamError| PeekError::of(format!("reading stream {stream}"), &error);
    let shards = list_shards(&stores.kinesis, stream, &ShardFilter::AtLatest).await.map_err(failed)?;
    let now = service_time(&stores.kinesis, stream).await.map_err(failed)?;
    let mut newest = Vec::new();
    for back in BACK {
        let since = ArrivalMillis(now.0 - i64::try_from(back.as_millis()).unwrap_or(i64::MAX));
        for shard in shards.iter().take(SHARDS) {
            newest.extend(since_then(stores, stream, shard, since).await.map_err(failed)?);
        }
        if !newest.is_empty() {
            break;
        }
    }
    newest.sort_by(|(a, _), (b, _)| b.arrival.cmp(&a.arrival).then_with(|| b.sequence.cmp(&a.sequence)));
    let records = newest.into_iter().flat_map(|(record, shard)| opened(&shard, record));
    Ok(json!({
        "shards": shards.len(),
        "looked": shards.len().min(SHARDS),
        "records": records.take(SHOWN).collect::<Vec<_>>(),
    }))
}

/// The last stream records of a shard that arrived since then, as far as few reads go.
async fn since_then(
    stores: &Stores,
    stream: &str,
    shard: &Shard,
    since: ArrivalMillis,
) -> Result<Vec<(StreamRecord, Shard)>, StreamError> {
    let mut iterator = get_shard_iterator(&stores.kinesis, stream, &shard.id, &StartingAt::AtTimestamp(since)).await?;
    let mut last = Vec::new();
    for _ in 0..READS {
        let answer = get_records(&stores.kinesis, &iterator, LIMIT).await?;
        last.extend(answer.records.into_iter().map(|record| (record, shard.clone())));
        last.drain(..last.len().saturating_sub(SHOWN));
        match answer.next_iterator.filter(|_| answer.millis_behind_latest != Some(0)) {
            Some(next) => iterator = next,
            None => break,
        }
    }
    Ok(last)
}

/// The user records of a stream record, newest first.
fn opened(shard: &Shard, record: StreamRecord) -> Vec<Value> {
    let mut records: Vec<_> = user_records(&shard.id, &shard.hash_range, record)
        .iter()
        .map(|record| {
            json!({
                "shard": shard.id.as_str(),
                "sequence": record.position.sequence.to_string(),
                "subSequence": record.position.sub_sequence,
                "arrival": record.arrival.0,
                "key": record.partition_key.to_string(),
                "data": shown(&record.data),
            })
        })
        .collect();
    records.reverse();
    records
}
