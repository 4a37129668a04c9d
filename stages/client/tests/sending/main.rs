//! The client against an endpoint over real HTTP: everything arrives, in order, also when things go wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

mod choosing;
mod faults;
mod resuming;
mod server;
mod whole;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use penstock_client::sample::{SampleOptions, generate};
use penstock_client::totals::Totals;
use penstock_client::{Input, Progress, SendError, SendOptions, Summary, send};
use serde_json::{Value, json};
use server::{Config, Server};
use tokio_util::sync::CancellationToken;

/// A folder with a file of shop data.
struct Shop {
    folder: tempfile::TempDir,
    totals: Totals,
}

impl Shop {
    fn new(rows: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(folder.path().join("orders.csv")).unwrap();
        let totals = generate(SampleOptions { rows, seed: rows }, &mut file).unwrap();
        Self { folder, totals }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("orders.csv")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A file with this text.
fn file(text: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.csv");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn shop_endpoint() -> Config {
    Config {
        schema: Some(json!({
            "type": "object",
            "required": ["InvoiceNo", "StockCode", "Quantity", "UnitPrice"],
            "properties": {
                "InvoiceNo": {"type": "string"},
                "StockCode": {"type": "string"},
                "Quantity": {"type": "integer"},
                "UnitPrice": {"type": "number"},
                "CustomerID": {"type": "string"},
            },
        })),
        partition_key: Some("{InvoiceNo}"),
        id_field: Some("_id"),
        ..Config::default()
    }
}

fn options(path: &Path, server: &Server) -> SendOptions {
    let mut options = SendOptions::new(Input::File(path.to_owned()), Some(server.url()));
    options.batch_rows = NonZeroUsize::new(100).unwrap();
    options
}

async fn run(options: SendOptions) -> Result<Summary, SendError> {
    send(options, Arc::new(Progress::new()), CancellationToken::new()).await
}

/// The line that an id was made of.
fn line(row: &Value) -> u64 {
    row["_id"].as_str().unwrap().rsplit_once('-').unwrap().1.parse().unwrap()
}

/// Rows by their id; the first of each that came.
fn distinct(rows: &[Value]) -> Vec<&Value> {
    let mut seen = HashSet::new();
    rows.iter().filter(|row| seen.insert(row["_id"].as_str().unwrap().to_owned())).collect()
}

/// Within each key, rows come in the order of the file. A repeated row counts where it came first.
fn assert_order_per_key(rows: &[Value], key: &str) {
    let mut last: HashMap<&str, u64> = HashMap::new();
    for row in distinct(rows) {
        let key = row[key].as_str().unwrap();
        let line = line(row);
        assert!(last.insert(key, line).is_none_or(|before| before < line), "{key} at line {line}");
    }
}

fn assert_whole_shop(rows: &[Value], shop: &Shop) {
    let rows = distinct(rows);
    assert_eq!(rows.len() as u64, shop.totals.rows);
    let lines: HashSet<u64> = rows.iter().map(|row| line(row)).collect();
    assert_eq!(lines.len(), rows.len());
    let quantity: i64 = rows.iter().map(|row| row["Quantity"].as_i64().unwrap()).sum();
    assert_eq!(quantity, shop.totals.quantity);
}
