//! Hostile files, sent with `penstock send`.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bodies::{gzip, gzip_bomb};
use crate::shop::{Shop, peak_bytes};

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
/// What the client may hold at most: a few requests and what it reads ahead.
const CLIENT_PEAK_BYTES: u64 = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// What came of sending a file.
struct Sent {
    code: Option<i32>,
    summary: Value,
    errors: String,
    /// Line, code and field of each row that was not taken.
    rejects: Vec<[String; 3]>,
}

impl Sent {
    /// How many rows were accepted, refused by the endpoint, and bad before they were sent.
    fn counts(&self) -> [u64; 3] {
        ["rowsAccepted", "rowsRefused", "rowsBad"].map(|name| {
            self.summary[name].as_u64().unwrap_or_else(|| panic!("no {name}: {}{}", self.summary, self.errors))
        })
    }
}

fn send(shop: &Shop, name: &str, content: &[u8], arguments: &[&str]) -> Sent {
    let beside = |ending: &str| shop.folder.path().join(format!("{name}.{ending}"));
    let (file, rejects, out, errors) = (shop.folder.path().join(name), beside("rejects"), beside("out"), beside("log"));
    std::fs::write(&file, content).unwrap();
    let source = &shop.server.ready.sources[0];
    let mut command = Command::new(&shop.penstock);
    command
        .arg("send")
        .arg(&file)
        .args(["--to", &source.url, "--api-key-file"])
        .arg(source.api_key_file.as_ref().unwrap());
    command.args(["--quiet", "--output", "json", "--give-up-after", "30s", "--rejects"]).arg(&rejects).args(arguments);
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&errors).unwrap());
    let (code, peak) = watch(command.spawn().unwrap());
    assert!(peak < CLIENT_PEAK_BYTES, "the client held {} MiB", peak >> 20);
    let summary = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap_or(Value::Null);
    Sent { code, summary, errors: std::fs::read_to_string(errors).unwrap(), rejects: read_rejects(&rejects) }
}

/// Waits until it has ended; its exit code, and the most memory that it held.
fn watch(mut child: Child) -> (Option<i32>, u64) {
    let (began, mut peak) = (Instant::now(), 0);
    loop {
        peak = peak_bytes(child.id()).unwrap_or(peak);
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code(), peak);
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the client does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read_rejects(path: &Path) -> Vec<[String; 3]> {
    let Ok(mut reader) = csv::Reader::from_path(path) else { return Vec::new() };
    let mut rejects: Vec<_> = reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            assert!(!record[3].is_empty(), "no reason: {record:?}");
            [0, 1, 2].map(|column| record[column].to_owned())
        })
        .collect();
    rejects.sort_by_key(|[line, ..]| line.parse::<u64>().unwrap());
    rejects
}

fn rejects(expected: &[(u64, &str, &str)]) -> Vec<[String; 3]> {
    expected.iter().map(|(line, code, field)| [line.to_string(), (*code).to_owned(), (*field).to_owned()]).collect()
}

/// The row of a line without odd cells.
fn row(article: &str, description: &str) -> Value {
    json!({
        "InvoiceNo": "536365", "StockCode": article, "Description": description, "Quantity": 2,
        "InvoiceDate": "12/1/2010 8:26", "UnitPrice": 2.5, "CustomerID": "17850", "Country": "France",
    })
}

fn line(article: &str, description: &str) -> String {
    format!("536365,{article},{description},2,12/1/2010 8:26,2.5,17850,France\n")
}

#[test]
fn a_file_of_ten_thousand_rows_with_seven_bad_ones_reports_each_with_its_line() {
    let mut shop = Shop::open();
    let bad = [1, 2, 778, 4097, 5001, 9999, 10_000];
    let mut file = HEADER.to_owned();
    for number in 1..=10_000 {
        let text = line(&number.to_string(), "LANTERN");
        if bad.contains(&number) {
            file.push_str(&text.replace(",2,", ",two,"));
        } else {
            file.push_str(&text);
            shop.expect(row(&number.to_string(), "LANTERN"));
        }
    }
    let sent = send(&shop, "shop.csv", file.as_bytes(), &[]);
    assert_eq!(
        (sent.code, sent.counts().iter().sum::<u64>(), sent.counts()[0]),
        (Some(3), 10_000, 9_993),
        "{}",
        sent.errors
    );
    let lines: Vec<_> = sent.rejects.iter().map(|[line, _, field]| (line.parse().unwrap(), field.as_str())).collect();
    // The header is line 1.
    assert_eq!(lines, bad.map(|number| (number + 1, "Quantity")));
    shop.closes_well();
}

#[test]
fn odd_cells_of_a_file_arrive_as_they_were_meant_and_wrong_ones_are_reported() {
    let mut shop = Shop::open();
    let large = "x".repeat((1 << 20) + 1);
    let file = [
        HEADER,
        &line("a", "\"a \"\"quoted\"\"\r\nline, and\n\nmore\""),
        &line("b", "5\"\" pipe"),
        "536365,c,no customer,2,12/1/2010 8:26,2.5,,France\n",
        &line("d", "NUL\0"),
        "536365,e,too large,2,12/1/2010 8:26,1e400,17850,France\n",
        "536365,f,too long,123456789012345678901234567890,12/1/2010 8:26,2.5,17850,France\n",
        &line("g", &large),
        "536365,h,too,many,cells,2,12/1/2010 8:26,2.5,17850,France\n",
        &format!("{},i,long key,2,12/1/2010 8:26,2.5,17850,France\n", "k".repeat(257)),
        &line("j", "\"😀 the last\""),
    ]
    .concat();
    let sent = send(&shop, "odd.csv", file.as_bytes(), &[]);
    assert_eq!((sent.code, sent.counts()[0]), (Some(3), 4), "{}", sent.errors);
    let expected = rejects(&[
        (8, "nul_character", "Description"),
        (9, "number_out_of_range", "UnitPrice"),
        (10, "number_out_of_range", "Quantity"),
        (11, "row_too_large", ""),
        (12, "ragged_row", ""),
        (13, "schema_max_length", "InvoiceNo"),
    ]);
    assert_eq!(sent.rejects, expected);
    shop.expect(row("a", "a \"quoted\"\r\nline, and\n\nmore"));
    shop.expect(row("b", "5\"\" pipe"));
    let mut nobody = row("c", "no customer");
    nobody.as_object_mut().unwrap().remove("CustomerID");
    shop.expect(nobody);
    shop.expect(row("j", "😀 the last"));
    shop.closes_well();
}

#[test]
fn a_file_with_broken_utf_8_loses_no_row() {
    let mut shop = Shop::open();
    let latin = |articles: [&str; 3]| {
        let rows = [line(articles[0], "LANTERN"), line(articles[1], "café"), line(articles[2], "LANTERN")].concat();
        format!("{HEADER}{rows}").chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>()
    };
    // Whoever says that it is UTF-8 is told which row is not.
    let sent = send(&shop, "broken.csv", &latin(["a", "b", "c"]), &["--encoding", "utf-8"]);
    assert_eq!((sent.code, sent.counts()[0]), (Some(3), 2), "{}", sent.errors);
    assert_eq!(sent.rejects, rejects(&[(3, "encoding", "")]));
    shop.expect(row("a", "LANTERN"));
    shop.expect(row("c", "LANTERN"));
    // Else the set is told from the bytes.
    let sent = send(&shop, "detected.csv", &latin(["d", "e", "f"]), &[]);
    assert_eq!((sent.code, sent.counts()), (Some(0), [3, 0, 0]), "{}", sent.errors);
    shop.expect(row("d", "LANTERN"));
    shop.expect(row("e", "café"));
    shop.expect(row("f", "LANTERN"));
    shop.closes_well();
}

#[test]
fn compressed_files_that_are_cut_or_bombs_are_told_so_and_send_nothing_wrong() {
    let mut shop = Shop::open();
    let whole: String = (0..1000).map(|number| line(&number.to_string(), "LANTERN")).collect();
    let whole = gzip(format!("{HEADER}{whole}").as_bytes());
    let sent = send(&shop, "cut.csv.gz", &whole[..whole.len() / 2], &[]);
    assert_eq!(sent.code, Some(1), "{}", sent.errors);
    assert!(sent.errors.contains("cut.csv.gz"), "{}", sent.errors);
    // The client reads all of it, so that no row behind it is lost: one gigabyte is enough to wait for.
    let bomb =
        [gzip(format!("{HEADER}{}", line("before the bomb", "LANTERN")).as_bytes()), gzip_bomb(1 << 30)].concat();
    let sent = send(&shop, "bomb.csv.gz", &bomb, &[]);
    assert_eq!((sent.code, sent.counts()), (Some(3), [1, 0, 1]), "{}", sent.errors);
    shop.expect(row("before the bomb", "LANTERN"));
    shop.closes_well();
}
