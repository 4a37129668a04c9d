//! Turns records into JSON lines: chooses the rows, converts their cells, gives each an id and finds its lane.

pub(crate) mod key;
pub(crate) mod layout;
pub(crate) mod schema;
pub(crate) mod select;

/// Why a row is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadRow {
    pub(crate) code: &'static str,
    pub(crate) field: Option<String>,
    pub(crate) reason: String,
}
