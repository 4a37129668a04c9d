//! What the committed ranges of a shard came to since its first record.
//!
//! It stands in the lease row and changes with the checkpoint, by the same write, so it counts each range once. It names
//! the checkpoint that it belongs to: where something else has moved that, the numbers mean nothing any more.

use std::fmt;

use penstock_contract::{Position, Sequence};

use crate::pin::Pin;
use crate::settle::Settled;

/// The sums over all committed ranges of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) ranges: u64,
    /// User records, repeats included.
    pub(crate) records: u64,
    /// Of those, what the sink stored.
    pub(crate) stored: u64,
    pub(crate) dead_letters: u64,
    pub(crate) repeats: u64,
    /// The checkpoint that all of it leads to.
    pub(crate) at: Position,
}

impl Tally {
    /// The sums with one more range, which begins where `before` ended.
    pub(crate) fn after(before: Option<&Self>, pin: &Pin, settled: Settled) -> Self {
        let sum = |of: fn(&Self) -> u64, more: u64| before.map_or(0, of).saturating_add(more);
        Self {
            ranges: sum(|tally| tally.ranges, 1),
            records: sum(|tally| tally.records, pin.records),
            stored: sum(|tally| tally.stored, settled.applied),
            dead_letters: sum(|tally| tally.dead_letters, settled.dead_lettered),
            repeats: sum(|tally| tally.repeats, settled.repeats),
            at: pin.end.clone(),
        }
    }

    /// Reads what [`fmt::Display`] writes; nothing where it is something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (numbers, at) = text.split_once('@')?;
        let mut numbers = numbers.split('/').map(str::parse::<u64>);
        let mut number = || numbers.next()?.ok();
        let (ranges, records, stored) = (number()?, number()?, number()?);
        let (dead_letters, repeats) = (number()?, number()?);
        let (sequence, sub_sequence) = at.split_once(':')?;
        let at = Position::new(Sequence::parse(sequence).ok()?, sub_sequence.parse().ok()?);
        Some(Self { ranges, records, stored, dead_letters, repeats, at })
    }
}

/// `ranges/records/stored/dead letters/repeats@checkpoint`: short, since a row above one kilobyte costs twice as much to write.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ranges, records, stored, dead_letters, repeats, at } = self;
        write!(f, "{ranges}/{records}/{stored}/{dead_letters}/{repeats}@{at}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lease::tests::at;
    use crate::pin::tests::pin;

    #[test]
    fn ranges_add_up_and_read_back() {
        let first = Settled { applied: 3, dead_lettered: 1, repeats: 1 };
        let second = Settled { applied: 4, dead_lettered: 0, repeats: 0 };
        let tally = Tally::after(None, &pin(None, 5), first);
        let tally = Tally::after(Some(&tally), &pin(Some(5), 9), second);
        assert_eq!(tally.to_string(), "2/9/7/1/1@9:0");
        assert_eq!(Tally::parse("2/9/7/1/1@9:0"), Some(tally));
    }

    #[test]
    fn what_is_no_tally_is_none() {
        for text in ["", "2/9/7/1/1", "2/9/7/1@9:0", "2/9/7/1/x@9:0", "2/9/7/1/1@nine:0", "2/9/7/1/1@9"] {
            assert_eq!(Tally::parse(text), None, "{text}");
        }
        assert_eq!(Tally::parse("0/0/0/0/0@1:2").unwrap().at, at(1, 2));
    }
}
