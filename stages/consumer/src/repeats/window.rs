//! Reading the window before a record: the log of its shard, and those of the shards that it was made from.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use penstock_contract::{ArrivalMillis, Position, Record, ShardId, Sink};
use penstock_stream::{HashRange, Shard, ShardFilter, StartingAt, list_shards, user_records};

use super::RepeatWindow;
use super::judge::{appearance, reach};
use super::log::Appearance;
use super::memory::{Memory, Reach};
use crate::pinned_read::ReadFailed;
use crate::reader::{Event, Reader};
use crate::shared::Shared;
use crate::trouble::Concern;

/// So many answers at the tip without a record say that there is nothing more.
const EMPTY_AT_TIP: u32 = 3;
/// So often a listing is asked for that shows the shard.
const LISTINGS: u32 = 10;
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What must be remembered to judge the record and those after it.
pub(super) async fn read<S: Sink>(
    shared: &Arc<Shared<S>>,
    repeats: &RepeatWindow,
    shard: &ShardId,
    before: &Record,
) -> Result<Memory, ReadFailed> {
    let reach = reach(repeats);
    let from = earliest(reach, before.arrival);
    let shards = listing(shared, shard, from).await;
    let mut inherited = Vec::new();
    for ancestor in ancestors(&shards, shard) {
        inherited.extend(read_shard(shared, repeats, reach, &ancestor.id, &ancestor.hash_range, from, None).await?);
    }
    // Logs that were merged: in the order in which the stream took their records. The sort is stable.
    inherited.sort_by_key(|appearance| appearance.arrival);
    let takes = shared.hash_range(shard);
    let own = read_shard(shared, repeats, reach, shard, &takes, from, Some(&before.position)).await?;
    let count = inherited.len() + own.len();
    tracing::info!(%shard, before = %before.position, ids = count, "the window for repeats is read");
    let mut memory = Memory::new(reach);
    for appearance in inherited.into_iter().chain(own) {
        memory.take(appearance);
    }
    memory.settle();
    Ok(memory)
}

/// The shards since the time. A listing without the shard itself lags behind, and its parents may be missing, too; or the shard
/// is gone.
async fn listing<S: Sink>(shared: &Arc<Shared<S>>, shard: &ShardId, from: ArrivalMillis) -> Vec<Shard> {
    let filter = ShardFilter::FromTimestamp(from);
    let list = || list_shards(&shared.kinesis, &shared.config.stream, &filter);
    for _ in 1..LISTINGS {
        let listed = shared.troubles.insist(Concern::Stream, shard.as_str(), list).await;
        if listed.iter().any(|listed| listed.id == *shard) {
            return listed;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    shared.troubles.insist(Concern::Stream, shard.as_str(), list).await
}

/// No record that arrived earlier is in the reach of one that arrived at this time or comes after it in the log.
fn earliest(reach: Reach, arrival: ArrivalMillis) -> ArrivalMillis {
    // Not before the epoch: the service knows no such time.
    ArrivalMillis(arrival.0.saturating_sub(reach.millis).saturating_sub(reach.skew_millis).max(0))
}

/// The shards in the list that the shard was made from, the oldest first. Those that are not in the list ended before
/// the window.
fn ancestors<'a>(listed: &'a [Shard], shard: &'a ShardId) -> Vec<&'a Shard> {
    let by_id: BTreeMap<_, _> = listed.iter().map(|shard| (&shard.id, shard)).collect();
    let mut generations = Vec::new();
    let mut children = vec![shard];
    // Parents are always older, so this ends; the bound is for a service that says otherwise.
    for _ in 0..listed.len() {
        let mut generation: Vec<&ShardId> =
            children.iter().filter_map(|child| by_id.get(child)).flat_map(|shard| &shard.parents).collect();
        generation.retain(|parent| by_id.contains_key(parent));
        generation.sort_unstable();
        generation.dedup();
        if generation.is_empty() {
            break;
        }
        generations.push(generation.clone());
        children = generation;
    }
    let mut oldest_first = Vec::new();
    for parent in generations.into_iter().rev().flatten() {
        if !oldest_first.contains(&parent) {
            oldest_first.push(parent);
        }
    }
    oldest_first.into_iter().filter_map(|parent| by_id.get(parent)).copied().collect()
}

/// The last appearances in the shard's log from the time on, up to the position or the end of the shard.
async fn read_shard<S: Sink>(
    shared: &Arc<Shared<S>>,
    repeats: &RepeatWindow,
    reach: Reach,
    shard: &ShardId,
    takes: &HashRange,
    from: ArrivalMillis,
    before: Option<&Position>,
) -> Result<VecDeque<Appearance>, ReadFailed> {
    let mut found = VecDeque::new();
    let mut reader = Reader::again(Arc::clone(shared), shard.clone(), StartingAt::AtTimestamp(from));
    let mut empty_at_tip = 0;
    while empty_at_tip < EMPTY_AT_TIP {
        let answer = match reader.next().await {
            Event::Answer(answer) => answer,
            Event::End(_) | Event::Gone => break,
            Event::Died => return Err(ReadFailed),
        };
        // An ancestor has ended, so its tip is its end as well.
        empty_at_tip = if answer.at_tip { empty_at_tip + 1 } else { 0 };
        for record in answer.into_parts().0 {
            if before.is_some_and(|before| record.sequence > before.sequence) {
                return Ok(found);
            }
            let reached = before.is_some_and(|before| record.sequence == before.sequence);
            for record in user_records(shard, takes, record) {
                if before.is_some_and(|before| record.position >= *before) {
                    break;
                }
                found.extend(appearance(repeats, &record));
            }
            if reached {
                return Ok(found);
            }
            let too_many = (found.len() as u64).saturating_sub(reach.records);
            found.drain(..usize::try_from(too_many).unwrap_or(0));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_contract::Sequence;
    use penstock_stream::HashKey;

    fn shard(id: &str, parents: &[&str]) -> Shard {
        Shard {
            id: ShardId::new(id),
            parents: parents.iter().map(|parent| ShardId::new(*parent)).collect(),
            hash_range: HashRange { start: HashKey::MIN, end_inclusive: HashKey::MAX },
            starting_sequence: Sequence::parse("1").expect("a number"),
            ending_sequence: None,
        }
    }

    fn names(listed: &[Shard], of: &str) -> Vec<String> {
        ancestors(listed, &ShardId::new(of)).iter().map(|shard| shard.id.to_string()).collect()
    }

    #[test]
    fn ancestors_come_before_their_children() {
        let listed = [
            shard("5", &["3", "4"]),
            shard("1", &["0"]),
            shard("2", &["0"]),
            shard("3", &["1"]),
            shard("4", &["2", "trimmed"]),
            shard("0", &["also trimmed"]),
            shard("6", &["4"]),
        ];
        assert_eq!(names(&listed, "5"), ["0", "1", "2", "3", "4"]);
        assert_eq!(names(&listed, "1"), ["0"]);
        assert_eq!(names(&listed, "0"), [""; 0]);
        assert_eq!(names(&listed, "unknown"), [""; 0]);
    }

    #[test]
    fn a_listing_that_goes_in_a_circle_ends() {
        assert_eq!(names(&[shard("a", &["b"]), shard("b", &["a"])], "a").len(), 2);
    }
}
