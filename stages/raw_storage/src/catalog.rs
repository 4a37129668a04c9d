//! Objects as those find them who read the bucket: by their names and their metadata, without the sink that wrote them.

use std::collections::HashMap;

use penstock_api::plan::PipelineRef;
use penstock_contract::{Position, Record, Rejection, Sequence, ShardId};

use crate::line::LastPrefix;
use crate::sink::RawStorageSink;
use crate::stamp::{FIRST_KEY, RANGE_KEY, RECIPE_KEY, RECORDS_KEY, SHARD_KEY};

/// What an object's name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// The shard.
    pub shard: ShardId,
    /// The first record of the object's range.
    pub first: Position,
}

/// What an object's metadata say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStamp {
    /// The fingerprint of the recipe that it was made by.
    pub recipe: String,
    /// The shard, as in the name.
    pub shard: String,
    /// The first record of the range, as in the name.
    pub first: Position,
    /// The last position before the range, where it has one, and the last one in it. Objects that grew while their records
    /// came in do not say.
    pub range: Option<(Option<Position>, Position)>,
    /// How many records are in the object; as above.
    pub records: Option<u64>,
}

/// What a record becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What comes before the object's name in its key.
    pub prefix: String,
    /// Its line in the object, without the line break.
    pub line: Vec<u8>,
}

impl ObjectName {
    /// Reads a key; `None` where the object is none of this sink's.
    #[must_use]
    pub fn of_key(key: &str, pipeline: &PipelineRef, sink: &str) -> Option<Self> {
        let file = key.rsplit('/').next()?;
        // A template may end without a slash, so the name begins wherever the pipeline's does.
        let owner = format!("{}.{}.{sink}.", pipeline.namespace, pipeline.name);
        let (_, rest) = file.split_once(&owner)?;
        let (shard, rest) = rest.split_once('.')?;
        let (first, _) = rest.split_once(".jsonl")?;
        let (sequence, sub_sequence) = first.split_once('-').unwrap_or((first, "0"));
        let first = Position::new(Sequence::parse(sequence).ok()?, sub_sequence.parse().ok()?);
        Some(Self { shard: ShardId::new(unescaped(shard)?), first })
    }
}

impl ObjectStamp {
    /// Reads the user metadata of an object.
    ///
    /// # Errors
    /// With what is missing or not as Penstock writes it.
    pub fn read(metadata: &HashMap<String, String>) -> Result<Self, String> {
        let text = |key: &str| metadata.get(key).cloned().ok_or_else(|| format!("its metadata {key} is missing"));
        let position = |key: &str, text: &str| {
            read_position(text).ok_or_else(|| format!("its metadata {key} is {text:?}, which is no position"))
        };
        let range = metadata.get(RANGE_KEY).map(|text| {
            read_interval(text).ok_or_else(|| format!("its metadata {RANGE_KEY} is {text:?}, which is no range"))
        });
        let records = metadata.get(RECORDS_KEY).map(|text| {
            text.parse().map_err(|_| format!("its metadata {RECORDS_KEY} is {text:?}, which is no number"))
        });
        Ok(Self {
            recipe: text(RECIPE_KEY)?,
            shard: text(SHARD_KEY)?,
            first: position(FIRST_KEY, &text(FIRST_KEY)?)?,
            range: range.transpose()?,
            records: records.transpose()?,
        })
    }

    /// Whether the stamp is of the object with the name.
    #[must_use]
    pub fn is_of(&self, name: &ObjectName) -> bool {
        self.first == name.first && self.shard == name.shard.as_str().escape_default().to_string()
    }
}

impl RawStorageSink {
    /// What a record becomes by the sink's present recipe.
    ///
    /// # Errors
    /// When the record cannot be handled.
    pub fn render(&self, record: &Record, shard: &ShardId) -> Result<Rendered, Rejection> {
        let line = self.plan().lines.line(record, shard, &mut LastPrefix::default())?;
        Ok(Rendered { prefix: line.prefix.to_string(), line: line.document.into_owned() })
    }

    /// The fingerprint of the sink's present recipe, as in [`ObjectStamp::recipe`].
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.plan().fingerprint()
    }
}

/// `4967:0`.
fn read_position(text: &str) -> Option<Position> {
    let (sequence, sub_sequence) = text.split_once(':')?;
    Some(Position::new(Sequence::parse(sequence).ok()?, sub_sequence.parse().ok()?))
}

/// `(5:0, 9:0]` or `(start, 9:0]`.
fn read_interval(text: &str) -> Option<(Option<Position>, Position)> {
    let (start, end) = text.strip_prefix('(')?.strip_suffix(']')?.split_once(", ")?;
    let start = if start == "start" { None } else { Some(read_position(start)?) };
    Some((start, read_position(end)?))
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use penstock_api::spec::Compression;
    use penstock_contract::Range;

    use super::*;
    use crate::key::file_name;
    use crate::stamp::{FullStamp, Stamp};

    fn at(sequence: &str, sub_sequence: u64) -> Position {
        Position::new(Sequence::parse(sequence).unwrap(), sub_sequence)
    }

    #[test]
    fn a_name_reads_back_as_it_was_written() {
        let pipeline = PipelineRef { namespace: "shop".to_owned(), name: "ecommerce".to_owned() };
        for (shard, first) in [("shardId-000000000001", at("4967", 0)), ("a.b/é", at("4967", 7))] {
            let shard = ShardId::new(shard);
            for prefix in ["raw/2010/12/01/", "", "raw-"] {
                let key = format!("{prefix}{}", file_name(&pipeline, "raw", &shard, &first, Compression::Zstd));
                let name = ObjectName::of_key(&key, &pipeline, "raw").unwrap();
                assert_eq!(name, ObjectName { shard: shard.clone(), first: first.clone() }, "{key}");
                assert_eq!(ObjectName::of_key(&key, &pipeline, "other"), None);
            }
        }
        assert_eq!(ObjectName::of_key("raw/notes.txt", &pipeline, "raw"), None);
    }

    #[test]
    fn a_stamp_reads_back_as_it_was_written() {
        let shard = ShardId::new("shard-1");
        for start in [None, Some(at("4", 2))] {
            let stamp = Stamp { recipe: "r".to_owned(), shard: shard.clone(), first: at("5", 0), trimmed: false };
            let range = Range { shard: shard.clone(), start_exclusive: start.clone(), end_inclusive: at("9", 1) };
            let full = FullStamp { stamp: stamp.clone(), range, records: 3, size: 100 };
            let read = ObjectStamp::read(&full.metadata()).unwrap();
            assert_eq!((read.range.clone(), read.records), (Some((start, at("9", 1))), Some(3)));
            assert!(read.is_of(&ObjectName { shard: shard.clone(), first: at("5", 0) }));
            assert!(!read.is_of(&ObjectName { shard: shard.clone(), first: at("6", 0) }));
            let grown = ObjectStamp::read(&stamp.metadata()).unwrap();
            assert_eq!((grown.range, grown.records), (None, None));
        }
        let missing = ObjectStamp::read(&HashMap::new()).unwrap_err();
        assert!(missing.contains("penstock-recipe"), "{missing}");
    }
}
