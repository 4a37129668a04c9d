//! A pinned range as it stands in the lease row: enough to read exactly the same records again.

use std::fmt;
use std::sync::Arc;

use penstock_contract::{Position, Range, Recipe, ShardId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::lease::Pending;
use crate::repeats::RepeatWindow;

/// The version of [`State`]. A worker that finds a greater one must not touch the range.
const VERSION: u64 = 1;

/// The name of a recipe: the SHA-256 of its bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RecipeHash(Arc<str>);

impl RecipeHash {
    pub(crate) fn of(recipe: &Recipe) -> Self {
        Self(hex::encode(Sha256::digest(&recipe.0)).into())
    }

    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for RecipeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A range that is fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    /// The last position before the range; `None` when it is the first that was read of the shard.
    pub(crate) start_exclusive: Option<Position>,
    /// The first position in the range. Reading begins here also when the range has no start.
    pub(crate) first: Position,
    /// The last position in the range.
    pub(crate) end: Position,
    /// How many user records are in the range: what is missing after retention took some is known by it.
    pub(crate) records: u64,
    /// What the sink did with them.
    pub(crate) recipe: RecipeHash,
    /// Which of them were left out.
    pub(crate) repeats: Option<RepeatWindow>,
}

impl Pin {
    pub(crate) fn range(&self, shard: &ShardId) -> Range {
        Range { shard: shard.clone(), start_exclusive: self.start_exclusive.clone(), end_inclusive: self.end.clone() }
    }

    /// The state blob of the row: everything but the end, which has attributes of its own.
    pub(crate) fn state(&self) -> Vec<u8> {
        let state = State {
            penstock: VERSION,
            start: self.start_exclusive.clone(),
            first: self.first.clone(),
            records: self.records,
            recipe: self.recipe.clone(),
            repeats: self.repeats.clone(),
        };
        // Texts and numbers into memory: nothing in it could fail to serialise.
        serde_json::to_vec(&state).unwrap_or_default()
    }
}

/// Reads a prepared checkpoint: its position and its state blob.
pub(crate) fn read(end: Position, state: Option<&[u8]>) -> Pending {
    let state = state.unwrap_or_default();
    match serde_json::from_slice::<Versioned>(state) {
        Ok(Versioned { penstock: VERSION }) => {}
        Ok(Versioned { penstock }) => return Pending::Newer { version: penstock },
        Err(_) => return Pending::Foreign,
    }
    match serde_json::from_slice::<State>(state) {
        Ok(State { penstock: _, start, first, records, recipe, repeats }) => {
            Pending::Pin(Pin { start_exclusive: start, first, end, records, recipe, repeats })
        }
        // Names our version and cannot be read: whoever wrote it knew more.
        Err(_) => Pending::Newer { version: VERSION },
    }
}

#[derive(Deserialize)]
struct Versioned {
    penstock: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    /// The version; its name also marks the blob as ours.
    penstock: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Position>,
    first: Position,
    records: u64,
    recipe: RecipeHash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeats: Option<RepeatWindow>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod tests {
    use super::*;
    use crate::lease::tests::at;
    use bytes::Bytes;

    pub(crate) fn pin(start: Option<u64>, end: u64) -> Pin {
        Pin {
            start_exclusive: start.map(|start| at(start, 0)),
            first: at(start.map_or(1, |start| start + 1), 0),
            end: at(end, 0),
            records: end - start.unwrap_or(0),
            recipe: RecipeHash::of(&Recipe(Bytes::from_static(b"recipe"))),
            repeats: start.map(|start| RepeatWindow { id_field: "_id".to_owned(), millis: start, records: 7 }),
        }
    }

    #[test]
    fn a_pin_reads_back_as_it_was_written() {
        for pin in [pin(None, 5), pin(Some(5), 9)] {
            assert_eq!(read(pin.end.clone(), Some(&pin.state())), Pending::Pin(pin));
        }
    }

    #[test]
    fn what_a_kcl_application_prepared_is_told_apart_from_what_a_later_version_pinned() {
        assert_eq!(read(at(5, 0), None), Pending::Foreign);
        assert_eq!(read(at(5, 0), Some(b"state of an application")), Pending::Foreign);
        assert_eq!(read(at(5, 0), Some(br#"{"penstock":2}"#)), Pending::Newer { version: 2 });
        assert_eq!(read(at(5, 0), Some(br#"{"penstock":1}"#)), Pending::Newer { version: 1 });
    }

    #[test]
    fn the_blob_is_text_that_people_can_read() {
        let text = String::from_utf8(pin(Some(5), 9).state()).unwrap();
        assert!(
            text.starts_with(
                r#"{"penstock":1,"start":{"sequence":"5","subSequence":0},"first":{"sequence":"6","subSequence":0},"records":4,"recipe":""#
            ),
            "{text}"
        );
    }
}
