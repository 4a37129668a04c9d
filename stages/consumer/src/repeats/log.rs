//! The latest appearances of ids, numbered from 0, each in sixteen bytes.

use std::collections::VecDeque;

use penstock_contract::ArrivalMillis;

use super::id::Fingerprint;

/// Appearances are held in blocks, so that a log that grows is never copied, and holds little more than it needs.
const BLOCK: u64 = 1024;

/// One record with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Appearance {
    pub(super) fingerprint: Fingerprint,
    pub(super) arrival: ArrivalMillis,
}

/// An appearance as it is held.
#[derive(Debug, Clone, Copy)]
struct Held {
    fingerprint: Fingerprint,
    /// The low bits of the arrival.
    arrival: u32,
}

/// A queue of appearances. It must not hold two that arrived 2^32 milliseconds (49 days) apart or more, or as many as
/// 2^32.
#[derive(Debug)]
pub(super) struct Log {
    /// The first block begins with a number that is a multiple of its size.
    blocks: VecDeque<Vec<Held>>,
    /// The number of the first appearance that is held.
    first: u64,
    /// The number of the next one.
    next: u64,
    /// The latest arrival of all.
    newest: ArrivalMillis,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { blocks: VecDeque::new(), first: 0, next: 0, newest: ArrivalMillis(0) }
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn newest(&self) -> ArrivalMillis {
        self.newest
    }

    pub(super) fn push(&mut self, Appearance { fingerprint, arrival }: Appearance) {
        if self.first == self.next || arrival > self.newest {
            self.newest = arrival;
        }
        if self.next.is_multiple_of(BLOCK) || self.blocks.is_empty() {
            self.blocks.push_back(Vec::with_capacity(place(BLOCK)));
            // A block that begins in the middle is filled up, so that places follow from numbers.
            let held = Held { fingerprint, arrival: 0 };
            self.blocks.back_mut().into_iter().for_each(|block| block.resize(place(self.next % BLOCK), held));
        }
        let held = Held { fingerprint, arrival: low_bits(arrival.0.cast_unsigned()) };
        self.blocks.back_mut().into_iter().for_each(|block| block.push(held));
        self.next += 1;
    }

    pub(super) fn get(&self, number: u64) -> Option<Appearance> {
        if number < self.first || number >= self.next {
            return None;
        }
        let block = (number / BLOCK) - (self.first / BLOCK);
        let held = self.blocks.get(place(block))?.get(place(number % BLOCK))?;
        let earlier = low_bits(self.newest.0.cast_unsigned()).wrapping_sub(held.arrival);
        Some(Appearance { fingerprint: held.fingerprint, arrival: ArrivalMillis(self.newest.0 - i64::from(earlier)) })
    }

    /// The number that ends with these bits.
    pub(super) fn number(&self, low: u32) -> u64 {
        self.first + u64::from(low.wrapping_sub(low_bits(self.first)))
    }

    pub(super) fn forget_first(&mut self) {
        if self.first < self.next {
            self.first += 1;
            if self.first.is_multiple_of(BLOCK) || self.first == self.next {
                self.blocks.pop_front();
            }
        }
    }

    /// Takes the latest back, from the number on; `newest` is the latest arrival of those that are left.
    pub(super) fn truncate(&mut self, next: u64, newest: ArrivalMillis) {
        self.next = next.clamp(self.first, self.next);
        self.newest = newest;
        if self.next == self.first {
            self.blocks.clear();
            return;
        }
        let last = (self.next - 1) / BLOCK;
        self.blocks.truncate(place(last - self.first / BLOCK + 1));
        self.blocks.back_mut().into_iter().for_each(|block| block.truncate(place(self.next - last * BLOCK)));
    }
}

/// Of something that is in memory.
fn place(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[allow(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
pub(super) fn low_bits(number: u64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(i64),
        Forget(u64),
        Truncate(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0_i64..1 << 20).prop_map(Step::Push),
            2 => (0_u64..900).prop_map(Step::Forget),
            1 => (0_u64..900).prop_map(Step::Truncate),
        ];
        prop::collection::vec((step, 1_usize..700), 1..30).prop_map(|steps| {
            steps
                .into_iter()
                .flat_map(|(step, times)| match step {
                    Step::Push(_) => vec![step; times],
                    _ => vec![step],
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_queue_holds(steps in steps(), base in prop::sample::select(vec![0, 1_i64 << 40])) {
            let (mut log, mut plain, mut first) = (Log::new(), VecDeque::new(), 0_u64);
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push(arrival) => {
                        let fingerprint = Fingerprint::test(number as u64);
                        let appearance = Appearance { fingerprint, arrival: ArrivalMillis(base + arrival) };
                        log.push(appearance);
                        plain.push_back(appearance);
                    }
                    Step::Forget(count) => for _ in 0..count {
                        log.forget_first();
                        first += u64::from(plain.pop_front().is_some());
                    },
                    Step::Truncate(count) => {
                        let left = plain.len().saturating_sub(usize::try_from(count).unwrap_or(0));
                        plain.truncate(left);
                        let newest = plain.iter().map(|appearance| appearance.arrival).max();
                        log.truncate(first + left as u64, newest.unwrap_or(ArrivalMillis(0)));
                    }
                }
                prop_assert_eq!((log.first(), log.next()), (first, first + plain.len() as u64));
            }
            for (place, appearance) in plain.iter().enumerate() {
                let number = first + place as u64;
                prop_assert_eq!(log.get(number), Some(*appearance));
                prop_assert_eq!(log.number(low_bits(number)), number);
            }
            prop_assert_eq!(log.get(log.next()), None);
            prop_assert_eq!(first.checked_sub(1).and_then(|before| log.get(before)), None);
        }
    }
}
