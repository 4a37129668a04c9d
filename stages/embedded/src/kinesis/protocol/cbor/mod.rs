//! CBOR in and out, as the service's second protocol has it (`application/x-amz-cbor-1.1`), which the Java SDK speaks.
//!
//! It has the same members as the JSON protocol under the same names. What differs is how two kinds of them are
//! written: bytes are a byte string instead of Base64, and a time is an integer of milliseconds with tag 1 instead of
//! seconds with a fraction. So a request becomes JSON where it comes in and an answer becomes CBOR where it goes out,
//! and nothing between knows of it.

mod decode;
mod encode;

#[cfg(test)]
mod tests;

pub(in super::super) use self::decode::to_json;
pub(in super::super) use self::encode::from_json;

/// Marks a time.
const TIME: u64 = 1;

/// What is written otherwise than in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bytes,
    Time,
    Plain,
}

impl Kind {
    /// What a member is by its name. Below `Tags` names are the user's own.
    fn of_member(name: &str, parent: &str) -> Self {
        match name {
            _ if parent == "Tags" => Self::Plain,
            "Data" => Self::Bytes,
            _ if name.ends_with("Timestamp") => Self::Time,
            _ => Self::Plain,
        }
    }
}
