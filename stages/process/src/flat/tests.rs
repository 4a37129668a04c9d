#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::{decimal_text, parse_row};

fn read(text: &str) -> Option<FlatRow<'_>> {
    FlatRow::read(text.as_bytes())
}

#[test]
fn a_row_of_plain_fields_is_seen_as_it_is() {
    let text = " {\"a\" : \"é 1\",\r\n\"n\":-6, \"d\":2.550,\"w\":3.0,\"t\":true,\"f\":false,\"z\":null,\"\":\"\"}\n";
    let row = read(text).unwrap();
    let number = |text, whole| Flat::Number(FlatNumber { text, whole });
    assert_eq!(
        row.fields().collect::<Vec<_>>(),
        [
            ("a", Flat::Text("é 1")),
            ("n", number("-6", true)),
            ("d", number("2.55", false)),
            ("w", number("3", false)),
            ("t", Flat::Bool(true)),
            ("f", Flat::Bool(false)),
            ("z", Flat::Null),
            ("", Flat::Text("")),
        ]
    );
    assert_eq!(row.to_row(), parse_row(text.as_bytes()).unwrap());
    assert!(read("{}").unwrap().is_empty());
}

#[test]
fn what_is_not_flat_is_left_to_the_reader_of_json() {
    for value in [
        "[]",
        "{}",
        r#""a\n""#,
        r#""\"""#,
        "1e3",
        "1E3",
        "-0",
        "-0.0",
        "1234567890123456789",
        "1.123456789",
        "123456789.1234567",
        "01",
        "1.",
        ".1",
        "+1",
        "--1",
        "-",
        "nul",
        "trues",
        "\"\t\"",
        "\"open",
        "",
    ] {
        assert_eq!(read(&format!("{{\"a\":{value}}}")), None, "{value}");
    }
    for text in ["", "[]", "1", "{", "{\"a\"}", "{\"a\":1,}", "{,}", "{\"a\":1}}", "{\"a\":1} x", "{\"a\":1,\"a\":2}"] {
        assert_eq!(read(text), None, "{text}");
    }
    assert_eq!(FlatRow::read(b"{\"a\":\"\xff\"}"), None);
}

#[test]
fn the_number_of_fields_is_bounded() {
    let row = |fields: usize| {
        let fields: Vec<_> = (0..fields).map(|field| format!("\"f{field}\":{field}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let text = row(MAX_FIELDS);
    let mut full = read(&text).unwrap();
    assert_eq!(full.push("more", Flat::Null), None);
    assert_eq!(read(&row(MAX_FIELDS + 1)), None);
}

#[test]
fn a_field_is_added_once() {
    let mut row = read("{\"a\":1}").unwrap();
    assert_eq!(row.push("a", Flat::Null), None);
    assert_eq!(row.push("b", Flat::Text("x")), Some(()));
    assert_eq!(row.get("b"), Some(Flat::Text("x")));
}

/// Values of every kind, also such as are no JSON.
fn value() -> impl Strategy<Value = String> {
    let number =
        (any::<bool>(), 0_u64..=u64::MAX, 0_u32..20, prop::option::of("[0-9]{0,9}"), prop::option::of(-9_i32..9));
    let number = number.prop_map(|(negative, digits, shift, places, exponent)| {
        let sign = if negative { "-" } else { "" };
        let places = places.map(|places| format!(".{places}")).unwrap_or_default();
        // Most numbers have no exponent.
        let exponent = exponent.filter(|exponent| exponent % 4 == 0).map(|exponent| format!("e{exponent}"));
        format!("{sign}{}{places}{}", digits >> (shift * 3), exponent.unwrap_or_default())
    });
    prop_oneof![
        6 => number,
        4 => "[a-zA-Zé€ {}:,.-]{0,12}".prop_map(|text| format!("\"{text}\"")),
        1 => "(\\\\[nu\"x]|[\"\\\\\t]|a){0,5}".prop_map(|text| format!("\"{text}\"")),
        1 => Just("null".to_owned()),
        1 => Just("true".to_owned()),
        1 => Just("[1,{\"a\":2}]".to_owned()),
        1 => "[-+.0-9eEntf]{0,6}",
    ]
}

fn document() -> impl Strategy<Value = String> {
    let space = "[ \t\r\n]{0,2}";
    let field = (space, "[a-c]{0,2}", space, value(), space).prop_map(|(before, name, between, value, after)| {
        format!("{before}\"{name}\"{between}:{between}{value}{after}")
    });
    (prop::collection::vec(field, 0..6), prop::option::weighted(0.1, "[{}x ,]"))
        .prop_map(|(fields, after)| format!("{{{}}}{}", fields.join(","), after.unwrap_or_default()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_flat_row_is_what_the_reader_of_json_makes_of_it(text in document()) {
        if let Some(flat) = read(&text) {
            let row = parse_row(text.as_bytes());
            prop_assert_eq!(Ok(flat.to_row()), row.clone());
            for (name, value) in flat.fields() {
                if let (Flat::Number(number), Some(Value::Number(read))) = (value, row.as_ref().unwrap().0.get(name)) {
                    prop_assert_eq!(number.text(), decimal_text(read));
                    prop_assert_eq!(number.whole(), read.as_i64());
                }
            }
        }
    }

    #[test]
    fn rows_of_short_plain_values_are_flat(
        texts in prop::collection::vec("[a-zé #/]{0,20}", 0..8),
        cents in prop::collection::vec(-1_000_000_i64..1_000_000, 0..8),
    ) {
        let mut row = Map::new();
        row.extend(texts.iter().enumerate().map(|(index, text)| (format!("t{index}"), Value::from(text.as_str()))));
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let numbers = cents.iter().enumerate().map(|(index, cents)| (format!("n{index}"), Value::from(*cents as f64 / 100.0)));
        row.extend(numbers);
        let text = Value::Object(row.clone()).to_string();
        let flat = read(&text);
        // A negative zero is the one short number that is left to others.
        prop_assert_eq!(flat.map(|flat| flat.to_row().0), Some(row));
    }
}
