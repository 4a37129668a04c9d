//! Where a record stands in its shard's log.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A shard of a buffer: an ordered log. The buffer's own name for it, never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(Arc<str>);

impl ShardId {
    /// Takes the name that the buffer gave the shard.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The name as the buffer gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A sequence number: a non-negative decimal integer of up to 129 digits (the KCL's bound), without leading zeros.
///
/// Ordered as a number, not as a string. Cloning is a reference count: the members of an aggregate share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Arc<str>", into = "Arc<str>")]
pub struct Sequence(Arc<str>);

/// A text that is not a sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a sequence number: expected 1 to {max} decimal digits", max = Sequence::MAX_DIGITS)]
pub struct InvalidSequence {
    /// What was found in its place.
    pub text: String,
}

impl Sequence {
    /// The largest number of digits that the KCL allows for.
    pub const MAX_DIGITS: usize = 129;

    /// Reads a decimal number; leading zeros are dropped.
    ///
    /// # Errors
    /// When the text is empty, longer than [`Self::MAX_DIGITS`] or has anything but digits.
    pub fn parse(text: &str) -> Result<Self, InvalidSequence> {
        let invalid = || InvalidSequence { text: text.chars().take(200).collect() };
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let digits = text.trim_start_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        if digits.len() > Self::MAX_DIGITS {
            return Err(invalid());
        }
        Ok(Self(digits.into()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Arc<str>> for Sequence {
    type Error = InvalidSequence;
    fn try_from(text: Arc<str>) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Sequence> for Arc<str> {
    fn from(sequence: Sequence) -> Self {
        sequence.0
    }
}

impl Ord for Sequence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where one record stands: the sequence number of the stream record that carried it, and its place
/// (from 0) inside that record when the record is an aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The stream record.
    pub sequence: Sequence,
    /// The place inside it, from 0.
    pub sub_sequence: u64,
}

impl Position {
    /// Joins the two parts.
    #[must_use]
    pub fn new(sequence: Sequence, sub_sequence: u64) -> Self {
        Self { sequence, sub_sequence }
    }

    /// A text whose byte order is the order of positions: three digits of length, the sequence number,
    /// a dot, ten digits of sub-sequence. For guards in stores that compare strings (a DynamoDB number
    /// holds 38 digits, a sequence number has 56).
    #[must_use]
    pub fn sortable(&self) -> String {
        format!("{:03}{}.{:010}", self.sequence.0.len(), self.sequence, self.sub_sequence)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.sub_sequence)
    }
}

/// A half-open interval `(start_exclusive, end_inclusive]` of one shard's log.
///
/// It always ends with the last member of a stream record, so no aggregate is ever cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Range {
    /// The shard.
    pub shard: ShardId,
    /// The last position before the range; `None` when the range is the first that was read of the shard.
    pub start_exclusive: Option<Position>,
    /// The last position in the range.
    pub end_inclusive: Position,
}

impl Range {
    /// Whether the position lies in the interval.
    #[must_use]
    pub fn contains(&self, position: &Position) -> bool {
        self.start_exclusive.as_ref().is_none_or(|start| position > start) && *position <= self.end_inclusive
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn sequence(text: &str) -> Sequence {
        Sequence::parse(text).unwrap()
    }

    #[test]
    fn sequences_order_as_numbers_not_as_strings() {
        assert!(sequence("9") < sequence("10"));
        assert!(sequence("0010") == sequence("10"));
        assert!(sequence("0") < sequence("1"));
    }

    #[test]
    fn a_text_that_is_no_number_is_refused() {
        for text in ["", "-1", "1a", " 1", &"9".repeat(130)] {
            assert!(Sequence::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sortable_texts_keep_the_order_of_positions() {
        let positions = [("9", 5), ("10", 0), ("10", 9), ("10", 10), ("99", 0), ("100", 0)]
            .map(|(digits, sub)| Position::new(sequence(digits), sub));
        let texts: Vec<_> = positions.iter().map(Position::sortable).collect();
        assert!(positions.is_sorted());
        assert!(texts.is_sorted(), "{texts:?}");
    }

    #[test]
    fn a_range_is_open_at_its_start_and_closed_at_its_end() {
        let at = |n: &str| Position::new(sequence(n), 0);
        let range = Range { shard: ShardId::new("s"), start_exclusive: Some(at("1")), end_inclusive: at("3") };
        assert_eq!(["1", "2", "3", "4"].map(|n| range.contains(&at(n))), [false, true, true, false]);
    }
}
