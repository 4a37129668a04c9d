//! The calls by the model are those that the engines count, within 5 %; objects, of which there are few, within 10 %.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::command::cost;
use crate::feed;
use crate::shop::Shop;

/// Requests a second, and rows in each.
const REQUESTS: f64 = 20.0;
const ROWS: usize = 50;
/// What is fed before, while and after it is counted, in seconds.
const BEFORE: f64 = 4.0;
const COUNTED: f64 = 30.0;
const AFTER: f64 = 4.0;
/// How far the model may be from what is counted, which are thousands.
const TOLERANCE: f64 = 0.05;
/// The same of objects: of a hundred, a few more or less are chance.
const TOLERANCE_OF_FEW: f64 = 0.10;
/// The longest call that is thought of, in milliseconds.
const LONGEST_CALL: u32 = 200;

/// What was found at a moment.
struct Reading {
    calls: std::collections::BTreeMap<String, u64>,
    items: std::collections::BTreeMap<String, f64>,
    at: Instant,
    millis: i64,
}

impl Reading {
    fn of(shop: &Shop) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        Self {
            calls: shop.engines.calls(),
            items: shop.items(),
            at: Instant::now(),
            millis: i64::try_from(now).unwrap(),
        }
    }

    fn calls_since(&self, before: &Self, operation: &str) -> f64 {
        let of = |reading: &Self| reading.calls.get(operation).copied().unwrap_or(0);
        (of(self) - of(before)) as f64
    }

    fn items_since(&self, before: &Self) -> f64 {
        self.items.iter().map(|(table, count)| count - before.items.get(table).copied().unwrap_or(0.0)).sum()
    }
}

/// Rows of one invoice that come one after the other.
fn rows_per_invoice(rows: &[String]) -> f64 {
    let invoice = |row: &String| serde_json::from_str::<Value>(row).unwrap()["InvoiceNo"].as_str().unwrap().to_owned();
    let invoices: Vec<_> = rows.iter().map(invoice).collect();
    let changes = invoices.windows(2).filter(|pair| pair[0] != pair[1]).count();
    (invoices.len() - 1) as f64 / changes as f64
}

/// Feeds the shop, and looks at the engines at the begin and at the end of what counts.
async fn counted(shop: &Shop, rows: &[String]) -> (Reading, Reading) {
    let bodies = rows.chunks(ROWS).map(|rows| rows.join("\n")).collect();
    let feeding = feed::start(shop.target(), bodies, REQUESTS);
    tokio::time::sleep(Duration::from_secs_f64(BEFORE)).await;
    let before = Reading::of(shop);
    tokio::time::sleep(Duration::from_secs_f64(COUNTED)).await;
    let after = Reading::of(shop);
    assert!(!feeding.is_finished(), "there was not enough to feed");
    tokio::task::spawn_blocking(move || feeding.join().unwrap()).await.unwrap();
    (before, after)
}

/// What the model says of a load.
struct Model {
    arguments: Vec<String>,
    /// How much longer a month is than what was counted.
    month: f64,
}

impl Model {
    /// Penstock's part, when a call takes so long.
    fn ours(&self, call_millis: u32) -> Value {
        let time = format!("--call-time={call_millis}ms");
        let arguments: Vec<_> = self.arguments.iter().chain([&time]).map(String::as_str).collect();
        let output = cost(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["designs"][0].take()
    }

    fn calls(&self, ours: &Value, operation: &str) -> f64 {
        ours["calls"][operation].as_f64().unwrap() / self.month
    }

    fn units(&self, ours: &Value, meter: &str) -> f64 {
        let mut lines = ours["lines"].as_array().unwrap().iter();
        lines.find(|line| line["meter"] == meter).unwrap()["quantity"].as_f64().unwrap() / self.month
    }

    /// How long a call takes here: with it the model reads as often as was counted. What a process waits for its turn on
    /// a busy machine is in it, which no call that is timed shows.
    fn call_millis(&self, reads: f64) -> u32 {
        let times: Vec<u32> = (1..=LONGEST_CALL).collect();
        let shorter = times.partition_point(|time| self.calls(&self.ours(*time), "Kinesis.GetRecords") > reads);
        times[shorter.min(times.len() - 1)]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_makes_the_calls_that_the_engines_count() {
    let shop = Shop::open().await;
    let requests = (BEFORE + COUNTED + AFTER) * REQUESTS;
    let rows = shop.rows(requests as usize * ROWS);
    let (before, after) = counted(&shop, &rows).await;
    let seconds = (after.at - before.at).as_secs_f64();
    let taken = shop.taken(before.millis, after.millis).await;
    let counted = |operation| after.calls_since(&before, operation);

    let arguments = vec![
        shop.pipeline().to_str().unwrap().to_owned(),
        "--output=json".to_owned(),
        format!("--rows-per-second={}", taken.rows / seconds),
        format!("--row-bytes={}", taken.row_bytes),
        format!("--rows-per-request={ROWS}"),
        format!("--rows-per-key={}", rows_per_invoice(&rows)),
        format!("--share=ecommerce-customers={}", taken.with_customer()),
    ];
    let model = Model { arguments, month: 730.0 * 3_600.0 / seconds };
    let call_millis = model.call_millis(counted("Kinesis.GetRecords"));
    let ours = model.ours(call_millis);
    let call = |operation| model.calls(&ours, operation);
    let unit = |meter| model.units(&ours, meter);

    // What is written to tables counts in units of 1 KB: nothing here is larger.
    for table in
        ["ecommerce-invoices", "ecommerce-customers", "default.ecommerce.raw.leases", "default.ecommerce.tables.leases"]
    {
        let largest = shop.largest_item(table).await;
        assert!(largest <= 1_024, "{table}: {largest}");
    }
    // Puts in bulk are items; all else is a write a call.
    let bulk = after.items["ecommerce-invoices"] - before.items["ecommerce-invoices"];
    let updates = after.calls_since(&before, "DynamoDB.UpdateItem");
    // Of puts AWS counts units, not calls: how many calls there are depends on how requests overlap.
    let pairs = [
        ("PUT payload units", unit("kinesis.put_unit"), taken.units, TOLERANCE),
        ("write request units", unit("dynamodb.write_unit"), bulk + updates, TOLERANCE),
        ("UpdateItem", call("DynamoDB.UpdateItem"), updates, TOLERANCE),
        ("BatchWriteItem", call("DynamoDB.BatchWriteItem"), counted("DynamoDB.BatchWriteItem"), TOLERANCE),
        ("PutObject", call("S3.PUT"), counted("S3.PUT"), TOLERANCE_OF_FEW),
    ];
    let shown: String = pairs
        .iter()
        .map(|(name, model, counted, _)| {
            format!(
                "{name}: {model:.1} by the model, {counted:.0} counted, {:+.1} %\n",
                100.0 * (model / counted - 1.0)
            )
        })
        .collect();
    let around = format!(
        "{:.0} rows, {:.0} records in {seconds:.1} s, {:.0} items, calls of {call_millis} ms",
        taken.rows,
        taken.records,
        after.items_since(&before)
    );
    eprintln!("{around}\n{shown}");
    let is_near = |(_, model, counted, most): &(&str, f64, f64, f64)| (model / counted - 1.0).abs() <= *most;
    assert!(pairs.iter().all(is_near), "{around}\n{shown}");
}
