//! Which lane a row takes. Rows of one partition key go one behind the other, so that none overtakes another; rows of
//! different keys may be on their way at the same time.

use std::hash::{DefaultHasher, Hash, Hasher};

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
        let Some(fields) = template.and_then(fields) else { return Self::One };
        let mut indexes = Vec::new();
        for field in fields {
            if field == "$id" || id_field == Some(field) {
                return Self::Each;
            }
            match columns.iter().position(|column| *column == field) {
                Some(index) => indexes.push(index),
                None => return Self::One,
            }
        }
        if indexes.is_empty() { Self::One } else { Self::Columns(indexes) }
    }
}

/// The fields that a template names; nothing when it is not of the simple kind that is understood here.
fn fields(template: &str) -> Option<Vec<&str>> {
    let mut fields = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let inside = rest[at..].strip_prefix('{')?;
        let (field, behind) = inside.split_once('}')?;
        if field.is_empty() || field.contains('{') {
            return None;
        }
        fields.push(field);
        rest = behind;
    }
    Some(fields)
}

/// A number that is equal for rows of the same key.
#[derive(Default)]
pub(crate) struct KeyHash(DefaultHasher);

impl KeyHash {
    /// Takes up a field's JSON text. `2.5` and `2.50` are one key.
    pub(crate) fn field(&mut self, json: &[u8], kind: CellType) {
        let number = (kind == CellType::Number).then(|| std::str::from_utf8(json).ok()?.parse::<f64>().ok()).flatten();
        match number {
            Some(number) => number.to_bits().hash(&mut self.0),
            None => json.hash(&mut self.0),
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finish()
    }
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
        assert_eq!(rule("{_id}"), LaneRule::Each);
        assert_eq!(rule("{$id}"), LaneRule::Each);
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
            hash.field(json, kind);
            hash.finish()
        };
        assert_eq!(hash(b"2.5", CellType::Number), hash(b"2.50", CellType::Number));
        assert_ne!(hash(b"2.5", CellType::String), hash(b"2.50", CellType::String));
    }
}
