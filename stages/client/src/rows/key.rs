//! Which lane a row takes. Rows of one partition key go one behind the other, so that none overtakes another; rows of
//! different keys may be on their way at the same time.

use std::hash::{DefaultHasher, Hash, Hasher};

use penstock_process::Template;
use penstock_process::cell::CellType;

/// What rows are told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LaneRule {
    /// Nobody said what the partition key is, or it cannot be told from a row's columns: all rows keep their order.
    One,
    /// Each row has a key of its own.
    Each,
    /// By the values of these columns.
    Columns(Vec<usize>),
}

impl LaneRule {
    /// From the template of the partition key, such as `{InvoiceNo}` or `{Country}/{CustomerID}`.
    pub(crate) fn new(template: Option<&str>, columns: &[&str], id_field: Option<&str>) -> Self {
        let Some(template) = template.and_then(|text| Template::parse(text).ok()) else { return Self::One };
        if template.uses_id() {
            return Self::Each;
        }
        let mut indexes = Vec::new();
        for field in template.fields() {
            match columns.iter().position(|column| *column == field) {
                Some(index) => indexes.push(index),
                // The client makes these ids, and none twice.
                None if id_field == Some(field) => return Self::Each,
                None => return Self::One,
            }
        }
        if indexes.is_empty() { Self::One } else { Self::Columns(indexes) }
    }
}

/// A number that is equal for rows of the same key.
///
/// Fields that differ may make the same key: with `{A}-{B}` both `1-2`, `3` and `1`, `2-3` are `1-2-3`. What such rows have in
/// common is which characters their fields are made of, so with several fields only these count, not their order.
#[derive(Default)]
pub(crate) struct KeyHash(u64);

impl KeyHash {
    /// Takes up the JSON text of a field, the only one or one of several. `2.5` and `2.50` are one key, and so are
    /// `0` and `-0`.
    pub(crate) fn field(&mut self, json: &[u8], cell: CellType, is_only: bool) {
        let may_be_decimal = matches!(cell, CellType::Number | CellType::Json);
        let number = may_be_decimal.then(|| std::str::from_utf8(json).ok()?.parse::<f64>().ok()).flatten();
        match number {
            // The sum has no sign where it is zero.
            Some(number) => self.text((number + 0.0).to_string().as_bytes(), is_only),
            None => self.text(json, is_only),
        }
    }

    fn text(&mut self, text: &[u8], is_only: bool) {
        if is_only {
            self.0 = hash(text);
            return;
        }
        for byte in text {
            self.0 = self.0.wrapping_add(hash(byte));
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0
    }
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 3] = ["InvoiceNo", "StockCode", "Country"];

    fn rule(template: &str) -> LaneRule {
        LaneRule::new(Some(template), &COLUMNS, Some("_id"))
    }

    #[test]
    fn the_fields_of_the_template_choose_the_lane() {
        assert_eq!(rule("{InvoiceNo}"), LaneRule::Columns(vec![0]));
        assert_eq!(rule("{Country}/{InvoiceNo}-x"), LaneRule::Columns(vec![2, 0]));
        assert_eq!(rule("{{{InvoiceNo}}}"), LaneRule::Columns(vec![0]));
        assert_eq!(rule("{_id}"), LaneRule::Each);
        assert_eq!(rule("{$id}"), LaneRule::Each);
    }

    #[test]
    fn ids_that_stand_in_the_file_may_repeat_and_choose_the_lane_as_any_field() {
        assert_eq!(LaneRule::new(Some("{_id}"), &["a", "_id"], Some("_id")), LaneRule::Columns(vec![1]));
    }

    #[test]
    fn a_template_that_is_not_understood_keeps_all_rows_in_order() {
        assert_eq!(LaneRule::new(None, &COLUMNS, None), LaneRule::One);
        for template in
            ["all", "", "{Missing}", "{InvoiceNo}{Missing}", "{{InvoiceNo}}", "{InvoiceNo", "InvoiceNo}", "{}"]
        {
            assert_eq!(rule(template), LaneRule::One, "{template}");
        }
    }

    #[test]
    fn equal_numbers_are_one_key() {
        let hash = |json: &[u8], kind| {
            let mut hash = KeyHash::default();
            hash.field(json, kind, true);
            hash.finish()
        };
        assert_eq!(hash(b"2.5", CellType::Number), hash(b"2.50", CellType::Number));
        assert_eq!(hash(b"0", CellType::Number), hash(b"-0.0", CellType::Number));
        assert_eq!(hash(b"1", CellType::Json), hash(b"1.0", CellType::Json));
        assert_ne!(hash(b"2.5", CellType::String), hash(b"2.50", CellType::String));
    }

    #[test]
    fn fields_that_make_the_same_key_together_take_the_same_lane() {
        let hash = |fields: [&[u8]; 2]| {
            let mut hash = KeyHash::default();
            for field in fields {
                hash.field(field, CellType::String, false);
            }
            hash.finish()
        };
        // As `{A}-{B}` makes them.
        assert_eq!(hash([b"\"1-2\"", b"\"3\""]), hash([b"\"1\"", b"\"2-3\""]));
        assert_ne!(hash([b"\"1\"", b"\"2\""]), hash([b"\"1\"", b"\"3\""]));
    }
}
