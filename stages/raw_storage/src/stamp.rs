//! The metadata by which an object is recognised: ours and of this range, or somebody else's.

use std::collections::HashMap;

use penstock_contract::{Position, Range, ShardId};

/// Objects of one writer are equal byte for byte; those of another may be compressed differently.
const WRITER: &str = concat!("penstock/", env!("CARGO_PKG_VERSION"));

const WRITER_KEY: &str = "penstock-writer";
pub(crate) const RECIPE_KEY: &str = "penstock-recipe";
pub(crate) const SHARD_KEY: &str = "penstock-shard";
pub(crate) const FIRST_KEY: &str = "penstock-first";
pub(crate) const RANGE_KEY: &str = "penstock-range";
pub(crate) const RECORDS_KEY: &str = "penstock-records";

/// What is known of an object before its range ends. All that a multipart upload can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The fingerprint of the recipe.
    pub(crate) recipe: String,
    pub(crate) shard: ShardId,
    /// The first record of the range.
    pub(crate) first: Position,
    /// The stream has deleted the first records of the range: an earlier owner may have stored more.
    pub(crate) trimmed: bool,
}

/// What is known of an object once its range has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FullStamp {
    pub(crate) stamp: Stamp,
    pub(crate) range: Range,
    /// The records in this object.
    pub(crate) records: u64,
    /// Its size as it is stored, in bytes.
    pub(crate) size: u64,
}

/// An object as it was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) size: Option<u64>,
}

impl Stamp {
    /// The user metadata of an object that is begun. All of it is ASCII, as HTTP headers need.
    pub(crate) fn metadata(&self) -> HashMap<String, String> {
        let pairs = [
            (WRITER_KEY, WRITER.to_owned()),
            (RECIPE_KEY, self.recipe.clone()),
            (SHARD_KEY, self.shard.as_str().escape_default().to_string()),
            (FIRST_KEY, self.first.to_string()),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

impl FullStamp {
    /// The user metadata of an object that is written at once.
    pub(crate) fn metadata(&self) -> HashMap<String, String> {
        let mut metadata = self.stamp.metadata();
        metadata.insert(RANGE_KEY.to_owned(), interval(&self.range));
        metadata.insert(RECORDS_KEY.to_owned(), self.records.to_string());
        metadata
    }

    /// What tells an object apart from this one; `None` when it is this one.
    ///
    /// An object that grew as a multipart upload does not name its end. There the size decides, unless another
    /// writer compressed it. Where the stream has deleted the range's first records, an object of the range that
    /// an earlier owner stored holds more than can be read again, and is left as it is.
    pub(crate) fn difference(&self, found: &Found) -> Option<String> {
        let has = |key: &str| found.metadata.get(key).map(String::as_str);
        let expected = self.metadata();
        for key in [RECIPE_KEY, SHARD_KEY, FIRST_KEY] {
            let (wanted, there) = (expected.get(key).map(String::as_str), has(key));
            if wanted != there {
                return Some(describe(key, there, wanted));
            }
        }
        if self.stamp.trimmed && has(RANGE_KEY).is_none_or(|there| *there == interval(&self.range)) {
            return None;
        }
        for key in [RANGE_KEY, RECORDS_KEY] {
            let (wanted, there) = (expected.get(key).map(String::as_str), has(key));
            if there.is_some() && wanted != there {
                return Some(describe(key, there, wanted));
            }
        }
        let same_writer = has(WRITER_KEY) == Some(WRITER);
        match found.size {
            Some(size) if same_writer && size != self.size => {
                Some(format!("it has {size} bytes, and this range makes {}", self.size))
            }
            _ => None,
        }
    }
}

fn describe(key: &str, there: Option<&str>, wanted: Option<&str>) -> String {
    format!("its metadata {key} is {}, and this range's is {}", there.unwrap_or("missing"), wanted.unwrap_or("none"))
}

/// `(5:0, 9:0]`, or `(start, 9:0]` where the range is the first of its shard.
fn interval(range: &Range) -> String {
    match &range.start_exclusive {
        Some(start) => format!("({start}, {}]", range.end_inclusive),
        None => format!("(start, {}]", range.end_inclusive),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use penstock_contract::Sequence;

    use super::*;

    fn at(sequence: &str) -> Position {
        Position::new(Sequence::parse(sequence).unwrap(), 0)
    }

    fn stamp(end: &str, records: u64, size: u64) -> FullStamp {
        let shard = ShardId::new("shard-1");
        FullStamp {
            stamp: Stamp { recipe: "r".to_owned(), shard: shard.clone(), first: at("5"), trimmed: false },
            range: Range { shard, start_exclusive: Some(at("4")), end_inclusive: at(end) },
            records,
            size,
        }
    }

    fn found(metadata: HashMap<String, String>, size: u64) -> Found {
        Found { metadata, size: Some(size) }
    }

    #[test]
    fn an_object_of_the_same_range_is_recognised() {
        let ours = stamp("9", 3, 100);
        assert_eq!(ours.difference(&found(ours.metadata(), 100)), None);
        assert_eq!(ours.difference(&found(ours.stamp.metadata(), 100)), None, "as a multipart upload");
    }

    #[test]
    fn an_object_of_another_range_is_told_apart() {
        let ours = stamp("9", 3, 100);
        for (other, part) in [(stamp("8", 3, 100), "penstock-range"), (stamp("9", 2, 100), "penstock-records")] {
            let difference = ours.difference(&found(other.metadata(), 100)).unwrap();
            assert!(difference.contains(part), "{difference}");
        }
        let grown = ours.difference(&found(ours.stamp.metadata(), 99)).unwrap();
        assert!(grown.contains("99 bytes"), "{grown}");
    }

    #[test]
    fn an_object_of_the_whole_range_is_recognised_when_the_stream_has_less_of_it() {
        let whole = stamp("9", 3, 100);
        let mut rest = stamp("9", 2, 70);
        rest.stamp.trimmed = true;
        assert_eq!(rest.difference(&found(whole.metadata(), 100)), None);
        assert_eq!(rest.difference(&found(whole.stamp.metadata(), 100)), None, "as a multipart upload");
        let other = rest.difference(&found(stamp("8", 3, 100).metadata(), 100)).unwrap();
        assert!(other.contains("penstock-range"), "{other}");
    }

    #[test]
    fn an_object_that_penstock_did_not_write_is_told_apart() {
        let difference = stamp("9", 3, 100).difference(&found(HashMap::new(), 100)).unwrap();
        assert!(difference.contains("penstock-recipe is missing"), "{difference}");
    }

    #[test]
    fn another_version_may_have_compressed_it_differently() {
        let ours = stamp("9", 3, 100);
        let mut metadata = ours.stamp.metadata();
        metadata.insert(WRITER_KEY.to_owned(), "penstock/0.0.1".to_owned());
        assert_eq!(ours.difference(&found(metadata, 99)), None);
    }
}
