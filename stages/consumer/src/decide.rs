//! Who reads which shard: pure functions from what was observed to what this worker does now.
//!
//! Leases are taken when nobody owns them or when their owner has stopped. Each live worker has a quota; an
//! over-full worker gives leases back by itself, so nothing is ever taken from a worker that lives. Every
//! worker computes all quotas from the same rows, so they agree as far as they have seen the same.
//!
//! No lease moves without need. Quotas only shrink when workers join, and who joins is in the table before anybody gives
//! a lease back for it: an over-full worker waits until it has known all others for a while ([`is_settled`]). So when
//! several join at once, whoever takes what was given back has seen all of them, and takes no lease that it would have
//! to give back again. Leases that are free for another reason (a crash, a deploy) are taken at once, by whoever sees
//! them: for a worker that joins only a moment later they may have to move once more.
//!
//! Once all workers have as many leases as they should, what the leases weigh is balanced (`balance`): a worker hands leases
//! over to another, who may take them although it has enough, and then gives others back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use penstock_contract::ShardId;

use crate::balance::{HandOver, Standing, hand_over, wanted_of_each};
use crate::lease::{Lease, Pending, WorkerId};
use crate::load::Load;
use crate::observe::{Rows, Stillness};
use crate::pin::RecipeHash;
use crate::row::WorkerRow;

/// A heartbeat that stood still for so many times the failover belongs to nobody any more and is deleted.
const FORGET_WORKER_AFTER: u32 = 6;
/// Leases are given back for the sake of workers that are known for this part of the failover: for one round, since there
/// are six in a failover.
const SETTLED_AFTER: u32 = 8;
/// A recipe that nobody has used for so many times the failover is deleted.
const FORGET_RECIPE_AFTER: u32 = 30;

/// What this worker knows of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Me<'a> {
    pub(crate) id: &'a WorkerId,
    /// The shards that it is working on.
    pub(crate) running: &'a BTreeSet<ShardId>,
    /// Those of them that finish their open range, to be given back.
    pub(crate) leaving: &'a BTreeSet<ShardId>,
    /// What those of its leases weigh that are measured.
    pub(crate) weights: &'a BTreeMap<ShardId, u64>,
    /// A difference in what two workers do that is not worth a move.
    pub(crate) least_imbalance: u64,
    /// It gives leases back and takes none.
    pub(crate) draining: bool,
}

/// A lease to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Take {
    /// As it was seen: the write is fenced by it.
    pub(crate) lease: Lease,
    /// Parents that were not in the reading. They must be looked up by name before the lease is taken: a
    /// reading of the whole table is no snapshot, and rows of parents are written before those of children.
    pub(crate) confirm_absent: Vec<ShardId>,
}

/// What to do now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Actions {
    /// Leases to take.
    pub(crate) take: Vec<Take>,
    /// Shards to stop at the end of their open range, and to give back.
    pub(crate) release: Vec<ShardId>,
    /// The same, for a certain worker.
    pub(crate) hand_over: Option<HandOver>,
    /// Shards whose lease somebody else has: their work is dropped at once.
    pub(crate) lost: Vec<ShardId>,
    /// Heartbeats of workers that are gone.
    pub(crate) forget_workers: Vec<WorkerRow>,
    /// Recipes that nobody needs, with the counter that was seen.
    pub(crate) forget_recipes: Vec<(RecipeHash, u64)>,
}

/// Decides.
pub(crate) fn decide(rows: &Rows, still: &Stillness, me: Me<'_>, failover: Duration) -> Actions {
    let mut actions = Actions {
        lost: lost(rows, me),
        forget_workers: forget_workers(rows, still, me, failover),
        forget_recipes: forget_recipes(rows, still, failover),
        ..Actions::default()
    };
    if me.draining {
        return actions;
    }
    let startable: Vec<_> = rows.leases.values().filter_map(|lease| startable(rows, lease)).collect();
    let held: Vec<_> = startable.iter().filter(|take| take.lease.owner.as_ref() == Some(me.id)).collect();
    let counts = counts(rows, still, &startable, me.id, failover);
    let quota = quota(&counts, startable.len(), me.id);
    let loads = loads(rows, &counts);
    if held.len() > quota && is_settled(rows, still, me, failover) {
        actions.release = to_release(&held, me, held.len() - quota, loads.as_deref());
    } else if is_at_rest(&startable, &counts) && me.leaving.is_empty() {
        actions.hand_over = loads.and_then(|loads| hand_over(me.id, me.weights, loads, me.least_imbalance));
    }
    let mine_but_idle = held.iter().filter(|take| !me.running.contains(&take.lease.shard));
    actions.take.extend(mine_but_idle.copied().cloned());
    let is_free = |take: &&Take| is_free(&take.lease, rows, still, me.id, failover);
    let (for_me, mut free): (Vec<_>, Vec<_>) =
        startable.iter().filter(is_free).partition(|take| take.lease.intended.as_ref() == Some(me.id));
    free.sort_by_key(|take| preference(me.id, &take.lease.shard));
    free.truncate(quota.saturating_sub(held.len() + for_me.len()));
    actions.take.extend(for_me.into_iter().chain(free).cloned());
    actions
}

/// The lease with what remains to be confirmed, when its shard may be read now: it has not ended, nobody with
/// a later version pinned a range of it, and every parent has ended or has no lease.
fn startable(rows: &Rows, lease: &Lease) -> Option<Take> {
    if lease.is_finished() || matches!(lease.pending, Some(Pending::Newer { .. })) {
        return None;
    }
    let ended = |parent: &ShardId| rows.leases.get(parent).is_some_and(Lease::is_finished);
    if lease.parents.iter().any(|parent| rows.knows(parent) && !ended(parent)) {
        return None;
    }
    let confirm_absent = lease.parents.iter().filter(|parent| !rows.knows(parent)).cloned().collect();
    Some(Take { lease: lease.clone(), confirm_absent })
}

/// Whether this worker may take the lease: it has no owner, or its owner has stopped. An owner without a
/// heartbeat (a KCL worker, say) lives as long as its lease's counter moves. One that was handed over is for the worker
/// that it is intended for, unless that does not take it.
pub(crate) fn is_free(lease: &Lease, rows: &Rows, still: &Stillness, me: &WorkerId, failover: Duration) -> bool {
    let Some(owner) = &lease.owner else {
        let waits_for = |intended: &WorkerId| {
            intended != me
                && living(rows, still, failover).any(|worker| worker.id == *intended)
                && still.lease(&lease.shard) <= failover
        };
        return !lease.intended.as_ref().is_some_and(waits_for);
    };
    if owner == me {
        return false;
    }
    match rows.workers.get(owner) {
        Some(worker) => still.worker(&worker.id).is_some_and(|stood| stood > failover),
        None => still.lease(&lease.shard) > failover,
    }
}

/// How many leases each living worker holds, or is to have next.
fn counts<'a>(
    rows: &'a Rows,
    still: &'a Stillness,
    startable: &[Take],
    me: &'a WorkerId,
    failover: Duration,
) -> BTreeMap<&'a WorkerId, usize> {
    let mut counts: BTreeMap<&WorkerId, usize> = BTreeMap::from([(me, 0)]);
    counts.extend(living(rows, still, failover).map(|worker| (&worker.id, 0)));
    for Take { lease, .. } in startable {
        if let Some(count) = lease.owner.as_ref().or(lease.intended.as_ref()).and_then(|owner| counts.get_mut(owner)) {
            *count += 1;
        }
    }
    counts
}

/// How many leases this worker should hold. The remainder goes to those that hold as much already, so that as few
/// leases as possible change hands. Who holds more than that counts like one who holds just that: the order must stay
/// as it is while an over-full worker gives back one lease after the other, or another would have to, too.
fn quota(counts: &BTreeMap<&WorkerId, usize>, leases: usize, me: &WorkerId) -> usize {
    let (share, more) = (leases / counts.len(), leases % counts.len());
    let mut workers: Vec<_> = counts.iter().map(|(id, count)| (Reverse(*count.min(&(share + 1))), *id)).collect();
    workers.sort_unstable();
    let place = workers.iter().position(|(_, id)| *id == me).unwrap_or(0);
    share + usize::from(place < more)
}

/// Whether each lease is with a worker that lives, and none has more than are even.
fn is_at_rest(startable: &[Take], counts: &BTreeMap<&WorkerId, usize>) -> bool {
    let has_owner = |take: &Take| take.lease.owner.as_ref().is_some_and(|owner| counts.contains_key(owner));
    let (least, most) = (counts.values().min().copied().unwrap_or(0), counts.values().max().copied().unwrap_or(0));
    most - least <= 1 && startable.iter().all(has_owner)
}

/// What each living worker has to do; `None` while that is not known of all.
fn loads<'a>(rows: &Rows, counts: &BTreeMap<&'a WorkerId, usize>) -> Option<Vec<Standing<'a>>> {
    let load = |id: &WorkerId| rows.workers.get(id).and_then(|worker| worker.load);
    counts.iter().map(|(id, leases)| Some(Standing { id, leases: *leases, load: load(id)? })).collect()
}

/// Workers that live and take leases.
fn living<'a>(rows: &'a Rows, still: &'a Stillness, failover: Duration) -> impl Iterator<Item = &'a WorkerRow> {
    let lives =
        move |worker: &&WorkerRow| !worker.draining && still.worker(&worker.id).is_some_and(|stood| stood <= failover);
    rows.workers.values().filter(lives)
}

/// Whether nobody has joined just now: others that joined at the same time may not show yet.
fn is_settled(rows: &Rows, still: &Stillness, me: Me<'_>, failover: Duration) -> bool {
    let is_known = |worker: &WorkerRow| still.worker_known(&worker.id) >= failover / SETTLED_AFTER;
    living(rows, still, failover).filter(|worker| worker.id != *me.id).all(is_known)
}

/// Which of the held leases to give back, beside those that are on their way out. What is not measured stays, since it may
/// just have been handed over.
fn to_release(held: &[&Take], me: Me<'_>, count: usize, loads: Option<&[Standing<'_>]>) -> Vec<ShardId> {
    let wanted = loads.map_or(0, |loads| wanted_of_each(Load::of(me.weights.values().copied()).all, loads, count));
    let differs = |shard: &ShardId| me.weights.get(shard).map_or(u64::MAX, |weight| weight.abs_diff(wanted));
    let held = held.iter().map(|take| &take.lease.shard).filter(|shard| me.running.contains(*shard));
    let (leaving, mut staying): (Vec<_>, Vec<_>) = held.partition(|shard| me.leaving.contains(*shard));
    staying.sort_by_key(|shard| (differs(shard), Reverse(preference(me.id, shard))));
    staying.into_iter().take(count.saturating_sub(leaving.len())).cloned().collect()
}

fn lost(rows: &Rows, me: Me<'_>) -> Vec<ShardId> {
    let is_mine = |shard: &&ShardId| {
        rows.leases.get(*shard).is_some_and(|lease| lease.owner.as_ref() == Some(me.id) || lease.is_finished())
    };
    me.running.iter().filter(|shard| !is_mine(shard)).cloned().collect()
}

/// Only workers that own nothing: as long as a heartbeat is there, its leases are judged by it.
fn forget_workers(rows: &Rows, still: &Stillness, me: Me<'_>, failover: Duration) -> Vec<WorkerRow> {
    let owners: BTreeSet<_> = rows.leases.values().filter_map(|lease| lease.owner.as_ref()).collect();
    rows.workers
        .values()
        .filter(|worker| worker.id != *me.id && !owners.contains(&worker.id))
        .filter(|worker| still.worker(&worker.id).is_some_and(|stood| stood > failover * FORGET_WORKER_AFTER))
        .cloned()
        .collect()
}

fn forget_recipes(rows: &Rows, still: &Stillness, failover: Duration) -> Vec<(RecipeHash, u64)> {
    // A pin that this version cannot read may name any of them.
    let unreadable = rows.leases.values().any(|lease| matches!(lease.pending, Some(Pending::Newer { .. })));
    if unreadable || !rows.broken.is_empty() {
        return Vec::new();
    }
    rows.recipes
        .iter()
        .filter(|(hash, _)| still.recipe(hash) > failover * FORGET_RECIPE_AFTER)
        .map(|(hash, touched)| (hash.clone(), *touched))
        .collect()
}

/// Each worker prefers other leases, so that workers who start together do not all grab the same.
fn preference(me: &WorkerId, shard: &ShardId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (me.as_str(), shard.as_str()).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
