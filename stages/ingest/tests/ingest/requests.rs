//! What a client sends and what it is told: formats, limits, hostile bodies.

use std::io::Write;
use std::time::Duration;

use crate::common::{CSV, JSON, NDJSON, PATH, Served, StandIn, accepted, codes, request, row, stage, start};
use penstock_runtime::http::ApiKey;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_format_and_coding_is_taken_and_each_row_is_where_the_answer_says() {
    let (stage, stream) = start().await;
    let (a, b) = (r#"{"InvoiceNo":"a","UnitPrice":2.550000000000000000001}"#, r#"{"InvoiceNo":"b","Quantity":6}"#);
    let array = format!("[\n  {a},\n  {b}\n]");
    let csv = "InvoiceNo,UnitPrice,Quantity\r\na,2.550000000000000000001,\r\nb,,6\r\n";
    let bodies: [(_, &[u8], &[&str]); 4] = [
        (JSON, a.as_bytes(), &[a]),
        (JSON, array.as_bytes(), &[a, b]),
        (NDJSON, &[a.as_bytes(), b"\n\n", b.as_bytes()].concat(), &[a, b]),
        (CSV, csv.as_bytes(), &[a, b]),
    ];
    for (format, body, rows) in bodies {
        for (coding, body) in
            [("identity", body.to_vec()), ("gzip", gzip(body)), ("zstd", zstd::encode_all(body, 1).unwrap())]
        {
            let answer = stage.post(&[format, ("content-encoding", coding)], body).await;
            assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&answer.body));
            assert_eq!(answer.json()["accepted"], rows.len());
            let (stored, accepted) = (stream.by_position(), accepted(&answer));
            let stored: Vec<_> = accepted.values().map(|position| stored[position].as_str()).collect();
            assert_eq!(stored, rows, "{coding}");
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn of_ten_thousand_rows_the_seven_bad_ones_are_named() {
    let (stage, stream) = start().await;
    let bad = [0, 1, 777, 4096, 5000, 9998, 9999];
    let mut body = String::new();
    for number in 0..10_000_u64 {
        match bad.contains(&number) {
            true => body.push_str(&json!({"InvoiceNo": number}).to_string()),
            false => body.push_str(&row(&(number / 20).to_string(), number).to_string()),
        }
        body.push('\n');
    }
    let answer = stage.post(&[NDJSON, ("prefer", "return=minimal")], &body).await;
    assert_eq!((answer.status, answer.headers["preference-applied"].as_str()), (207, "return=minimal"));
    let told = answer.json();
    assert_eq!((&told["accepted"], &told["refused"]), (&json!(9993), &json!(7)));
    let named: Vec<_> = told["rows"].as_array().unwrap().iter().map(|row| row["index"].as_u64().unwrap()).collect();
    assert_eq!(named, bad);
    assert_eq!((&told["rows"][2]["code"], &told["rows"][2]["field"]), (&json!("schema_type"), &json!("InvoiceNo")));
    assert_eq!(stream.records().len(), 9993);
    assert!(stream.stream_records() <= 20, "{} stream records", stream.stream_records());

    let full = stage.post(&[NDJSON], &body).await;
    let places: Vec<u64> = accepted(&full).keys().map(|place| *place as u64).collect();
    assert_eq!(places, (0..10_000).filter(|number| !bad.contains(number)).collect::<Vec<_>>());
    stage.end().await;
}

#[tokio::test]
async fn hostile_rows_are_refused_by_themselves() {
    let (stage, stream) = start().await;
    let (long_key, bomb) = ("k".repeat(257), format!("{}{}", "[".repeat(5000), "]".repeat(5000)));
    let large = format!("{{\"InvoiceNo\":\"1\",\"x\":\"{}\"}}", "x".repeat(1 << 20));
    let rows: [(&[u8], &str); 14] = [
        (br#"{"InvoiceNo":"good"}"#, "ok"),
        (b"{\"InvoiceNo\":\"\xff\xfe\"}", "not_utf8"),
        (b"{\"InvoiceNo\":\"\0\"}", "not_json"),
        (br#"{"InvoiceNo":"\ud800"}"#, "not_json"),
        (br#"{"InvoiceNo":"1","x":1e400}"#, "number_out_of_range"),
        (br#"{"InvoiceNo":"1","x":123456789012345678901234567890}"#, "number_out_of_range"),
        (&[br#"{"InvoiceNo":"1","x":"#, bomb.as_bytes(), b"}"].concat(), "too_deep"),
        (&[br#"{"InvoiceNo":""#, long_key.as_bytes(), br#""}"#].concat(), "partition_key_too_long"),
        (br#"{"InvoiceNo":""}"#, "partition_key_empty"),
        (br#"{"InvoiceNo":null}"#, "schema_type"),
        (br#"{"Quantity":1}"#, "schema_required"),
        (br#"{"InvoiceNo":"1""#, "not_json"),
        (large.as_bytes(), "row_too_large"),
        (br#"{"InvoiceNo":"also good"}"#, "ok"),
    ];
    let body = rows.iter().flat_map(|(row, _)| [row, &b"\n"[..]]).collect::<Vec<_>>().concat();
    let answer = stage.post(&[NDJSON], &body).await;
    assert_eq!(codes(&answer), rows.map(|(_, code)| code));
    // The same as an array, without the row whose end cannot be found.
    let rows: Vec<_> = rows.iter().filter(|(row, _)| *row != br#"{"InvoiceNo":"1""#).collect();
    let body = [b"[", rows.iter().map(|(row, _)| *row).collect::<Vec<_>>().join(&b","[..]).as_slice(), b"]"].concat();
    let answer = stage.post(&[JSON], &body).await;
    assert_eq!(codes(&answer), rows.iter().map(|(_, code)| *code).collect::<Vec<_>>());
    assert_eq!(stream.records().len(), 4);

    let largest = format!("{{\"InvoiceNo\":\"{}\",\"x\":\"{}\"}}", "é".repeat(256), "x".repeat((1 << 20) - 1024 - 535));
    assert_eq!(largest.len(), (1 << 20) - 1024);
    assert_eq!(stage.post(&[JSON], largest).await.status, 200);
    stage.end().await;
}

#[tokio::test]
async fn csv_with_line_breaks_and_quotes_in_cells_comes_out_as_it_was_meant() {
    let (stage, stream) = start().await;
    let body = b"InvoiceNo,Description,Quantity\r\n1,\"a \"\"quoted\"\"\r\nline\",-3\n2,Caf\xe9,x\n3,too,many,cells\n";
    let answer = stage.post(&[("content-type", "text/csv; charset=iso-8859-1")], body).await;
    assert_eq!(answer.status, 207);
    assert_eq!(codes(&answer), ["ok", "schema_type", "csv_columns"]);
    let stored: serde_json::Value = serde_json::from_slice(&stream.records()[0].1.data).unwrap();
    assert_eq!(stored, json!({"InvoiceNo": "1", "Description": "a \"quoted\"\r\nline", "Quantity": -3}));
    assert!(!stream.records()[0].1.data.contains(&b'\n'));
    stage.end().await;
}

#[tokio::test]
async fn a_body_that_stops_halfway_leaves_nothing_behind() {
    let (stage, stream) = start().await;
    let whole = format!("{}\n", row("a", 1)).repeat(1000);
    for (body, header) in [
        (whole.as_bytes()[..whole.len() / 2].to_vec(), format!("content-length: {}", whole.len())),
        (format!("{:x}\r\n{}\r\n", whole.len(), whole).into_bytes(), "transfer-encoding: chunked".to_owned()),
    ] {
        let mut connection = TcpStream::connect(stage.running.local_addr()).await.unwrap();
        let head = format!("{}{header}\r\n\r\n", crate::common::http::head("POST", PATH, &[NDJSON]));
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&body).await.unwrap();
        connection.shutdown().await.unwrap();
        if let Some(answer) = crate::common::http::answer(&mut connection).await {
            assert_eq!(answer.problem(), (400, "incomplete_body".to_owned()));
        }
    }
    let halved = gzip(whole.as_bytes());
    let answer = stage.post(&[NDJSON, ("content-encoding", "gzip")], &halved[..halved.len() / 2]).await;
    assert_eq!(answer.problem(), (400, "incomplete_body".to_owned()));
    assert_eq!(stage.post(&[JSON], r#"[{"InvoiceNo":"a"},{"Invo"#).await.problem().1, "malformed_body");
    assert_eq!(stage.post(&[JSON], row("a", 1).to_string()).await.status, 200);
    assert_eq!(stream.records().len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_slow_body_and_a_slow_head_are_cut_off() {
    let stream = StandIn::start(1).await;
    let mut slow = stage();
    slow.body_timeout_millis = 200;
    let stage = Served::start(slow, &stream.endpoint_url()).await;
    let mut connection = TcpStream::connect(stage.running.local_addr()).await.unwrap();
    let head = format!("{}content-length: 100\r\n\r\n{{", crate::common::http::head("POST", PATH, &[JSON]));
    connection.write_all(head.as_bytes()).await.unwrap();
    let answer = crate::common::http::answer(&mut connection).await.unwrap();
    assert_eq!(answer.problem(), (408, "body_too_slow".to_owned()));
    let mut connection = TcpStream::connect(stage.running.local_addr()).await.unwrap();
    connection.write_all(b"POST /orders HT").await.unwrap();
    assert!(crate::common::http::answer(&mut connection).await.is_none(), "closed without an answer");
    stage.end().await;
}

#[tokio::test]
async fn what_a_request_must_not_be_is_told_with_its_cure() {
    let stream = StandIn::start(1).await;
    let mut small = stage();
    (small.max_body_bytes, small.max_decompressed_bytes, small.max_rows) = (100_000, 200_000, 3);
    let stage = Served::start(small, &stream.endpoint_url()).await;
    let good = row("a", 1).to_string();
    let problem = async |headers: &[(&str, &str)], body: &[u8]| stage.post(headers, body).await.problem();
    let is = |status: u16, code: &str| (status, code.to_owned());

    assert_eq!(problem(&[JSON], b"").await, is(400, "malformed_body"));
    assert_eq!(problem(&[JSON], b"{\"a\" 1}").await, is(400, "malformed_body"));
    assert_eq!(problem(&[JSON], b"\"text\"").await, is(400, "malformed_body"));
    assert_eq!(problem(&[CSV], b"").await, is(400, "malformed_body"));
    assert_eq!(problem(&[JSON, ("content-encoding", "gzip")], b"not gzip at all").await, is(400, "malformed_body"));
    assert_eq!(problem(&[], good.as_bytes()).await, is(415, "unsupported_type"));
    assert_eq!(problem(&[JSON, ("content-encoding", "br")], b"x").await, is(415, "unsupported_encoding"));
    assert_eq!(problem(&[("content-type", "text/csv; charset=x")], b"x").await, is(415, "unsupported_charset"));
    assert_eq!(problem(&[JSON], &vec![b' '; 150_000]).await, is(413, "body_too_large"));
    assert_eq!(
        problem(&[NDJSON, ("content-encoding", "gzip")], &gzip(&vec![b' '; 200_001])).await,
        is(413, "decompressed_too_large")
    );
    assert_eq!(problem(&[NDJSON], b"{}\n{}\n{}\n{}\n").await, is(413, "too_many_rows"));

    let addr = stage.running.local_addr();
    let answer = request(addr, "GET", PATH, &[], b"").await;
    assert_eq!((answer.problem(), answer.headers["allow"].as_str()), (is(405, "method_not_allowed"), "POST"));
    let answer = request(addr, "POST", "/orders/schema", &[], b"").await;
    assert_eq!((answer.problem(), answer.headers["allow"].as_str()), (is(405, "method_not_allowed"), "GET, HEAD"));
    assert_eq!(request(addr, "POST", "/other", &[], b"").await.problem(), is(404, "not_found"));
    assert_eq!(stage.post(&[NDJSON], "").await.json(), json!({"accepted": 0, "refused": 0, "rows": []}));
    assert_eq!(stage.post(&[JSON], &good).await.status, 200);
    assert_eq!(stream.records().len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_chunked_body_is_stopped_at_the_limit() {
    let stream = StandIn::start(1).await;
    let mut small = stage();
    small.max_body_bytes = 100_000;
    let stage = Served::start(small, &stream.endpoint_url()).await;
    let mut connection = TcpStream::connect(stage.running.local_addr()).await.unwrap();
    let head = format!("{}transfer-encoding: chunked\r\n\r\n", crate::common::http::head("POST", PATH, &[NDJSON]));
    connection.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..15 {
        let _ = connection.write_all(format!("2710\r\n{}\r\n", " ".repeat(10_000)).as_bytes()).await;
    }
    let _ = connection.write_all(b"0\r\n\r\n").await;
    let answer = crate::common::http::answer(&mut connection).await.unwrap();
    assert_eq!(answer.problem(), (413, "body_too_large".to_owned()));
    stage.end().await;
}

#[tokio::test]
async fn only_a_good_key_opens_the_source() {
    let stream = StandIn::start(1).await;
    let mut closed = stage();
    closed.api_keys_secret = Some("ecommerce-keys".to_owned());
    let stage = Served::start(closed, &stream.endpoint_url()).await;
    let body = row("a", 1).to_string();
    let answer = stage.post(&[JSON], &body).await;
    assert_eq!(answer.problem(), (401, "missing_key".to_owned()));
    assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
    assert_eq!(stage.post(&[JSON, ("x-api-key", "k1")], &body).await.problem(), (403, "wrong_key".to_owned()));
    stage.keys.replace([ApiKey::new("shop", "k1")]);
    assert_eq!(stage.post(&[JSON, ("x-api-key", "k1")], &body).await.status, 200);
    assert_eq!(stage.post(&[JSON, ("authorization", "Bearer k1")], &body).await.status, 200);
    assert_eq!(request(stage.running.local_addr(), "GET", "/orders/schema", &[], b"").await.problem().0, 401);
    stage.end().await;
}

#[tokio::test]
async fn a_source_tells_its_schema_its_partition_key_and_its_id_field() {
    let stream = StandIn::start(1).await;
    let mut with = stage();
    with.id_field = Some("_id".to_owned());
    let schema = serde_json::Value::Object(with.schema.clone().unwrap());
    let served = Served::start(with, &stream.endpoint_url()).await;
    let answer = request(served.running.local_addr(), "GET", "/orders/schema", &[], b"").await;
    assert_eq!((answer.status, answer.json()), (200, schema));
    assert_eq!(answer.headers["content-type"], "application/schema+json");
    assert_eq!(answer.headers["x-penstock-partition-key"], "{InvoiceNo}");
    assert_eq!(answer.headers["x-penstock-id-field"], "_id");
    served.end().await;

    let mut without = stage();
    (without.schema, without.id_field) = (None, Some("_id".to_owned()));
    without.partition_key = "{Größe}/{InvoiceNo}".to_owned();
    let served = Served::start(without, &stream.endpoint_url()).await;
    let answer = request(served.running.local_addr(), "GET", "/orders/schema", &[], b"").await;
    assert_eq!(answer.problem(), (404, "not_found".to_owned()));
    assert_eq!(answer.headers["x-penstock-partition-key"], "{Größe}/{InvoiceNo}");
    assert_eq!(answer.headers["x-penstock-id-field"], "_id");
    served.end().await;
}

#[tokio::test]
async fn a_record_that_came_without_an_id_has_one_in_the_stream() {
    let stream = StandIn::start(1).await;
    let mut with = stage();
    with.id_field = Some("_id".to_owned());
    let stage = Served::start(with, &stream.endpoint_url()).await;
    let answer = stage.post(&[CSV], "InvoiceNo,_id\na,\na,own\n").await;
    assert_eq!(answer.status, 200);
    let ids: Vec<_> = stream
        .records()
        .iter()
        .map(|(_, record)| serde_json::from_slice::<serde_json::Value>(&record.data).unwrap()["_id"].clone())
        .collect();
    assert!(ids[0].as_str().is_some_and(|id| id.len() == 36), "{ids:?}");
    assert_eq!(ids[1], "own");
    stage.end().await;
}

#[tokio::test]
async fn a_stage_that_is_asked_to_end_answers_what_it_has_begun() {
    let (stage, _stream) = start().await;
    let addr = stage.running.local_addr();
    let mut connection = TcpStream::connect(addr).await.unwrap();
    let body = row("a", 1).to_string();
    let head = format!("{}content-length: {}\r\n\r\n", crate::common::http::head("POST", PATH, &[JSON]), body.len());
    connection.write_all(head.as_bytes()).await.unwrap();
    // A second request on a connection of its own shows that the first is being read.
    assert_eq!(stage.post(&[JSON], &body).await.status, 200);
    stage.stop.drain.cancel();
    let gone = async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    assert!(!stage.health.is_ready());
    connection.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(crate::common::http::answer(&mut connection).await.unwrap().status, 200);
    stage.running.finished().await.unwrap();
}
