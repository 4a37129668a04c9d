//! The records that run through the worlds: JSON that says what it is. Its id stands in a field of its own, since a record
//! may be put twice.

use penstock_contract::{Position, Record};
use serde_json::Value;

use crate::Millis;
use crate::kinesis::EPOCH;

/// The field that holds the id.
pub(crate) const ID_FIELD: &str = "i";

/// What is to become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The sink stores it.
    Stored,
    /// The sink rejects it when it is pushed.
    Rejected,
    /// The sink's service refuses it when it is applied.
    Refused,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// Which one of the world's records it is. One that is put again is another.
    pub(crate) number: u64,
    /// The same in one that is put again.
    pub(crate) id: u64,
    pub(crate) key: String,
    pub(crate) value: i64,
    pub(crate) fate: Fate,
}

/// A user record in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserRecord {
    pub(crate) number: u64,
    pub(crate) id: u64,
    pub(crate) key: String,
    pub(crate) value: i64,
    pub(crate) fate: Fate,
    pub(crate) position: Position,
    /// By the world's clock.
    pub(crate) arrival: Millis,
}

impl Content {
    /// The record's bytes.
    pub(crate) fn write(&self) -> String {
        let Self { number, id, key, value, fate } = self;
        let fate = match fate {
            Fate::Stored => "ok",
            Fate::Rejected => "bad",
            Fate::Refused => "refused",
        };
        format!(r#"{{"{ID_FIELD}":{id},"r":"{number}|{key}|{value}|{fate}"}}"#)
    }

    fn read(data: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(data).ok()?;
        let mut parts = json["r"].as_str()?.split('|');
        Some(Self {
            id: json[ID_FIELD].as_u64()?,
            number: parts.next()?.parse().ok()?,
            key: parts.next()?.to_owned(),
            value: parts.next()?.parse().ok()?,
            fate: match parts.next()? {
                "ok" => Fate::Stored,
                "bad" => Fate::Rejected,
                "refused" => Fate::Refused,
                _ => return None,
            },
        })
    }
}

impl UserRecord {
    /// A record that came out of the stream.
    pub(crate) fn read(record: &Record) -> Result<Self, String> {
        let Content { number, id, key, value, fate } =
            Content::read(&record.data).ok_or_else(|| format!("nobody wrote the record at {}", record.position))?;
        let arrival = u64::try_from(record.arrival.0).ok().and_then(|arrival| arrival.checked_sub(EPOCH));
        let arrival = arrival.ok_or_else(|| format!("the record at {} came before all time", record.position))?;
        Ok(Self { number, id, key, value, fate, position: record.position.clone(), arrival })
    }
}
