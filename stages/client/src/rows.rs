//! Turns records into JSON lines: chooses the rows, converts their cells, gives each an id and finds its lane.

pub(crate) mod convert;
pub(crate) mod key;
pub(crate) mod layout;
pub(crate) mod schema;
pub(crate) mod select;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::options::ParseOptionError;

/// The JSON type that a column's cells become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellType {
    /// Text, as it stands in the file.
    String,
    /// A whole number; `17850.0` is one.
    Integer,
    /// A decimal number, with the digits that the file has.
    Number,
    /// `true` or `false`; also `yes`, `no`, `1` and `0`.
    Boolean,
    /// A cell that holds JSON itself.
    Json,
}

impl FromStr for CellType {
    type Err = ParseOptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "string" => Ok(Self::String),
            "integer" => Ok(Self::Integer),
            "number" => Ok(Self::Number),
            "boolean" => Ok(Self::Boolean),
            "json" => Ok(Self::Json),
            _ => Err(ParseOptionError(format!(
                "{text:?} is no column type: write string, integer, number, boolean or json"
            ))),
        }
    }
}

/// Why a row is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadRow {
    pub(crate) code: &'static str,
    pub(crate) field: Option<String>,
    pub(crate) reason: String,
}
