//! What happens to the processes and to the stream, and when.

use std::time::Duration;

use crate::proxy::mixed;

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A worker of a sink is killed and started again, under its own name or as a new one.
    KillWorker {
        /// Which, of all of them.
        worker: usize,
        /// Whether another comes in its place, that has to wait for its leases.
        renamed: bool,
    },
    /// A worker stands still for so long. Others may take its leases meanwhile, and it knows nothing of it.
    FreezeWorker {
        /// Which, of all of them.
        worker: usize,
        /// For how long.
        time: Duration,
    },
    /// The source is killed and started again.
    KillSource,
    /// The client is killed and started again.
    KillClient,
    /// The stream gets other shards.
    Reshard(Reshard),
}

/// How the stream gets other shards; the number chooses the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reshard {
    Split(usize),
    Merge(usize),
    Scale(i32),
}

/// The events of one run, without an end.
#[derive(Debug)]
pub(super) struct Events {
    random: fastrand::Rng,
    workers: usize,
    longest_freeze: Duration,
}

impl Events {
    pub(super) fn new(seed: u64, workers: usize, longest_freeze: Duration) -> Self {
        Self { random: fastrand::Rng::with_seed(mixed(seed, b"events")), workers, longest_freeze }
    }
}

impl Iterator for Events {
    type Item = (Duration, Event);

    /// The next event, and how long after the one before it happens.
    fn next(&mut self) -> Option<Self::Item> {
        let random = &mut self.random;
        let pause = Duration::from_millis(random.u64(100..=2_000));
        let worker = random.usize(..self.workers.max(1));
        let event = match random.u32(..20) {
            0..8 => Event::KillWorker { worker, renamed: random.u32(..4) == 0 },
            8..10 => {
                let most = u64::try_from(self.longest_freeze.as_millis()).unwrap_or(u64::MAX);
                Event::FreezeWorker { worker, time: Duration::from_millis(random.u64(100.min(most)..=most)) }
            }
            10..13 => Event::KillSource,
            13..15 => Event::KillClient,
            15..17 => Event::Reshard(Reshard::Split(random.usize(..64))),
            17..19 => Event::Reshard(Reshard::Merge(random.usize(..64))),
            _ => Event::Reshard(Reshard::Scale(random.i32(2..=8))),
        };
        Some((pause, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_events_again() {
        let events = |seed| Events::new(seed, 4, Duration::from_secs(3)).take(50).collect::<Vec<_>>();
        assert_eq!(events(1), events(1));
        assert_ne!(events(1), events(2));
    }
}
