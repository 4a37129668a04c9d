//! Rows that are wrong, each by itself, among others that are right.

use serde_json::{Value, json};

use crate::http::{CSV, JSON, NDJSON};
use crate::shop::{Shop, ndjson, order, order_with};
use crate::stores::Letter;

#[test]
fn of_ten_thousand_rows_the_seven_bad_ones_are_named_and_the_others_stored() {
    let mut shop = Shop::open();
    let bad = [0, 1, 777, 4096, 5000, 9998, 9999];
    let rows: Vec<Value> = (0..10_000)
        .map(|number: usize| {
            let mut row = order(&format!("article {number}"));
            row["InvoiceNo"] = json!((number / 20).to_string());
            if bad.contains(&number) {
                row["Quantity"] = json!("two");
            }
            row
        })
        .collect();
    let lines: Vec<_> = rows.iter().map(Value::to_string).collect();
    let answer = shop.post_as(&[("content-type", NDJSON), ("prefer", "return=minimal")], ndjson(&lines));
    assert_eq!(answer.status, 207);
    let told = answer.json();
    assert_eq!((&told["accepted"], &told["refused"]), (&json!(9993), &json!(7)));
    for (row, index) in told["rows"].as_array().unwrap().iter().zip(bad) {
        assert_eq!(
            (&row["index"], &row["code"], &row["field"]),
            (&json!(index), &json!("schema_type"), &json!("Quantity"))
        );
    }
    assert_eq!(told["rows"].as_array().unwrap().len(), bad.len());
    for (_, row) in rows.into_iter().enumerate().filter(|(number, _)| !bad.contains(number)) {
        shop.expect(row);
    }
    shop.closes_well();
}

/// A row as it comes, and what is told of it.
struct Sent {
    bytes: Vec<u8>,
    told: &'static str,
}

/// The bytes of a good row with one text exchanged.
fn spoilt(id: &str, text: &str, by: &[u8], told: &'static str) -> Sent {
    let row = order(id).to_string();
    let (before, after) = row.split_once(text).unwrap_or_else(|| panic!("no {text} in {row}"));
    Sent { bytes: [before.as_bytes(), by, after.as_bytes()].concat(), told }
}

#[test]
fn rows_that_cannot_be_are_refused_by_themselves() {
    let mut shop = Shop::open();
    let key = "k".repeat(257);
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let sent = [
        spoilt("nul", "LANTERN", b"LAN\0TERN", "not_json"),
        spoilt("bad utf-8", "LANTERN", b"LAN\xff\xfeTERN", "not_utf8"),
        spoilt("half a character", "LANTERN", b"caf\xc3", "not_utf8"),
        spoilt("half a pair", "LANTERN", br"\ud83d", "not_json Description"),
        spoilt("beyond a float", "2.5", b"1e400", "number_out_of_range UnitPrice"),
        spoilt(
            "beyond 64 bits",
            "\"Quantity\":2",
            b"\"Quantity\":123456789012345678901234567890",
            "number_out_of_range Quantity",
        ),
        spoilt("no number", "2.5", b"NaN", "not_json"),
        spoilt("too deep", "\"LANTERN\"", deep.as_bytes(), "too_deep Description"),
        spoilt("above 1 MiB", "\"LANTERN\"", long.as_bytes(), "row_too_large"),
        spoilt("long key", "536365", key.as_bytes(), "schema_max_length InvoiceNo"),
        spoilt("null customer", "\"17850\"", b"null", "schema_type CustomerID"),
        spoilt("empty customer", "17850", b"", "schema_min_length CustomerID"),
        spoilt("not closed", "}", b"", "not_json"),
        Sent { bytes: b"null".to_vec(), told: "not_an_object" },
    ];
    let mut lines = vec![order("the first").to_string().into_bytes()];
    lines.extend(sent.iter().map(|row| row.bytes.clone()));
    lines.push(order("behind them").to_string().into_bytes());
    let answer = shop.post(NDJSON, ndjson(&lines));
    let told: Vec<_> = ["ok"].into_iter().chain(sent.iter().map(|row| row.told)).chain(["ok"]).collect();
    assert_eq!((answer.status, answer.rows()), (207, told.iter().map(|told| (*told).to_owned()).collect()));
    shop.expect(order("the first"));
    shop.expect(order("behind them"));
    // Each alone, as the whole body. What is no JSON at all is no row.
    for row in &sent {
        let answer = shop.post(JSON, &row.bytes);
        match row.told {
            told if told.starts_with("not_") => {
                assert_eq!(answer.problem(), (400, "malformed_body".to_owned()))
            }
            told => assert_eq!((answer.status, answer.rows()), (422, vec![told.to_owned()])),
        }
    }
    shop.closes_well();
}

#[test]
fn odd_rows_that_are_right_come_through_as_they_are() {
    let mut shop = Shop::open();
    let mut nobody = order("no customer");
    nobody.as_object_mut().unwrap().remove("CustomerID");
    let rows = [
        order_with("written nul", "Description", json!("LAN\0TERN")),
        order_with("controls", "Description", json!("a\u{1}\u{7f}\u{2028}\r\nb\t\"c\" \\ d")),
        order_with("wide", "Description", json!("😀 e\u{301} \u{feff}\u{202e}")),
        order_with("digits", "Note", json!([i64::MAX, i64::MIN, 0.1, -1e-30])),
        order_with("nested", "Note", json!({"a": [{"b": null}, [], {}, "", false]})),
        nobody,
    ];
    let lines: Vec<_> = rows.iter().map(Value::to_string).collect();
    let answer = shop.post(NDJSON, ndjson(&lines));
    assert_eq!((answer.status, answer.rows()), (200, vec!["ok".to_owned(); rows.len()]));
    rows.into_iter().for_each(|row| shop.expect(row));
    shop.closes_well();
}

#[test]
fn what_a_table_cannot_hold_is_kept_raw_and_goes_to_dead_letters() {
    let mut shop = Shop::open();
    let huge = "x".repeat(500 << 10);
    let deep: Value = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let rows = [
        (order_with("above 400 KB", "Note", json!(huge)), "item_too_large", None),
        (order_with("beyond DynamoDB", "UnitPrice", json!(1e200)), "number_out_of_range", Some("Amount")),
        (order_with("too deep for it", "Note", deep), "too_deep", Some("Note")),
        (order_with("takes the key's place", "sk", json!("x")), "attribute_taken", Some("sk")),
    ];
    let mut lines: Vec<_> = rows.iter().map(|(row, ..)| row.to_string()).collect();
    lines.push(order("behind them").to_string());
    let answer = shop.post(NDJSON, ndjson(&lines));
    assert_eq!((answer.status, answer.rows()), (200, vec!["ok".to_owned(); lines.len()]));
    for (((row, reason, field), line), position) in rows.into_iter().zip(&lines).zip(answer.positions()) {
        shop.expect_no_item(row, Letter::new("tables", line.as_bytes(), &position, reason, field));
    }
    shop.expect(order("behind them"));
    // The largest that fits.
    let fits = order_with("400 KB", "Note", json!("x".repeat(400_000)));
    assert_eq!(shop.post(JSON, fits.to_string()).status, 200);
    shop.expect(fits);
    shop.closes_well();
}

#[test]
fn csv_with_line_breaks_and_quotes_in_cells_comes_out_as_it_was_meant() {
    let mut shop = Shop::open();
    let body = b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\r\n\
        1,a,\"a \"\"quoted\"\"\r\nline, and\n\nmore\",-3,12/1/2010,2.55,17850\r\n\
        1,b,,6,12/1/2010,1.25,\r\n\
        1,c,5\" pipe,6,12/1/2010,1.25,17850\r\n\
        1,d,Caf\xe9,6,12/1/2010,1.25,17850\r\n\
        1,e,NUL\0,6,12/1/2010,1.25,17850\r\n\
        1,f,too large,6,12/1/2010,1e400,17850\r\n\
        1,g,six,six,12/1/2010,1.25,17850\r\n\
        1,h,too,many,6,12/1/2010,1.25,17850\r\n\
        1,i,\"the last, without a line's end\",1,12/1/2010,7.5,\"17850\"";
    let answer = shop.post(CSV, body);
    let told = [
        "ok",
        "ok",
        "ok",
        "not_utf8 Description",
        "nul_character Description",
        "number_out_of_range UnitPrice",
        "schema_type Quantity",
        "csv_columns",
        "ok",
    ];
    assert_eq!((answer.status, answer.rows()), (207, told.map(str::to_owned).to_vec()));
    let row = |article: &str, description: Option<&str>, quantity: i64, price: f64, customer: Option<&str>| {
        let mut row = json!({
            "InvoiceNo": "1", "StockCode": article, "Quantity": quantity, "InvoiceDate": "12/1/2010", "UnitPrice": price,
        });
        description.into_iter().for_each(|text| row["Description"] = json!(text));
        customer.into_iter().for_each(|text| row["CustomerID"] = json!(text));
        row
    };
    shop.expect(row("a", Some("a \"quoted\"\r\nline, and\n\nmore"), -3, 2.55, Some("17850")));
    shop.expect(row("b", None, 6, 1.25, None));
    shop.expect(row("c", Some("5\" pipe"), 6, 1.25, Some("17850")));
    shop.expect(row("i", Some("the last, without a line's end"), 1, 7.5, Some("17850")));
    // The same bytes in the set that they are in.
    let answer = shop.post(
        "text/csv; charset=iso-8859-1",
        b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice\n1,d,Caf\xe9,6,12/1/2010,1.25\n",
    );
    assert_eq!((answer.status, answer.rows()), (200, vec!["ok".to_owned()]));
    shop.expect(row("d", Some("Café"), 6, 1.25, None));
    shop.closes_well();
}

#[test]
fn a_partition_key_of_256_characters_is_taken_and_one_of_257_is_not() {
    let mut shop = Shop::open_with(|pipeline| {
        let wide = pipeline.replacen("maxLength: 16", "maxLength: 1000", 1);
        assert_ne!(wide, pipeline);
        wide
    });
    let rows: Vec<_> = [("x", 256), ("é", 256), ("x", 257), ("é", 257), ("x", 1000)]
        .into_iter()
        .map(|(letter, length)| order_with(&format!("{length} {letter}"), "InvoiceNo", json!(letter.repeat(length))))
        .collect();
    let lines: Vec<_> = rows.iter().map(Value::to_string).collect();
    let answer = shop.post(NDJSON, ndjson(&lines));
    let too_long = "partition_key_too_long InvoiceNo";
    assert_eq!(
        (answer.status, answer.rows()),
        (207, ["ok", "ok", too_long, too_long, too_long].map(str::to_owned).to_vec())
    );
    rows.into_iter().take(2).for_each(|row| shop.expect(row));
    shop.closes_well();
}
