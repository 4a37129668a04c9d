//! From JSON to CBOR.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium_ll::{Encoder, Header, simple};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Kind, TIME};
use crate::kinesis::error::ApiError;

/// An answer in JSON as the same answer in CBOR.
pub(in super::super::super) fn from_json(json: &[u8]) -> Result<Vec<u8>, ApiError> {
    let mut cbor = Vec::with_capacity(json.len());
    let value = Value { out: &mut cbor, kind: Kind::Plain, name: "" };
    value.deserialize(&mut serde_json::Deserializer::from_slice(json)).map_err(|error| {
        tracing::error!(%error, "an answer of the Kinesis engine could not be written in CBOR");
        ApiError::internal("The answer cannot be written in CBOR; see the engine's log.")
    })?;
    Ok(cbor)
}

/// Writes the value of a member of this kind and name, or an element of it, as it is read.
struct Value<'o, 'n> {
    out: &'o mut Vec<u8>,
    kind: Kind,
    name: &'n str,
}

impl Value<'_, '_> {
    fn push(&mut self, header: Header) {
        // Writing into memory cannot fail.
        drop(Encoder::from(&mut *self.out).push(header));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.push(Header::Bytes(Some(bytes.len())));
        self.out.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.push(Header::Text(Some(text.len())));
        self.out.extend_from_slice(text.as_bytes());
    }

    fn time(&mut self, millis: u64) {
        self.push(Header::Tag(TIME));
        self.push(Header::Positive(millis));
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of the service")
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.push(Header::Simple(simple::NULL));
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.push(Header::Simple(if value { simple::TRUE } else { simple::FALSE }));
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        match self.kind {
            Kind::Time => self.time(value * 1000),
            _ => self.push(Header::Positive(value)),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        // The bits of a negative number are inverted: -1 is 0. Those of a positive one come as `u64`.
        self.push(Header::Negative(!value.cast_unsigned()));
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        match self.kind {
            // Seconds with a fraction of milliseconds, which are whole numbers far below 2^53.
            Kind::Time => self.time((value * 1000.0).round() as u64),
            _ => self.push(Header::Float(value)),
        }
        Ok(())
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        match self.kind {
            Kind::Bytes => self.bytes(&STANDARD.decode(value).map_err(E::custom)?),
            _ => self.text(value),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.push(Header::Array(None));
        while elements.next_element_seed(Value { out: &mut *self.out, kind: Kind::Plain, name: self.name })?.is_some() {
        }
        self.push(Header::Break);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.push(Header::Map(None));
        while let Some(name) = members.next_key::<String>()? {
            self.text(&name);
            let kind = Kind::of_member(&name, self.name);
            members.next_value_seed(Value { out: &mut *self.out, kind, name: &name })?;
        }
        self.push(Header::Break);
        Ok(())
    }
}
