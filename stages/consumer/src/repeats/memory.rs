//! What is remembered of a shard's log: where each id appeared last.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use penstock_contract::ArrivalMillis;

use super::id::Fingerprint;
use super::log::{Appearance, Log, low_bits};

/// The window as the memory applies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// The longest time between two arrivals, in milliseconds.
    pub(super) millis: i64,
    /// The greatest number of records with ids from one to the other.
    pub(super) records: u64,
    /// How much earlier a record may have arrived than one before it, in milliseconds.
    pub(super) skew_millis: i64,
}

/// The latest appearances, and where each id appeared last.
#[derive(Debug)]
pub(super) struct Memory {
    reach: Reach,
    log: Log,
    /// The low bits of the number of each id's last appearance.
    last: HashTable<u32>,
    /// What was before this number is out of reach, since nothing came for a long time.
    reachable: u64,
    settled: Settled,
}

/// How it was when it was settled.
#[derive(Debug, Clone, Copy)]
struct Settled {
    next: u64,
    newest: ArrivalMillis,
    reachable: u64,
}

impl Memory {
    pub(super) fn new(reach: Reach) -> Self {
        let settled = Settled { next: 0, newest: ArrivalMillis(0), reachable: 0 };
        Self { reach, log: Log::new(), last: HashTable::new(), reachable: 0, settled }
    }

    /// Takes the next record of the log; says whether it is a repeat.
    pub(super) fn take(&mut self, next: Appearance) -> bool {
        let number = self.log.next();
        if next.arrival.0.saturating_sub(self.log.newest().0) > self.time_kept() {
            self.reachable = number;
        }
        let is_repeat = self.last_number(next.fingerprint).is_some_and(|before| self.reaches(number, next, before));
        self.log.push(next);
        self.remember(number, next.fingerprint);
        is_repeat
    }

    /// What was taken so far will not be taken back; what is out of reach from here on is forgotten.
    pub(super) fn settle(&mut self) {
        let (next, newest) = (self.log.next(), self.log.newest());
        self.settled = Settled { next, newest, reachable: self.reachable };
        let oldest_arrival = newest.0.saturating_sub(self.time_kept());
        while let Some(first) = self.log.get(self.log.first()) {
            let number = self.log.first();
            if next - number <= self.reach.records && number >= self.reachable && first.arrival.0 >= oldest_arrival {
                break;
            }
            self.forget_first(number, first.fingerprint);
        }
        self.give_back_memory();
    }

    /// Takes back what was taken since it was settled last.
    pub(super) fn rewind(&mut self) {
        let Settled { next, newest, reachable } = self.settled;
        self.log.truncate(next, newest);
        self.reachable = reachable;
        self.last.clear();
        for number in self.log.first()..self.log.next() {
            if let Some(appearance) = self.log.get(number) {
                self.remember(number, appearance.fingerprint);
            }
        }
    }

    /// Nothing that arrived so long before the newest is in the reach of what comes.
    fn time_kept(&self) -> i64 {
        self.reach.millis.saturating_add(self.reach.skew_millis)
    }

    fn reaches(&self, number: u64, next: Appearance, before: u64) -> bool {
        let Some(arrival) = self.log.get(before).map(|before| before.arrival) else { return false };
        before >= self.reachable
            && number - before <= self.reach.records
            && next.arrival.0.saturating_sub(arrival.0) <= self.reach.millis
    }

    fn last_number(&self, fingerprint: Fingerprint) -> Option<u64> {
        let low = self.last.find(fingerprint.hash(), |low| fingerprint_at(&self.log, *low) == Some(fingerprint))?;
        Some(self.log.number(*low))
    }

    fn remember(&mut self, number: u64, fingerprint: Fingerprint) {
        let log = &self.log;
        let is_it = |low: &u32| fingerprint_at(log, *low) == Some(fingerprint);
        match self.last.entry(fingerprint.hash(), is_it, |low| hash_at(log, *low)) {
            Entry::Occupied(mut before) => *before.get_mut() = low_bits(number),
            Entry::Vacant(free) => drop(free.insert(low_bits(number))),
        }
    }

    fn forget_first(&mut self, number: u64, fingerprint: Fingerprint) {
        // Unless the id appeared again since.
        if let Ok(last) = self.last.find_entry(fingerprint.hash(), |low| *low == low_bits(number)) {
            last.remove();
        }
        self.log.forget_first();
    }

    /// After a flood, the table does not stay as large as the flood.
    fn give_back_memory(&mut self) {
        const SMALL: usize = 1024;
        if self.last.capacity() > self.last.len().max(SMALL) * 4 {
            let log = &self.log;
            self.last.shrink_to(self.last.len(), |low| hash_at(log, *low));
        }
    }
}

fn fingerprint_at(log: &Log, low: u32) -> Option<Fingerprint> {
    log.get(log.number(low)).map(|appearance| appearance.fingerprint)
}

fn hash_at(log: &Log, low: u32) -> u64 {
    fingerprint_at(log, low).map_or(0, Fingerprint::hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REACH: Reach = Reach { millis: 100, records: 10, skew_millis: 5 };

    fn appearance(id: u64, arrival: i64) -> Appearance {
        Appearance { fingerprint: Fingerprint::test(id), arrival: ArrivalMillis(arrival) }
    }

    fn take(memory: &mut Memory, records: &[(u64, i64)]) -> Vec<bool> {
        records.iter().map(|&(id, arrival)| memory.take(appearance(id, arrival))).collect()
    }

    #[test]
    fn an_id_counts_once_within_the_window() {
        let mut memory = Memory::new(REACH);
        assert_eq!(
            take(&mut memory, &[(1, 0), (2, 0), (1, 50), (2, 101), (1, 150)]),
            [false, false, true, false, true]
        );
    }

    #[test]
    fn an_id_that_is_too_many_records_back_counts_again() {
        let mut memory = Memory::new(REACH);
        let others: Vec<_> = (100..109).map(|id| (id, 0)).collect();
        take(&mut memory, &[(1, 0), (2, 0)]);
        take(&mut memory, &others);
        assert_eq!(take(&mut memory, &[(1, 0), (2, 0)]), [false, false]);
        assert_eq!(take(&mut memory, &[(1, 0), (108, 0)]), [true, true]);
    }

    #[test]
    fn what_is_taken_back_is_judged_the_same_again() {
        let mut memory = Memory::new(REACH);
        take(&mut memory, &[(1, 0), (2, 0)]);
        memory.settle();
        let once = take(&mut memory, &[(3, 1), (1, 2), (3, 3)]);
        memory.rewind();
        assert_eq!(take(&mut memory, &[(3, 1), (1, 2), (3, 3)]), once);
        assert_eq!(once, [false, true, true]);
    }

    #[test]
    fn what_is_out_of_reach_is_forgotten() {
        let mut memory = Memory::new(REACH);
        for number in 0..1000 {
            memory.take(appearance(number, 0));
            memory.settle();
            assert!(memory.log.next() - memory.log.first() <= 10 && memory.last.len() <= 10);
        }
        memory.take(appearance(0, 1000));
        memory.settle();
        assert_eq!((memory.log.next() - memory.log.first(), memory.last.len()), (1, 1));
    }

    #[test]
    fn a_pause_of_weeks_does_not_bring_back_what_is_out_of_reach() {
        let mut memory = Memory::new(REACH);
        memory.take(appearance(1, 0));
        // So much later that the low bits are the same.
        assert_eq!(take(&mut memory, &[(2, 1 << 32), (1, 1 << 32)]), [false, false]);
        memory.rewind();
        assert_eq!(take(&mut memory, &[(1, 0), (1, 1 << 33), (1, (1 << 33) + 1)]), [false, false, true]);
    }

    /// The rule, as it is written.
    fn by_the_rule(log: &[(u64, i64)], reach: Reach) -> Vec<bool> {
        let is_repeat = |place: usize| {
            let before = log[..place].iter().rposition(|(id, _)| *id == log[place].0);
            before.is_some_and(|before| {
                (place - before) as u64 <= reach.records && log[place].1 - log[before].1 <= reach.millis
            })
        };
        (0..log.len()).map(is_repeat).collect()
    }

    proptest! {
        #[test]
        fn whatever_is_settled_and_taken_back_the_rule_holds(
            steps in prop::collection::vec((0_u64..12, 0_i64..40, 0_i64..5, 0_u8..10), 1..200)
        ) {
            let mut time = 0;
            let log: Vec<_> = steps.iter().map(|&(id, later, back, _)| { time += later; (id, time - back) }).collect();
            let expected = by_the_rule(&log, REACH);
            let mut memory = Memory::new(REACH);
            let (mut place, mut settled) = (0, 0);
            let mut rewinds = steps.iter().filter(|step| step.3 == 9).count();
            while place < log.len() {
                prop_assert_eq!(memory.take(appearance(log[place].0, log[place].1)), expected[place], "{}", place);
                place += 1;
                match steps[place - 1].3 {
                    0 => { memory.settle(); settled = place; }
                    9 if rewinds > 0 => { memory.rewind(); place = settled; rewinds -= 1; }
                    _ => {}
                }
            }
        }
    }
}
