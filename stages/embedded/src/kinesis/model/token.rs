//! Shard iterators and list tokens: opaque to clients, good for five minutes, and not to be made up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Millis;

/// How long an iterator or a token lives.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html>
pub(crate) const LIFETIME: Millis = 300_000;

/// Where a reader stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Iterator {
    /// The stream's name.
    #[serde(rename = "n")]
    pub(crate) stream: String,
    /// The shard's index.
    #[serde(rename = "s")]
    pub(crate) shard: u32,
    /// The shard's creation stamp, so that an iterator does not outlive a stream that is created again.
    #[serde(rename = "c")]
    pub(crate) stamp: u64,
    /// The counter of the next record to read.
    #[serde(rename = "p")]
    pub(crate) counter: u64,
    /// When it was given out.
    #[serde(rename = "t")]
    pub(crate) issued_at: Millis,
}

/// A token that was changed, or made by somebody else.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forged;

/// Seals and opens tokens with a secret of the data folder.
#[derive(Debug, Clone)]
pub(crate) struct Seal {
    secret: [u8; 16],
}

impl Seal {
    pub(crate) fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }

    /// Writes a token as text.
    pub(crate) fn seal<T: Serialize>(&self, kind: u8, content: &T) -> String {
        // Serialising a plain struct into memory cannot fail; an empty token would be refused when it comes back.
        let body = serde_json::to_vec(content).unwrap_or_default();
        let mut bytes = self.digest(kind, &body).to_vec();
        bytes.extend_from_slice(&body);
        STANDARD.encode(bytes)
    }

    /// Reads a token that this engine gave out.
    pub(crate) fn open<T: DeserializeOwned>(&self, kind: u8, text: &str) -> Result<T, Forged> {
        let bytes = STANDARD.decode(text).map_err(|_| Forged)?;
        let (digest, body) = bytes.split_at_checked(16).ok_or(Forged)?;
        if digest != self.digest(kind, body) {
            return Err(Forged);
        }
        serde_json::from_slice(body).map_err(|_| Forged)
    }

    fn digest(&self, kind: u8, body: &[u8]) -> [u8; 16] {
        Md5::new().chain_update(self.secret).chain_update([kind]).chain_update(body).finalize().into()
    }
}

/// Kinds of tokens: one of a kind is never taken for one of another.
pub(crate) mod kind {
    /// `GetRecords`.
    pub(crate) const ITERATOR: u8 = b'i';
    /// `ListShards`.
    pub(crate) const SHARDS: u8 = b's';
    /// `ListStreams`.
    pub(crate) const STREAMS: u8 = b'l';
    /// `ListStreamConsumers`.
    pub(crate) const CONSUMERS: u8 = b'c';
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn iterator() -> Iterator {
        Iterator { stream: "orders".into(), shard: 3, stamp: 9, counter: 7, issued_at: 1 }
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let seal = Seal::new([7; 16]);
        let text = seal.seal(kind::ITERATOR, &iterator());
        assert!(text.len() <= 512, "the API allows 512 characters");
        assert_eq!(seal.open::<Iterator>(kind::ITERATOR, &text), Ok(iterator()));
    }

    #[test]
    fn a_token_that_was_changed_or_is_of_another_kind_or_folder_is_refused() {
        let seal = Seal::new([7; 16]);
        let text = seal.seal(kind::ITERATOR, &iterator());
        assert_eq!(seal.open::<Iterator>(kind::SHARDS, &text), Err(Forged));
        assert_eq!(Seal::new([8; 16]).open::<Iterator>(kind::ITERATOR, &text), Err(Forged));
        let changed = text.replacen(&text[30..31], if &text[30..31] == "A" { "B" } else { "A" }, 1);
        assert_eq!(seal.open::<Iterator>(kind::ITERATOR, &changed), Err(Forged));
        assert_eq!(seal.open::<Iterator>(kind::ITERATOR, "x"), Err(Forged));
    }
}
