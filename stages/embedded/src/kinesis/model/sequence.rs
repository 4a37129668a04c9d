//! Sequence numbers: 56 decimal digits beginning with 49, as the service's have.
//!
//! Layout: `49`, 16 digits creation stamp of the shard, 20 digits counter within the shard, 10 digits shard index,
//! 8 zeros. The stamp comes first, so a child's numbers are larger than its parents' (its stamp is) and those of a
//! stream that is created again are larger than its predecessor's. All have the same length, so they also sort as text.

use std::fmt;

/// The place of a record in its shard's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SequenceNumber {
    /// When the shard was created, in milliseconds, moved forward where needed so that children come after parents.
    pub(crate) stamp: u64,
    /// The record's place, from 1. 0 is the shard's start.
    pub(crate) counter: u64,
    /// The shard's index in its stream.
    pub(crate) shard: u32,
}

const DIGITS: usize = 56;
const STAMP: std::ops::Range<usize> = 2..18;
const COUNTER: std::ops::Range<usize> = 18..38;
const SHARD: std::ops::Range<usize> = 38..48;

impl SequenceNumber {
    /// Reads a number that this engine gave out; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == DIGITS
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.starts_with("49")
            && text.ends_with("00000000");
        if !well_formed {
            return None;
        }
        Some(Self {
            stamp: text[STAMP].parse().ok()?,
            counter: text[COUNTER].parse().ok()?,
            shard: text[SHARD].parse().ok()?,
        })
    }

    /// Appends the digits to an answer.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + DIGITS, b'0');
        let digits = &mut out[start..];
        digits[..2].copy_from_slice(b"49");
        fill(&mut digits[STAMP], self.stamp);
        fill(&mut digits[COUNTER], self.counter);
        fill(&mut digits[SHARD], u64::from(self.shard));
    }
}

/// Writes a number right-aligned; what does not fit is cut off on the left, which no real stamp or index reaches.
fn fill(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "49{:016}{:020}{:010}00000000", self.stamp, self.counter, self.shard)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_number() -> impl Strategy<Value = SequenceNumber> {
        (0..10_u64.pow(16), any::<u64>(), any::<u32>()).prop_map(|(stamp, counter, shard)| SequenceNumber {
            stamp,
            counter,
            shard,
        })
    }

    proptest! {
        #[test]
        fn a_number_is_read_as_it_was_written(number in any_number()) {
            let text = number.to_string();
            prop_assert_eq!(text.len(), 56);
            prop_assert!(text.starts_with("49"));
            prop_assert_eq!(SequenceNumber::parse(&text), Some(number));
            let mut bytes = Vec::new();
            number.write(&mut bytes);
            prop_assert_eq!(bytes, text.into_bytes());
        }

        #[test]
        fn numbers_sort_as_text_as_they_sort_by_value(a in any_number(), b in any_number()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }

    #[test]
    fn other_texts_are_no_sequence_numbers() {
        let good = SequenceNumber { stamp: 1, counter: 2, shard: 3 }.to_string();
        for bad in ["", "0", "TRIM_HORIZON", &good[1..], &good.replace("49", "48"), &good.replace('2', "x")] {
            assert_eq!(SequenceNumber::parse(bad), None, "{bad}");
        }
    }
}
