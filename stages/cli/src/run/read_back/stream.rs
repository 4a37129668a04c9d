//! What a Kinesis stream holds, from the trim horizon to the tip.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_kinesis::Client;
use penstock_runtime::Backoff;
use penstock_stream::{
    ErrorKind, MAX_RECORDS_PER_READ, Shard, ShardFilter, StartingAt, get_records, get_shard_iterator, list_shards,
    user_records,
};

use super::{StoreCount, StoreKind, Tally};
use crate::run::report::Total;

pub(super) async fn count(
    client: &Client,
    stream: &str,
    id_field: Option<&str>,
    total: Option<&Total>,
) -> anyhow::Result<StoreCount> {
    let shards = list_shards(client, stream, &ShardFilter::FromTrimHorizon)
        .await
        .with_context(|| format!("the shards of the stream {stream:?} cannot be listed"))?;
    let mut tally = Tally::new(id_field, total);
    for shard in &shards {
        count_shard(client, stream, shard, &mut tally)
            .await
            .with_context(|| format!("the shard {} of the stream {stream:?} cannot be read", shard.id))?;
    }
    Ok(tally.into_count(stream, StoreKind::Stream, stream.to_owned(), None))
}

async fn count_shard(client: &Client, stream: &str, shard: &Shard, tally: &mut Tally<'_>) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(Duration::from_millis(400), Duration::from_secs(5));
    let mut next = Some(get_shard_iterator(client, stream, &shard.id, &StartingAt::TrimHorizon).await?);
    while let Some(iterator) = next.take() {
        let answer = match get_records(client, &iterator, MAX_RECORDS_PER_READ).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::Throttled => {
                tokio::time::sleep(backoff.next_wait()).await;
                next = Some(iterator);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        backoff.reset();
        let at_tip = answer.records.is_empty() && answer.millis_behind_latest == Some(0);
        for record in answer.records {
            for record in user_records(&shard.id, &shard.hash_range, record) {
                tally.add_bytes(&record.data);
            }
        }
        next = if at_tip { None } else { answer.next_iterator };
    }
    Ok(())
}
