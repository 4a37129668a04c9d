//! The id of a row that came without one.

use penstock_contract::Rejection;
use penstock_process::{Row, RowView};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::push_single_line;

/// An id for a row that has none.
pub(super) struct NewId(String);

impl NewId {
    /// No other has it; later ones sort behind it.
    pub(super) fn now() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// For a row that lacks the field.
    pub(super) fn beside(self, alone: bool) -> Added {
        Added { id: self, replaces: false, alone }
    }
}

/// An id that a row was given.
pub(super) struct Added {
    id: NewId,
    /// The field was there, without a value.
    replaces: bool,
    /// The row had no field at all.
    alone: bool,
}

/// Gives the row an id if it has none: the field is missing, null or an empty string.
pub(super) fn add_id(row: &mut Row, field: &str) -> Result<Option<Added>, Rejection> {
    if RowView::Parsed(row).own_id(field).is_some() {
        return Ok(None);
    }
    let replaces = match row.0.get(field) {
        None => false,
        Some(Value::Null | Value::String(_)) => true,
        Some(other) => {
            let found = match other {
                Value::Bool(_) => "a boolean",
                Value::Array(_) => "an array",
                _ => "an object",
            };
            let message =
                format!("{field}: an id is a string or a number, found {found}; leave it out to be given one");
            return Err(Rejection::new("id_type", message).at(field));
        }
    };
    let id = NewId::now();
    let alone = row.0.is_empty();
    row.0.insert(field.to_owned(), Value::String(id.as_str().to_owned()));
    Ok(Some(Added { id, replaces, alone }))
}

impl Added {
    /// Writes the row with its id in front; all other bytes stay as they came.
    pub(super) fn write(&self, bytes: &[u8], field: &str, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(b"{\"");
        // The field's name is an identifier and the id is hexadecimal: nothing to escape.
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(b"\":\"");
        out.extend_from_slice(self.id.as_str().as_bytes());
        out.push(b'"');
        if self.replaces {
            self.push_other_fields(bytes, field, out);
            return;
        }
        if !self.alone {
            out.push(b',');
        }
        // The row was read as an object, so it begins with a brace.
        push_single_line(bytes.get(1..).unwrap_or_default(), out);
    }

    fn push_other_fields(&self, bytes: &[u8], field: &str, out: &mut Vec<u8>) {
        // The row was read before, so this succeeds; if it did not, the row would lose its fields, so the
        // whole row is kept behind the id instead, where the last of two equal names counts.
        match serde_json::from_slice::<Fields<'_>>(bytes) {
            Ok(Fields(fields)) => {
                for (name, value) in fields.iter().filter(|(name, _)| name != field) {
                    out.push(b',');
                    // A vector takes every text, so there is no error to handle.
                    let _ = serde_json::to_writer(&mut *out, name);
                    out.push(b':');
                    push_single_line(value.get().as_bytes(), out);
                }
                out.push(b'}');
            }
            Err(_) => {
                out.push(b',');
                push_single_line(bytes.get(1..).unwrap_or_default(), out);
            }
        }
    }
}

/// The fields of an object in order, their values as they are written.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for InOrder<'a> {
            type Value = Fields<'a>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}
