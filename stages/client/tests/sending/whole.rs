//! Whole files.

use std::io::Write;

use penstock_client::{CellType, Compression, End, dry_run};
use server::Fault;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_row_arrives_once_with_the_types_of_the_schema_and_in_the_order_of_its_key() {
    let shop = Shop::new(5_000);
    let server = Server::start(shop_endpoint()).await;
    let summary = run(options(&shop.file(), &server)).await.unwrap();
    assert_eq!((summary.exit_code(), summary.counts.rows_accepted), (0, 5_000));
    assert_eq!((summary.encoding.as_str(), summary.delimiter.as_str(), summary.lanes), ("windows-1252", ",", 4));
    assert_eq!((summary.counts.rows_sent, summary.counts.rows_sent_again, summary.rows_unsent), (5_000, 0, 0));
    let rows = server.rows();
    assert_eq!(rows.len(), 5_000);
    assert_whole_shop(&rows, &shop);
    assert_order_per_key(&rows, "InvoiceNo");
    assert!(rows.iter().any(|row| row["Description"].as_str().is_some_and(|text| text.contains("CAFÉ"))));
    assert!(rows.iter().any(|row| row.get("CustomerID").is_none()), "empty cells are left out");
    assert!(!shop.path("orders.csv.rejected.csv").exists());
    let pence: i64 = rows
        .iter()
        .map(|row| {
            let price: f64 = row["UnitPrice"].as_f64().unwrap();
            (price * 100.0).round() as i64 * row["Quantity"].as_i64().unwrap()
        })
        .sum();
    assert_eq!(penstock_client::totals::Amount::from_pence(pence), shop.totals.revenue);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_has_the_same_ids_however_it_is_packed_and_sent() {
    let shop = Shop::new(700);
    let content = std::fs::read(shop.file()).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&content).unwrap();
    std::fs::write(shop.path("packed.gz"), gzip.finish().unwrap()).unwrap();
    std::fs::write(shop.path("packed.zst"), zstd::encode_all(&content[..], 1).unwrap()).unwrap();
    let mut seen = Vec::new();
    for (name, compression) in
        [("orders.csv", Compression::None), ("packed.gz", Compression::Gzip), ("packed.zst", Compression::Zstd)]
    {
        let server = Server::start(shop_endpoint()).await;
        let mut options = options(&shop.path(name), &server);
        options.compression = compression;
        assert_eq!(run(options).await.unwrap().exit_code(), 0);
        let mut rows = server.rows();
        rows.sort_by_key(line);
        seen.push(rows);
    }
    assert_eq!(seen[0].len(), 700);
    assert!(seen[0] == seen[1] && seen[1] == seen[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_partition_key_all_rows_keep_their_order() {
    let shop = Shop::new(1_000);
    let server = Server::start(Config { id_field: Some("_id"), ..Config::default() }).await;
    let summary = run(options(&shop.file(), &server)).await.unwrap();
    assert_eq!(summary.lanes, 1);
    let lines: Vec<u64> = server.rows().iter().map(line).collect();
    assert!(lines.is_sorted() && lines.len() == 1_000);
    assert!(server.rows().iter().all(|row| row["Quantity"].is_string()), "without a schema all are strings");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_a_schema_that_tells_its_partition_key_gets_several_requests_at_a_time() {
    // Many small invoices, so that every lane gets its share of them.
    let rows: String = (0..2_000).map(|row| format!("{},{row}\n", row / 4)).collect();
    let (_folder, path) = file(format!("InvoiceNo,Quantity\n{rows}"));
    let server = Server::start(Config { schema: None, ..shop_endpoint() }).await;
    let releases = [(); 4].map(|()| Arc::new(tokio::sync::Notify::new()));
    server.fail_with(releases.clone().map(Fault::Wait));
    let running = tokio::spawn(run(options(&path, &server)));
    server.was_asked(4).await;
    // Nobody was answered yet: all four are on their way at the same time.
    assert!(server.rows().is_empty());
    releases.iter().for_each(|release| release.notify_one());
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.lanes, summary.counts.rows_accepted), (4, 2_000));
    assert_order_per_key(&server.rows(), "InvoiceNo");
}

#[tokio::test(flavor = "multi_thread")]
async fn spaces_around_a_columns_name_do_not_belong_to_it() {
    let (_folder, path) = file("InvoiceNo, Quantity\n1,6\n");
    let schema = json!({"properties": {"Quantity": {"type": "integer"}}});
    let server = Server::start(Config { schema: Some(schema), id_field: Some("_id"), ..Config::default() }).await;
    run(options(&path, &server)).await.unwrap();
    assert_eq!(server.rows()[0]["Quantity"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_bad_or_refused_are_reported_with_their_line_and_text() {
    let text = "InvoiceNo,Description,Quantity\r\n\
                1,fine,1\r\n\
                2,too,many,fields\r\n\
                3,\"on two\r\nlines, six\",six\r\n\
                4,UGLY £,4\r\n\
                5,fine,5\r\n\
                6,\"open,6\r\n";
    let (folder, path) = file(text);
    let schema = json!({"properties": {"Quantity": {"type": "integer"}}});
    let server = Server::start(Config { schema: Some(schema), refuse: Some("UGLY"), ..Config::default() }).await;
    let summary = run(options(&path, &server)).await.unwrap();
    assert_eq!(summary.exit_code(), 3);
    assert_eq!((summary.counts.rows_accepted, summary.counts.rows_refused, summary.counts.rows_bad), (2, 1, 3));
    let rejects = summary.rejects.unwrap();
    assert_eq!(rejects, folder.path().join("orders.csv.rejected.csv"));
    let mut rows: Vec<Vec<String>> = csv::Reader::from_path(rejects)
        .unwrap()
        .records()
        .map(|row| row.unwrap().iter().map(str::to_owned).collect())
        .collect();
    rows.sort();
    let codes: Vec<[&str; 4]> =
        rows.iter().map(|row| [&row[0], &row[1], &row[2], &row[4]].map(String::as_str)).collect();
    assert_eq!(
        codes,
        [
            ["3", "ragged_row", "", "2,too,many,fields"],
            ["4", "not_an_integer", "Quantity", "3,\"on two\r\nlines, six\",six"],
            ["6", "schema_type", "Description", "4,UGLY £,4"],
            ["8", "quote_not_closed", "", "6,\"open,6"],
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_list_every_row_are_understood_too() {
    let shop = Shop::new(500);
    let config = Config { complete_answers: true, refuse: Some("\"C5"), ..shop_endpoint() };
    let server = Server::start(config).await;
    let summary = run(options(&shop.file(), &server)).await.unwrap();
    assert_eq!(summary.counts.rows_refused, shop.totals.cancellation_rows);
    assert_eq!(server.rows().len() as u64, shop.totals.rows - shop.totals.cancellation_rows);
    assert_eq!(summary.exit_code(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_utf16_with_semicolons_is_read() {
    let text = "Nr;Name;Prix\r\n1;Café;2,55\r\n2;;3\r\n";
    let mut bytes = vec![0xff, 0xfe];
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    let (_folder, path) = file(bytes);
    let server = Server::start(Config::default()).await;
    let mut options = options(&path, &server);
    options.decimal_comma = true;
    options.types = vec![("Prix".to_owned(), CellType::Number)];
    options.renames = vec![("Nr".to_owned(), "InvoiceNo".to_owned())];
    options.id_field = Some("id".to_owned());
    let summary = run(options).await.unwrap();
    assert_eq!((summary.encoding.as_str(), summary.delimiter.as_str()), ("utf-16le", ";"));
    let mut rows = server.rows();
    for row in &mut rows {
        assert_eq!(row.as_object_mut().unwrap().remove("id").unwrap().as_str().unwrap().len(), 18);
    }
    assert_eq!(rows, [json!({"InvoiceNo": "1", "Name": "Café", "Prix": 2.55}), json!({"InvoiceNo": "2", "Prix": 3})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_what_would_be_sent_and_sends_nothing() {
    let shop = Shop::new(300);
    let server = Server::start(shop_endpoint()).await;
    let printed = shop.path("printed.ndjson");
    let out = Box::new(std::fs::File::create(&printed).unwrap());
    let summary = dry_run(options(&shop.file(), &server), out, Arc::new(Progress::new()), CancellationToken::new())
        .await
        .unwrap();
    assert!(matches!(summary.end, End::Complete) && server.requests().is_empty());
    let text = std::fs::read_to_string(printed).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_whole_shop(&rows, &shop);
    run(options(&shop.file(), &server)).await.unwrap();
    let mut sent = server.rows();
    sent.sort_by_key(line);
    assert_eq!(sent, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_pipe_are_sent_while_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let server = Server::start(Config { id_field: Some("_id"), ..Config::default() }).await;
    let running = tokio::spawn(run(options(&path, &server)));
    let mut pipe = tokio::task::spawn_blocking({
        let path = path.clone();
        move || std::fs::OpenOptions::new().write(true).open(path).unwrap()
    })
    .await
    .unwrap();
    pipe.write_all(b"a,b\n1,2\n").unwrap();
    server.took(1).await;
    pipe.write_all(b"3,4\n5,6\n").unwrap();
    server.took(3).await;
    drop(pipe);
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.exit_code(), summary.counts.rows_accepted), (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paced_run_sends_a_tenth_of_a_seconds_rows_without_waiting_for_a_full_batch() {
    let shop = Shop::new(60);
    let server = Server::start(Config { id_field: Some("_id"), ..Config::default() }).await;
    let mut options = options(&shop.file(), &server);
    options.rate = std::num::NonZeroU32::new(200);
    assert_eq!(run(options).await.unwrap().counts.rows_accepted, 60);
    assert_eq!(server.requests()[0], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_sent_and_a_missing_one_is_told_in_the_endpoints_words() {
    let shop = Shop::new(50);
    let server = Server::start(Config { key: Some("secret"), ..shop_endpoint() }).await;
    let summary = run(options(&shop.file(), &server)).await.unwrap();
    assert_eq!((summary.exit_code(), summary.rows_unsent), (1, 50));
    let error = summary.end.error().unwrap();
    assert!(error.contains("401") && error.contains("no such key") && error.contains("ask for one"), "{error}");
    let mut options = options(&shop.file(), &server);
    options.api_key = Some(penstock_client::ApiKey::new("secret\n"));
    assert_eq!(run(options).await.unwrap().exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_sent_are_told_before_anything_is() {
    let server = Server::start(shop_endpoint()).await;
    for (text, reason) in [
        (&b""[..], "no_header"),
        (b"a,a\n1,2\n", "header"),
        (b"InvoiceNo,StockCode\n1,2\n", "required_column"),
        (b"\x1f\x8b\x08broken gzip", "read"),
        (b"a\0,\0b\0\n\0", "header"),
    ] {
        let (_folder, path) = file(text);
        let error = run(options(&path, &server)).await.unwrap_err();
        assert_eq!((error.reason(), error.exit_code()), (reason, 1), "{}", error.chain());
    }
    let missing = run(options(Path::new("/nowhere/orders.csv"), &server)).await.unwrap_err();
    assert_eq!(missing.reason(), "open");
    assert!(server.requests().is_empty());
}
