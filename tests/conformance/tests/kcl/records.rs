//! User records as everybody here agrees to write them down, and the comparison of two readings.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_conformance::{KclEvent, KclRecord};
use penstock_contract::{Record, Sequence};

/// Where a user record lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) shard: String,
    pub(crate) sequence: Sequence,
    pub(crate) sub_sequence: u64,
}

/// What lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) partition_key: String,
    pub(crate) arrival_millis: i64,
    pub(crate) data: Data,
}

/// Bytes, of which a message shows the beginning.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Data(pub(crate) Vec<u8>);

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = &self.0[..self.0.len().min(40)];
        write!(f, "{} bytes: {:?}", self.0.len(), String::from_utf8_lossy(begin))
    }
}

/// Everything that somebody read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    records: BTreeMap<Place, Content>,
    twice: Vec<Place>,
}

impl Reading {
    pub(crate) fn add(&mut self, place: Place, content: Content) {
        if self.records.insert(place.clone(), content).is_some() {
            self.twice.push(place);
        }
    }

    pub(crate) fn add_ours(&mut self, shard: &str, record: &Record) {
        let (place, content) = of_ours(shard, record);
        self.add(place, content);
    }

    pub(crate) fn add_kcl(&mut self, events: &[KclEvent]) {
        for record in kcl_records(events) {
            let (place, content) = of_kcl(record);
            self.add(place, content);
        }
    }

    pub(crate) fn of_kcl(events: &[KclEvent]) -> Self {
        let mut reading = Self::default();
        reading.add_kcl(events);
        reading
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Those that lie in one record of the stream.
    pub(crate) fn within<'a>(&'a self, shard: &'a str, sequence: &'a Sequence) -> impl Iterator<Item = &'a Content> {
        let lies_there = move |place: &Place| place.shard == shard && place.sequence == *sequence;
        self.records.iter().filter(move |(place, _)| lies_there(place)).map(|(_, content)| content)
    }

    pub(crate) fn get(&self, place: &Place) -> Option<&Content> {
        self.records.get(place)
    }

    /// Both hold the same records, each once.
    pub(crate) fn assert_same(&self, name: &str, other: &Self, other_name: &str) {
        assert!(self.twice.is_empty(), "{name} has records twice: {:?}", self.twice);
        assert!(other.twice.is_empty(), "{other_name} has records twice: {:?}", other.twice);
        let missing: Vec<_> = self.records.iter().filter(|(place, _)| !other.records.contains_key(place)).collect();
        assert!(missing.is_empty(), "{other_name} lacks what {name} has: {missing:#?}");
        for (place, content) in &other.records {
            assert_eq!(self.records.get(place), Some(content), "{name} and {other_name} at {place:?}");
        }
    }
}

pub(crate) fn kcl_records(events: &[KclEvent]) -> impl Iterator<Item = &KclRecord> {
    events.iter().filter_map(|event| match event {
        KclEvent::Record(record) => Some(record),
        _ => None,
    })
}

/// Each shard's records come in their order, whatever there is between them.
pub(crate) fn assert_in_order(events: &[KclEvent]) {
    let mut reached: BTreeMap<&str, Place> = BTreeMap::new();
    for record in kcl_records(events) {
        let (place, _) = of_kcl(record);
        if let Some(before) = reached.insert(&record.shard, place.clone()) {
            assert!(before < place, "the KCL processed {place:?} after {before:?}");
        }
    }
}

fn of_kcl(record: &KclRecord) -> (Place, Content) {
    let place = Place {
        shard: record.shard.clone(),
        sequence: Sequence::parse(&record.sequence_number).unwrap(),
        sub_sequence: record.sub_sequence_number,
    };
    let content = Content {
        partition_key: record.partition_key.clone(),
        arrival_millis: record.arrival_millis,
        data: Data(STANDARD.decode(&record.data).unwrap()),
    };
    (place, content)
}

pub(crate) fn of_ours(shard: &str, record: &Record) -> (Place, Content) {
    let place = Place {
        shard: shard.to_owned(),
        sequence: record.position.sequence.clone(),
        sub_sequence: record.position.sub_sequence,
    };
    let content = Content {
        partition_key: record.partition_key.to_string(),
        arrival_millis: record.arrival.0,
        data: Data(record.data.to_vec()),
    };
    (place, content)
}
