//! The records that run through the worlds: text that says what it is.

use penstock_contract::{Position, Record};

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

/// A user record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserRecord {
    /// Which one of the world's records it is.
    pub(crate) number: u64,
    pub(crate) key: String,
    pub(crate) value: i64,
    pub(crate) fate: Fate,
    pub(crate) position: Position,
}

/// The record's bytes.
pub(crate) fn write(number: u64, key: &str, value: i64, fate: Fate) -> String {
    let fate = match fate {
        Fate::Stored => "ok",
        Fate::Rejected => "bad",
        Fate::Refused => "refused",
    };
    format!("{number}|{key}|{value}|{fate}")
}

/// What the bytes say.
pub(crate) fn read(data: &[u8]) -> Option<(u64, String, i64, Fate)> {
    let mut parts = std::str::from_utf8(data).ok()?.split('|');
    let (number, key, value) = (parts.next()?.parse().ok()?, parts.next()?.to_owned(), parts.next()?.parse().ok()?);
    let fate = match parts.next()? {
        "ok" => Fate::Stored,
        "bad" => Fate::Rejected,
        "refused" => Fate::Refused,
        _ => return None,
    };
    Some((number, key, value, fate))
}

impl UserRecord {
    /// A record that came out of the stream.
    pub(crate) fn read(record: &Record) -> Result<Self, String> {
        let (number, key, value, fate) =
            read(&record.data).ok_or_else(|| format!("nobody wrote the record at {}", record.position))?;
        Ok(Self { number, key, value, fate, position: record.position.clone() })
    }
}
