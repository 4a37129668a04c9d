//! Which leases a worker hands over so that all have as much to do: pure.
//!
//! All workers are put in order by what their leases weigh: the first may hand over to the last, the second to the last but
//! one, and so on, so each worker has one partner, and all of them know it. A partner who then has more leases than are even
//! gives back its lightest, as any worker does that has too many: so heavy leases are exchanged for light ones, and each
//! worker has as many leases as before.
//!
//! No lease goes to and fro. Something moves only when it brings both nearer by a fifth of what a worker does on average,
//! and only while all leases are at rest and have been measured where they are. Each time the sum of the squares of all loads
//! becomes smaller.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use penstock_contract::ShardId;

use crate::lease::WorkerId;
use crate::load::Load;

/// By this part of the mean load two workers must come nearer.
const WORTH_A_MOVE: u64 = 5;
/// At most this part of a worker's leases is handed over together.
const TOGETHER: usize = 4;

/// What is known of a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing<'a> {
    pub(crate) id: &'a WorkerId,
    pub(crate) leases: usize,
    pub(crate) load: Load,
}

/// Leases for another worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandOver {
    pub(crate) shards: Vec<ShardId>,
    pub(crate) to: WorkerId,
}

/// What this worker hands over, given the weights of its own leases. `least` is the difference of loads, in bytes a second,
/// that is not worth a move.
pub(crate) fn hand_over(
    me: &WorkerId,
    mine: &BTreeMap<ShardId, u64>,
    mut all: Vec<Standing<'_>>,
    least: u64,
) -> Option<HandOver> {
    all.sort_unstable_by_key(|worker| (Reverse(worker.load.all), worker.id));
    let place = all.iter().position(|worker| worker.id == me)?;
    let (giver, taker) = (all.get(place)?, all.get(all.len() - 1 - place)?);
    let apart = giver.load.all.checked_sub(taker.load.all)?;
    let worth = (mean(&all) / WORTH_A_MOVE).max(least).max(1);
    if apart < worth {
        return None;
    }
    // Where the partner has as many leases, a light one comes back for each.
    let comes_back = if taker.leases >= giver.leases { taker.load.lightest } else { 0 };
    let mut left: Vec<_> = mine.iter().map(|(shard, weight)| (shard, weight.saturating_sub(comes_back))).collect();
    // Negative once the partner would have more.
    let (mut shards, mut still_apart) = (Vec::new(), i128::from(apart));
    for _ in 0..(mine.len() / TOGETHER).max(1) {
        let after = |gained: u64| still_apart - 2 * i128::from(gained);
        let best = left.iter().enumerate().min_by_key(|(_, (shard, gained))| (after(*gained).abs(), *shard));
        let Some((place, (shard, gained))) = best.map(|(place, best)| (place, *best)) else { break };
        if after(gained).abs() >= still_apart.abs() {
            break;
        }
        still_apart = after(gained);
        shards.push(shard.clone());
        left.swap_remove(place);
    }
    let comes_nearer = i128::from(apart) - still_apart.abs();
    (comes_nearer >= i128::from(worth)).then(|| HandOver { shards, to: taker.id.clone() })
}

/// What a worker that has too many leases gives back with each of them, to come nearest to what all do on average.
pub(crate) fn wanted_of_each(mine: u64, all: &[Standing<'_>], count: usize) -> u64 {
    mine.saturating_sub(mean(all)) / (count as u64).max(1)
}

fn mean(all: &[Standing<'_>]) -> u64 {
    all.iter().map(|worker| worker.load.all).sum::<u64>() / (all.len() as u64).max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// What the first of two workers hands over, given the weights of their leases.
    fn handed(first: &[u64], second: &[u64]) -> Vec<u64> {
        let ids = [WorkerId::new("first"), WorkerId::new("second")];
        let of =
            |weights: &[u64]| weights.iter().enumerate().map(|(n, w)| (ShardId::new(format!("{n:03}")), *w)).collect();
        let mine: BTreeMap<_, _> = of(first);
        let standing =
            |id, weights: &[u64]| Standing { id, leases: weights.len(), load: Load::of(weights.iter().copied()) };
        let all = vec![standing(&ids[0], first), standing(&ids[1], second)];
        let handed = hand_over(&ids[0], &mine, all, 0);
        handed.map(|handed| handed.shards.iter().map(|shard| mine[shard]).collect()).unwrap_or_default()
    }

    #[test]
    fn a_heavy_lease_goes_to_who_has_the_light_ones() {
        assert_eq!(handed(&[50, 50, 0], &[0, 0, 0]), [50]);
        assert_eq!(handed(&[50, 30, 20], &[0, 0]), [50]);
        assert_eq!(handed(&[0, 0], &[50, 50]), [0; 0]);
    }

    #[test]
    fn nothing_moves_that_only_turns_the_difference_round() {
        assert_eq!(handed(&[100, 0], &[0, 0]), [0; 0]);
        assert_eq!(handed(&[100], &[40]), [0; 0]);
    }

    #[test]
    fn nothing_follows_a_heavy_lease_that_turned_the_difference_round() {
        assert_eq!(handed(&[70, 20, 20, 10, 1, 1, 1, 1], &[24]), [70]);
    }

    #[test]
    fn a_difference_of_less_than_a_fifth_is_left_alone() {
        assert_eq!(handed(&[10, 10, 10, 10, 10, 5], &[10, 10, 10, 10, 5, 1]), [0; 0]);
        assert_eq!(handed(&[], &[]), [0; 0]);
        assert_eq!(handed(&[0, 0], &[0, 0]), [0; 0]);
    }

    #[test]
    fn of_many_light_leases_some_go_together() {
        let (heavy, light) = (vec![10; 40], vec![2; 40]);
        assert_eq!(handed(&heavy, &light).len(), 10);
    }
}
