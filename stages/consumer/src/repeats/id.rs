//! A record's id, and the fingerprint that is remembered of it.

use std::fmt;

use penstock_process::{Flat, FlatRow};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// The first 96 bits of the id's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u32; 3]);

impl Fingerprint {
    /// Of the id in the given field of a JSON object. `None` when there is none: the record is never a repeat.
    ///
    /// A text is the same however it is escaped; anything else is taken as it is written. `null` is no id.
    pub(super) fn of(data: &[u8], id_field: &str) -> Option<Self> {
        match FlatRow::read(data).map(|row| row.get(id_field)) {
            Some(Some(Flat::Text(id))) => Some(Self::of_text(b's', id)),
            Some(None | Some(Flat::Null)) => None,
            // What a flat row says of the others is not how they are written.
            _ => Self::of_any(data, id_field),
        }
    }

    fn of_any(data: &[u8], id_field: &str) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_slice(data);
        // Only up to the id: whether the rest is JSON is for the sink to say.
        IdIn(id_field).deserialize(&mut json).ok().flatten()
    }

    fn of_text(kind: u8, text: &str) -> Self {
        let hash = Sha256::new_with_prefix([kind]).chain_update(text).finalize();
        let mut words = [0; 3];
        for (word, bytes) in words.iter_mut().zip(hash.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        Self(words)
    }

    /// For a table that wants a hash: it is one.
    pub(super) fn hash(self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1])
    }

    #[cfg(test)]
    pub(super) fn test(number: u64) -> Self {
        Self::of_text(b't', &number.to_string())
    }
}

struct IdIn<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IdIn<'_> {
    type Value = Option<Fingerprint>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IdIn<'_> {
    type Value = Option<Fingerprint>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // The last one counts where a name comes twice, as for everybody who parses the whole object.
        let mut found = None;
        while let Some(is_id) = map.next_key_seed(IsName(self.0))? {
            if is_id {
                found = fingerprint(map.next_value::<&RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

fn fingerprint(json: &str) -> Option<Fingerprint> {
    match json {
        "null" => None,
        text if text.starts_with('"') => {
            let unescaped: std::borrow::Cow<'_, str> = serde_json::from_str::<Text<'_>>(text).ok()?.0;
            Some(Fingerprint::of_text(b's', &unescaped))
        }
        other => Some(Fingerprint::of_text(b'j', other)),
    }
}

#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// Reads a name without copying it, and says whether it is the one.
struct IsName<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<Fingerprint> {
        Fingerprint::of(json.as_bytes(), "_id")
    }

    #[test]
    fn ids_are_the_same_however_the_record_is_written() {
        let plain = of(r#"{"_id":"a/1","Quantity":6}"#);
        assert!(plain.is_some());
        assert_eq!(plain, of(r#" { "Quantity" : [1,{"_id":"x"}], "_id" : "a\/1" } "#));
        assert_eq!(plain, of(r#"{"_id":"x","_id":"a/1"}"#));
        assert_eq!(plain, of(r#"{"\u005fid":"a/1"}"#));
    }

    #[test]
    fn a_quick_look_sees_what_the_json_reader_sees() {
        for json in [
            r#"{"_id":"a/1","Quantity":6,"Price":2.50}"#,
            r#"{"_id":"a\u002f1","Quantity":6}"#,
            r#"{"_id":1.0}"#,
            r#"{"_id":null,"a":true}"#,
            r#"{"a":"_id"}"#,
            r#"{"_id":"x","_id":"y"}"#,
            r#"{"nested":{"_id":"x"},"_id":"y"}"#,
            r#"{"_id":"ä"}"#,
        ] {
            assert_eq!(of(json), Fingerprint::of_any(json.as_bytes(), "_id"), "{json}");
        }
    }

    #[test]
    fn different_ids_differ() {
        let ids =
            [r#""1""#, "1", "1.0", r#""""#, "true", r#"["1"]"#, r#""a""#].map(|id| of(&format!(r#"{{"_id":{id}}}"#)));
        for (place, id) in ids.iter().enumerate() {
            assert!(id.is_some());
            assert!(!ids[place + 1..].contains(id), "{place}");
        }
    }

    #[test]
    fn a_record_without_an_id_has_none() {
        for json in ["{}", r#"{"id":"a"}"#, r#"{"_id":null}"#, r#"["_id"]"#, "", "text", r#"{"_id":"a"#, "\u{0}"] {
            assert_eq!(of(json), None, "{json}");
        }
        assert_eq!(Fingerprint::of(b"\xff{", "_id"), None);
    }
}
