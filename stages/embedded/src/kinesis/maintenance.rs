//! Removing what has expired: old records, shards without records, deleted streams. In small steps between the puts.

use super::catalog::Live;
use super::model::Millis;
use super::store::StoreError;
use super::writer::{Writer, is_deleting};

/// Records that one step removes, at most.
const STEP: u64 = 2_000;

/// Does one step; true when there is more to do.
pub(super) fn step(writer: &mut Writer) -> Result<bool, StoreError> {
    let now = writer.clock.now();
    for live in writer.catalog.all() {
        let did_something = if live.stream.status(now).is_none() {
            writer.retire(&live)?;
            true
        } else {
            drop_expired_shards(writer, &live, now)? || trim_one_log(writer, &live, now)?
        };
        if did_something {
            return Ok(true);
        }
    }
    empty_one_grave(writer)
}

fn drop_expired_shards(writer: &mut Writer, live: &Live, now: Millis) -> Result<bool, StoreError> {
    let stream = &live.stream;
    let expired = stream.shards.iter().any(|shard| stream.has_expired(shard, now));
    if !expired || is_deleting(stream) {
        return Ok(false);
    }
    let mut kept = stream.clone();
    kept.shards.retain(|shard| !stream.has_expired(shard, now));
    tracing::info!(stream = %stream.name, "shards whose records have expired are removed");
    writer.save(kept, None)?;
    Ok(true)
}

fn trim_one_log(writer: &mut Writer, live: &Live, now: Millis) -> Result<bool, StoreError> {
    let horizon = live.stream.trim_horizon(now);
    let snapshot = writer.store.read()?;
    for (shard, log) in live.stream.shards.iter().zip(&live.logs) {
        let extent = log.extent();
        let keep_from = snapshot.first_arrived_at_or_after(shard.log, extent.first, extent.next, horizon)?;
        if keep_from == extent.first {
            continue;
        }
        let until = keep_from.min(extent.first + STEP);
        // Readers skip what has expired anyway, so the order of these two does not show.
        log.publish_trim(until);
        let transaction = writer.store.write()?;
        transaction.trim(shard.log, until)?;
        transaction.commit()?;
        tracing::debug!(stream = %live.stream.name, shard = shard.index, before = until, "expired records are removed");
        return Ok(true);
    }
    Ok(false)
}

fn empty_one_grave(writer: &Writer) -> Result<bool, StoreError> {
    let Some(log) = writer.store.graves()?.first().copied() else { return Ok(false) };
    let transaction = writer.store.write()?;
    transaction.dig_up(log, STEP as usize)?;
    transaction.commit()?;
    Ok(true)
}
