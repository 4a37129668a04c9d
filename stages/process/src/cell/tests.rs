#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn convert(cell: &str, wanted: CellType) -> Result<String, Unfit> {
    let mut out = Vec::new();
    assert!(ColumnType { cell: wanted, ..ColumnType::default() }.write(cell, &mut out)?);
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn whole_numbers_are_those_whose_value_is_whole() {
    for (cell, expected) in [
        ("6", "6"),
        ("-12", "-12"),
        ("+6", "6"),
        ("007", "7"),
        ("17850.0", "17850"),
        ("17850.", "17850"),
        ("0", "0"),
        ("-0", "0"),
        ("0.00", "0"),
        (" 6 ", "6"),
        ("1.5e1", "15"),
        ("1.2E+05", "120000"),
        ("1200e-2", "12"),
        ("0.05e2", "5"),
        ("1e0000001", "10"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("0e999999", "0"),
    ] {
        assert_eq!(convert(cell, CellType::Integer).as_deref(), Ok(expected), "{cell}");
    }
    for cell in [
        "x",
        "6.5",
        "1e-1",
        "12e-3",
        "1.20e0",
        "1e999",
        "1e-999999",
        "--6",
        "6-",
        "1,000",
        "0x10",
        "NaN",
        "inf",
        ".",
        "e5",
        "1e5e5",
        "٣",
    ] {
        assert_eq!(convert(cell, CellType::Integer), Err(Unfit::Integer), "{cell}");
    }
}

#[test]
fn decimals_keep_their_digits() {
    for (cell, expected) in [
        ("2.55", "2.55"),
        ("2.10", "2.10"),
        ("18", "18"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-.5", "-0.5"),
        ("+2.5", "2.5"),
        ("-007.50", "-7.50"),
        (" 12 ", "12"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("1.5E+3", "1.5e3"),
        ("0", "0"),
        ("00", "0"),
    ] {
        assert_eq!(convert(cell, CellType::Number).as_deref(), Ok(expected), "{cell}");
    }
    for cell in ["x", "2,55", "1.2.3", "£2.55", "Infinity", "NaN", "1e", "1e+", "1e1234567", "-", "--1", ".", "٣"] {
        assert_eq!(convert(cell, CellType::Number), Err(Unfit::Number), "{cell}");
    }
}

#[test]
fn truth_has_many_words() {
    for cell in ["true", "TRUE", "yes", "Y", "1", "t"] {
        assert_eq!(convert(cell, CellType::Boolean).as_deref(), Ok("true"), "{cell}");
    }
    for cell in ["no", "0", " F "] {
        assert_eq!(convert(cell, CellType::Boolean).as_deref(), Ok("false"), "{cell}");
    }
    assert_eq!(convert("maybe", CellType::Boolean), Err(Unfit::Boolean));
}

#[test]
fn text_stays_as_it_is() {
    assert_eq!(convert("536365", CellType::String).as_deref(), Ok("\"536365\""));
    assert_eq!(convert(" ", CellType::String).as_deref(), Ok("\" \""));
    assert_eq!(convert("a \"b\"\n\\", CellType::String).as_deref(), Ok(r#""a \"b\"\n\\""#));
}

#[test]
fn json_cells_stay_on_their_line() {
    assert_eq!(convert("{\"a\":\n[1, 2.50]}", CellType::Json).as_deref(), Ok("{\"a\": [1, 2.50]}"));
    assert_eq!(convert("{\"a\":", CellType::Json), Err(Unfit::Json));
}

#[test]
fn an_empty_cell_leaves_the_field_out_unless_the_schema_requires_it() {
    let empty = |text: &str, cell, required, nullable| {
        let mut out = Vec::new();
        let written = ColumnType { cell, required, nullable }.write(text, &mut out)?;
        Ok(written.then(|| String::from_utf8(out).unwrap()))
    };
    assert_eq!(empty("", CellType::String, false, true), Ok(None));
    assert_eq!(empty("", CellType::String, true, false), Ok(Some("\"\"".to_owned())));
    assert_eq!(empty("", CellType::String, true, true), Ok(Some("null".to_owned())));
    for text in ["", " ", "\t"] {
        assert_eq!(empty(text, CellType::Integer, false, false), Ok(None));
        assert_eq!(empty(text, CellType::Integer, true, true), Ok(Some("null".to_owned())));
        assert_eq!(empty(text, CellType::Integer, true, false), Err(Unfit::Empty));
    }
}

#[test]
fn a_message_shows_only_the_beginning_of_a_long_cell() {
    let message = Unfit::Number.message(&"x".repeat(10_000));
    assert!(message.len() < 100 && message.ends_with("…\" is no number"), "{message}");
    assert_eq!(Unfit::Integer.message("six"), "\"six\" is no whole number");
}

#[test]
fn types_have_names() {
    assert_eq!("json".parse(), Ok(CellType::Json));
    assert!("float".parse::<CellType>().unwrap_err().to_string().contains("write string, integer"));
}

fn columns(schema: &Value) -> ColumnTypes {
    ColumnTypes::of(schema.as_object().unwrap())
}

#[test]
fn types_are_found_wherever_a_schema_may_say_them() {
    let types = columns(&json!({
        "type": "object",
        "required": ["InvoiceNo", "Quantity", "Unnamed"],
        "$defs": {"price": {"type": "number"}},
        "a/b": {"type": "boolean"},
        "properties": {
            "InvoiceNo": {"type": "string"},
            "Quantity": {"type": ["integer", "null"]},
            "UnitPrice": {"$ref": "#/$defs/price"},
            "Odd": {"$ref": "#/a~1b"},
            "Gift": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "Code": {"type": ["integer", "string"]},
            "Size": {"enum": [1, 2, 3]},
            "Rate": {"const": 1.5},
            "Tags": {"type": "array"},
            "Parent": {"$ref": "#"},
            "Loop": {"$ref": "#/properties/Loop"},
            "Free": {},
        },
    }));
    let want = |cell, required, nullable| ColumnType { cell, required, nullable };
    assert_eq!(types.get("InvoiceNo"), want(CellType::String, true, false));
    assert_eq!(types.get("Quantity"), want(CellType::Integer, true, true));
    assert_eq!(types.get("Unnamed"), want(CellType::String, true, false));
    assert_eq!(types.get("UnitPrice"), want(CellType::Number, false, false));
    assert_eq!(types.get("Odd"), want(CellType::Boolean, false, false));
    assert_eq!(types.get("Gift"), want(CellType::Boolean, false, true));
    assert_eq!(types.get("Code"), want(CellType::String, false, false));
    assert_eq!(types.get("Size"), want(CellType::Integer, false, false));
    assert_eq!(types.get("Rate"), want(CellType::Number, false, false));
    assert_eq!(types.get("Tags"), want(CellType::Json, false, false));
    assert_eq!(types.get("Parent"), want(CellType::Json, false, false));
    for name in ["Loop", "Free", "Absent"] {
        assert_eq!(types.get(name), ColumnType::default(), "{name}");
    }
    assert_eq!(ColumnTypes::of(&Map::new()).get("Absent"), ColumnType::default());
}

proptest! {
    #[test]
    fn every_string_comes_back_as_it_was(text in "\\PC+|[\\x00-\\x7f]+") {
        let written = convert(&text, CellType::String).unwrap();
        prop_assert!(!written.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }

    #[test]
    fn every_float_keeps_its_value(number in proptest::num::f64::NORMAL) {
        for text in [format!("{number:e}"), number.to_string()] {
            let written = convert(&text, CellType::Number).unwrap();
            prop_assert_eq!(serde_json::from_str::<f64>(&written).unwrap(), number);
        }
    }

    #[test]
    fn every_whole_number_keeps_its_value(number: i64, point in 0_usize..25, zeros in 0_usize..5) {
        let digits = format!("{}{}", number.unsigned_abs(), "0".repeat(zeros));
        let padded = format!("{digits:0>width$}", width = point + 1);
        let (whole, fraction) = padded.split_at(padded.len() - point);
        let sign = if number < 0 { "-" } else { "" };
        let exponent = i64::try_from(point).unwrap() - i64::try_from(zeros).unwrap();
        let written = convert(&format!("{sign}{whole}.{fraction}e{exponent}"), CellType::Integer).unwrap();
        prop_assert_eq!(written, number.to_string());
    }

    #[test]
    fn what_is_written_is_json_on_one_line_and_what_is_not_leaves_nothing(
        cell in "[-+0-9.eE]{1,12}|\\PC{1,20}|[\\x00-\\x7f]{1,10}"
    ) {
        for wanted in [CellType::String, CellType::Number, CellType::Integer, CellType::Boolean, CellType::Json] {
            let mut out = Vec::new();
            match (ColumnType { cell: wanted, ..ColumnType::default() }).write(&cell, &mut out) {
                Ok(true) => {
                    let text = String::from_utf8(out).unwrap();
                    prop_assert!(!text.contains(['\n', '\r']), "{}", text);
                    prop_assert!(serde_json::from_str::<&RawValue>(&text).is_ok(), "{:?}: {}", wanted, text);
                }
                Ok(false) | Err(_) => prop_assert!(out.is_empty(), "{:?}", wanted),
            }
        }
    }
}
