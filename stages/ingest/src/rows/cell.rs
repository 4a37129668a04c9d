//! One cell of CSV as a JSON value. Numbers keep their digits.

use serde_json::value::RawValue;

use super::columns::{CellType, ColumnType};

/// Writes the cell as the column wants it, or as a string when it cannot be that: the schema then says what
/// is wrong. Returns false, and writes nothing, when an empty cell means that the field is left out.
pub(super) fn write_cell(cell: &str, column: ColumnType, out: &mut Vec<u8>) -> bool {
    if cell.is_empty() {
        return write_empty(column, out);
    }
    let trimmed = cell.trim();
    let written = match column.cell {
        CellType::String => false,
        CellType::Number => write_number(trimmed, false, out),
        CellType::Integer => write_number(trimmed, true, out),
        CellType::Boolean => write_boolean(trimmed, out),
        CellType::Json => write_json(trimmed, out),
    };
    if !written {
        write_string(cell, out);
    }
    true
}

/// Writes a JSON string.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // A vector takes every text, so there is no error to handle.
        let _ = serde_json::to_writer(out, text);
    }
}

fn write_empty(column: ColumnType, out: &mut Vec<u8>) -> bool {
    let value: &[u8] = match column {
        ColumnType { required: true, cell: CellType::String, .. } => b"\"\"",
        ColumnType { required: true, nullable: true, .. } => b"null",
        _ => return false,
    };
    out.extend_from_slice(value);
    true
}

fn write_boolean(text: &str, out: &mut Vec<u8>) -> bool {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    let value: &[u8] = if is(&["true", "t", "yes", "y", "1"]) {
        b"true"
    } else if is(&["false", "f", "no", "n", "0"]) {
        b"false"
    } else {
        return false;
    };
    out.extend_from_slice(value);
    true
}

fn write_json(text: &str, out: &mut Vec<u8>) -> bool {
    let value = serde_json::from_str::<&RawValue>(text);
    if let Ok(value) = &value {
        out.extend_from_slice(value.get().as_bytes());
    }
    value.is_ok()
}

/// Digit for digit as JSON writes a number, which knows neither a plus sign nor leading zeros nor a bare
/// point. A whole number that is wanted loses a fraction of zeros.
fn write_number(text: &str, whole_wanted: bool, out: &mut Vec<u8>) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return false;
    }
    let exponent_digits = exponent.map(|exponent| exponent.strip_prefix(['-', '+']).unwrap_or(exponent));
    if exponent_digits.is_some_and(|exponent| exponent.is_empty() || !digits(exponent)) {
        return false;
    }
    let whole = whole.trim_start_matches('0');
    let zeros_only = whole_wanted && exponent.is_none() && fraction.bytes().all(|digit| digit == b'0');
    if text.starts_with('-') {
        out.push(b'-');
    }
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole.as_bytes() });
    if !fraction.is_empty() && !zeros_only {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
    if let Some(exponent) = exponent {
        out.push(b'e');
        out.extend_from_slice(exponent.as_bytes());
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn convert(cell: &str, wanted: CellType) -> String {
        let mut out = Vec::new();
        assert!(write_cell(cell, ColumnType { cell: wanted, ..ColumnType::default() }, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_keep_their_digits_and_become_json() {
        for (cell, json) in [
            ("2.550", "2.550"),
            ("+6", "6"),
            ("-007.50", "-7.50"),
            (".5", "0.5"),
            ("5.", "5"),
            ("00", "0"),
            (" 12 ", "12"),
            ("1.5E+3", "1.5e+3"),
            ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ] {
            assert_eq!(convert(cell, CellType::Number), json, "{cell}");
        }
        assert_eq!(convert("17850.0", CellType::Integer), "17850");
        assert_eq!(convert("17850.5", CellType::Integer), "17850.5");
    }

    #[test]
    fn what_does_not_fit_stays_a_string_for_the_schema_to_refuse() {
        for cell in ["x", "1,5", "1e", "--1", ".", "£5", "NaN", "٣"] {
            assert_eq!(convert(cell, CellType::Number), format!("\"{cell}\""), "{cell}");
        }
        assert_eq!(convert("maybe", CellType::Boolean), "\"maybe\"");
        assert_eq!(convert("{\"a\":", CellType::Json), "\"{\\\"a\\\":\"");
    }

    #[test]
    fn other_types_are_read_as_their_names_say() {
        assert_eq!(convert("536365", CellType::String), "\"536365\"");
        assert_eq!(convert("a \"b\"\n\\", CellType::String), r#""a \"b\"\n\\""#);
        assert_eq!(convert("Yes", CellType::Boolean), "true");
        assert_eq!(convert("0", CellType::Boolean), "false");
        assert_eq!(convert("[1, 2.50]", CellType::Json), "[1, 2.50]");
    }

    #[test]
    fn an_empty_cell_leaves_the_field_out_unless_the_field_is_required() {
        let empty = |column| {
            let mut out = Vec::new();
            write_cell("", column, &mut out).then(|| String::from_utf8(out).unwrap())
        };
        let column = |cell, required, nullable| ColumnType { cell, required, nullable };
        assert_eq!(empty(column(CellType::String, false, true)), None);
        assert_eq!(empty(column(CellType::String, true, false)).as_deref(), Some("\"\""));
        assert_eq!(empty(column(CellType::Integer, true, true)).as_deref(), Some("null"));
        assert_eq!(empty(column(CellType::Integer, true, false)), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_always_json(cell in "[-+0-9.eE]{1,12}|\\PC{1,20}|[\\x00-\\x7f]{1,10}") {
            for wanted in [CellType::String, CellType::Number, CellType::Integer, CellType::Boolean, CellType::Json] {
                prop_assert!(serde_json::from_str::<&RawValue>(&convert(&cell, wanted)).is_ok(), "{:?}", wanted);
            }
        }
    }
}
