//! One record as a sink sees it, and why a record could not be handled.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Position;

/// When the buffer took the record: milliseconds since the Unix epoch. The only time that processing may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArrivalMillis(pub i64);

/// A user record: a member of an aggregate, or a whole stream record.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where it stands in its shard.
    pub position: Position,
    /// The key that chose the shard.
    pub partition_key: Arc<str>,
    /// When the buffer took it.
    pub arrival: ArrivalMillis,
    /// The bytes as the producer sent them.
    pub data: Bytes,
}

/// Why a record cannot be handled: it goes to dead letters with this, its position and its raw bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// A stable code, `lower_snake_case`; used as metric label.
    pub reason: Cow<'static, str>,
    /// The field at fault, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// One sentence for people: what was found and what was expected.
    pub message: String,
}

impl Rejection {
    /// A rejection that blames no single field.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason: Cow::Borrowed(reason), field: None, message: message.into() }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}
