//! Splitting, merging and scaling: how shards become other shards.

use super::hash::{HashKey, HashRange, uniform};
use super::stream::{Closed, DAY, Mode, Shard, Status, Stream, parse_shard_id, shard_id};
use super::{Millis, Moment};
use crate::kinesis::ACCOUNT;
use crate::kinesis::error::ApiError;

/// `UpdateShardCount` may be called this often in 24 hours.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>
const RESHARDS_PER_DAY: usize = 10;
/// The largest number of shards that `UpdateShardCount` takes.
const MAX_SHARDS: u32 = 10_000;

/// Splits a shard in two at a hash key. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SplitShard.html>
pub(crate) fn split(stream: &mut Stream, shard: &str, at: HashKey, moment: &mut Moment<'_>) -> Result<(), ApiError> {
    prepare(stream, "SplitShard", moment.now)?;
    let parent = open_shard(stream, shard)?;
    let HashRange { start, end } = parent.hashes;
    if at.0 <= start.0.saturating_add(1) || at >= end {
        return Err(ApiError::invalid_argument(format!(
            "NewStartingHashKey {at} used in SplitShard() on shard {shard} in stream {} under account {ACCOUNT} is not \
             both greater than one plus the shard's StartingHashKey {start} and less than the shard's EndingHashKey {end}.",
            stream.name,
        )));
    }
    let index = parent.index;
    split_at(stream, index, at, moment);
    stream.begin(Status::Updating, moment.now);
    Ok(())
}

/// Merges two neighbours. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_MergeShards.html>
pub(crate) fn merge(stream: &mut Stream, shard: &str, adjacent: &str, moment: &mut Moment<'_>) -> Result<(), ApiError> {
    prepare(stream, "MergeShards", moment.now)?;
    let (first, second) = (open_shard(stream, shard)?, open_shard(stream, adjacent)?);
    let neighbours = first.hashes.is_followed_by(second.hashes) || second.hashes.is_followed_by(first.hashes);
    if !neighbours {
        return Err(ApiError::invalid_argument(format!(
            "Shards {shard} and {adjacent} in stream {} under account {ACCOUNT} are not an adjacent pair of shards \
             eligible for merging",
            stream.name,
        )));
    }
    let (first, second) = (first.index, second.index);
    merge_pair(stream, first, second, moment);
    stream.begin(Status::Updating, moment.now);
    Ok(())
}

/// Scales to equal shards, by the splits and merges that lead there.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>
pub(crate) fn update_count(stream: &mut Stream, target: u32, moment: &mut Moment<'_>) -> Result<(), ApiError> {
    prepare(stream, "UpdateShardCount", moment.now)?;
    let current = u32::try_from(stream.open_shards().count()).unwrap_or(u32::MAX);
    if target == 0 || target > MAX_SHARDS {
        return Err(ApiError::invalid_argument(format!(
            "TargetShardCount {target} must be at least 1 and at most {MAX_SHARDS}."
        )));
    }
    if u64::from(target) > 2 * u64::from(current) || 2 * u64::from(target) < u64::from(current) {
        return Err(ApiError::invalid_argument(format!(
            "TargetShardCount {target} must be at most double and at least half the current open shard count {current} \
             of stream {} under account {ACCOUNT}.",
            stream.name,
        )));
    }
    stream.reshards.retain(|at| at + DAY > moment.now);
    if stream.reshards.len() >= RESHARDS_PER_DAY {
        return Err(ApiError::limit(format!(
            "UpdateShardCount was called {RESHARDS_PER_DAY} times on stream {} under account {ACCOUNT} within 24 hours.",
            stream.name,
        )));
    }
    let targets = uniform(target);
    cut_at_starts(stream, &targets, moment);
    targets.iter().for_each(|range| join_within(stream, *range, moment));
    stream.reshards.push(moment.now);
    stream.begin(Status::Updating, moment.now);
    Ok(())
}

fn prepare(stream: &Stream, operation: &str, now: Millis) -> Result<(), ApiError> {
    stream.require_active(now)?;
    if stream.mode == Mode::OnDemand {
        return Err(ApiError::new(
            crate::kinesis::error::ErrorKind::Validation,
            format!("{operation} is not supported for on-demand stream {}: its StreamMode is ON_DEMAND.", stream.name),
        ));
    }
    Ok(())
}

fn open_shard<'a>(stream: &'a Stream, id: &str) -> Result<&'a Shard, ApiError> {
    let shard =
        parse_shard_id(id).and_then(|index| stream.shard(index)).ok_or_else(|| ApiError::no_shard(&stream.name, id))?;
    if !shard.is_open() {
        return Err(ApiError::invalid_argument(format!(
            "Shard {id} in stream {} under account {ACCOUNT} is closed.",
            stream.name
        )));
    }
    Ok(shard)
}

/// Makes every target's start the start of some shard.
fn cut_at_starts(stream: &mut Stream, targets: &[HashRange], moment: &mut Moment<'_>) {
    for target in targets {
        let crossing = stream
            .open_shards()
            .find(|shard| shard.hashes.contains(target.start) && shard.hashes.start != target.start)
            .map(|shard| shard.index);
        if let Some(index) = crossing {
            split_at(stream, index, target.start, moment);
        }
    }
}

/// Merges the shards inside one target range until one is left.
fn join_within(stream: &mut Stream, target: HashRange, moment: &mut Moment<'_>) {
    let mut pieces: Vec<(HashKey, u32)> = stream
        .open_shards()
        .filter(|shard| target.contains(shard.hashes.start))
        .map(|shard| (shard.hashes.start, shard.index))
        .collect();
    pieces.sort_unstable();
    let mut pieces = pieces.into_iter().map(|(_, index)| index);
    if let Some(first) = pieces.next() {
        pieces.fold(first, |left, right| merge_pair(stream, left, right, moment));
    }
}

fn split_at(stream: &mut Stream, index: u32, at: HashKey, moment: &mut Moment<'_>) {
    let Some((hashes, stamp)) = close(stream, index, moment) else { return };
    let left = HashRange { start: hashes.start, end: HashKey(at.0 - 1) };
    let right = HashRange { start: at, end: hashes.end };
    let stamp = moment.now.max(stamp + 1);
    stream.add_shard(left, stamp, Some(index), None, moment);
    stream.add_shard(right, stamp, Some(index), None, moment);
}

fn merge_pair(stream: &mut Stream, first: u32, second: u32, moment: &mut Moment<'_>) -> u32 {
    let (Some((a, stamp_a)), Some((b, stamp_b))) = (close(stream, first, moment), close(stream, second, moment)) else {
        return first;
    };
    let hashes = HashRange { start: a.start.min(b.start), end: a.end.max(b.end) };
    let stamp = moment.now.max(stamp_a.max(stamp_b) + 1);
    stream.add_shard(hashes, stamp, Some(first), Some(second), moment)
}

fn close(stream: &mut Stream, index: u32, moment: &Moment<'_>) -> Option<(HashRange, u64)> {
    let at = stream.shards.binary_search_by_key(&index, |shard| shard.index).ok()?;
    let shard = &mut stream.shards[at];
    shard.closed = Some(Closed { at: moment.now, counter: (moment.next_counter)(shard.log) });
    Some((shard.hashes, shard.stamp))
}

/// The children that a reader goes on with after the end of a shard, each with the parents it has.
pub(crate) fn children(stream: &Stream, index: u32) -> Vec<(&Shard, Vec<String>)> {
    stream
        .shards
        .iter()
        .filter(|shard| shard.is_child_of(index))
        .map(|shard| (shard, shard.parent.iter().chain(&shard.adjacent_parent).map(|i| shard_id(*i)).collect()))
        .collect()
}
