//! Splits, merges and scales the stream, on the engine itself.

use anyhow::Context;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ScalingType, Shard};

use super::events::Reshard;

/// With more open shards only merges are done, so that a run stays small.
const MOST_SHARDS: usize = 8;

/// Does it; says whether the service took it. It takes one at a time, and not any number a day.
pub(super) async fn reshard(client: &Client, stream: &str, how: Reshard) -> anyhow::Result<bool> {
    let open = open_shards(client, stream).await?;
    Ok(match how {
        Reshard::Split(choice) if open.len() < MOST_SHARDS => split(client, stream, &open[choice % open.len()]).await?,
        Reshard::Split(choice) | Reshard::Merge(choice) if open.len() > 1 => {
            let first = choice % (open.len() - 1);
            let (shard, neighbour) = (open[first].shard_id(), open[first + 1].shard_id());
            let request = client.merge_shards().stream_name(stream);
            request.shard_to_merge(shard).adjacent_shard_to_merge(neighbour).send().await.is_ok()
        }
        Reshard::Split(_) | Reshard::Merge(_) => false,
        Reshard::Scale(target) => {
            let request = client.update_shard_count().stream_name(stream);
            request.target_shard_count(target).scaling_type(ScalingType::UniformScaling).send().await.is_ok()
        }
    })
}

/// The open shards in the order of their hash keys, so that each one's neighbour is beside it.
async fn open_shards(client: &Client, stream: &str) -> anyhow::Result<Vec<Shard>> {
    let listed = client.list_shards().stream_name(stream).send().await.context("the shards cannot be listed")?;
    let mut open = listed.shards.unwrap_or_default();
    open.retain(|shard| shard.sequence_number_range().is_none_or(|numbers| numbers.ending_sequence_number().is_none()));
    open.sort_by_key(|shard| hashes(shard).0);
    if open.is_empty() {
        anyhow::bail!("the stream {stream:?} has no open shard");
    }
    Ok(open)
}

async fn split(client: &Client, stream: &str, shard: &Shard) -> anyhow::Result<bool> {
    let (start, end) = hashes(shard);
    let middle = start + (end - start) / 2;
    let request = client.split_shard().stream_name(stream).shard_to_split(shard.shard_id());
    Ok(request.new_starting_hash_key(middle.to_string()).send().await.is_ok())
}

fn hashes(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range();
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or_default();
    (number(range.map(|range| range.starting_hash_key())), number(range.map(|range| range.ending_hash_key())))
}
