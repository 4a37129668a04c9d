//! A range may be applied any number of times, also at the same time, and counts once.

use std::collections::BTreeMap;

use crate::common::{Act, Server, apply, error, record, stage, texts};
use penstock_contract::Record;
use penstock_dynamodb::DynamoDbSink;
use serde_json::{Value, json};

/// An item a record, an item a key, and sums.
fn tables() -> Value {
    json!([
        {"name": "own", "partition": {"field": "invoice", "type": "S"}, "sort": {"template": "{stock}#{$id}", "attribute": "sk", "type": "S"}, "write": "put"},
        {"name": "latest", "partition": {"field": "stock", "type": "S"}, "write": "put"},
        {"name": "sums", "when": "exists(.customer)", "partition": {"field": "customer", "type": "S"},
         "write": {"aggregate": {"set": {"last": "n"}, "add": {"amount": "amount", "lines": 1}}}}
    ])
}

async fn server() -> Server {
    let server = Server::start().await;
    server.create_table("own", "invoice", Some("sk"), None).await;
    server.create_table("latest", "stock", None, None).await;
    server.create_table("sums", "customer", None, None).await;
    server
}

/// What the tables must hold after the ranges, by the plainest means.
#[derive(Default)]
struct Model {
    own: Vec<Value>,
    latest: BTreeMap<String, (u64, Value)>,
    sums: BTreeMap<String, (i64, i64, i64)>,
}

impl Model {
    fn add(&mut self, shard: &str, line: &Line) {
        let row = line.row();
        let mut own = plain(&row);
        own["sk"] = json!(format!("{}#{shard}:{}:0", line.stock, line.sequence));
        self.own.push(own);
        let latest = self.latest.entry(line.stock.to_string()).or_default();
        if line.sequence >= latest.0 {
            *latest = (line.sequence, plain(&row));
        }
        if let Some(customer) = line.customer {
            let sums = self.sums.entry(customer.to_string()).or_default();
            *sums = (sums.0 + line.cents, sums.1 + 1, i64::try_from(line.sequence).unwrap());
        }
    }

    async fn check(&self, server: &Server, what: &str) {
        let latest: Vec<_> = self.latest.values().map(|(_, row)| row.clone()).collect();
        let sums = self.sums.iter().map(|(customer, (cents, lines, last))| {
            json!({"customer": customer, "amount": amount(*cents), "lines": number(lines), "last": number(last)})
        });
        let sums: Vec<_> = sums.collect();
        for (table, expected) in [("own", &self.own), ("latest", &latest), ("sums", &sums)] {
            assert_eq!(texts(&server.items(table).await), texts(expected), "{what}: {table}");
        }
    }
}

fn number(number: impl ToString) -> Value {
    json!({ "N": number.to_string() })
}

fn amount(cents: i64) -> Value {
    let sign = if cents < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100);
    number(text.trim_end_matches('0').trim_end_matches('.'))
}

/// A row as the table shows it.
fn plain(row: &Value) -> Value {
    let fields = row.as_object().unwrap().iter().map(|(name, value)| match value {
        Value::Number(value) => (name.clone(), number(value)),
        other => (name.clone(), other.clone()),
    });
    fields.collect::<serde_json::Map<_, _>>().into()
}

/// A line of an invoice.
#[derive(Debug, Clone)]
struct Line {
    sequence: u64,
    stock: u8,
    customer: Option<u8>,
    cents: i64,
}

impl Line {
    fn random(random: &mut fastrand::Rng, sequence: u64) -> Self {
        let customer = (random.u8(..) > 50).then(|| random.u8(0..6));
        // Never a whole number, so that the model's text and JSON's are the same.
        Self { sequence, stock: random.u8(0..9), customer, cents: random.i64(-5_000..5_000) * 10 + 1 }
    }

    fn row(&self) -> Value {
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let amount = self.cents as f64 / 100.0;
        let mut row = json!({"invoice": "i1", "stock": self.stock.to_string(), "n": self.sequence, "amount": amount});
        if let Some(customer) = self.customer {
            row["customer"] = json!(customer.to_string());
        }
        row
    }

    fn record(&self) -> Record {
        record(self.sequence, &self.row())
    }
}

/// Ranges of a shard, in order. No two shards share a sequence number.
fn ranges(random: &mut fastrand::Rng, shard: u64, count: usize) -> Vec<Vec<Line>> {
    let mut sequence = 0;
    let mut line = |random: &mut fastrand::Rng| {
        sequence += 1;
        Line::random(random, sequence * 2 + shard)
    };
    (0..count).map(|_| (0..random.usize(1..40)).map(|_| line(random)).collect()).collect()
}

fn records(lines: &[Line]) -> Vec<Record> {
    lines.iter().map(Line::record).collect()
}

#[tokio::test]
async fn a_range_that_is_applied_twice_counts_once() {
    let server = server().await;
    let sink = server.sink(&stage(tables()));
    let mut model = Model::default();
    let random = &mut fastrand::Rng::with_seed(1);
    for lines in ranges(random, 0, 4) {
        let records = records(&lines);
        let first = apply(&sink, "s-0", &records).await.unwrap();
        let again = apply(&sink, "s-0", &records).await.unwrap();
        assert_eq!((first.records, first), (records.len() as u64, again));
        lines.iter().for_each(|line| model.add("s-0", line));
        model.check(&server, "twice").await;
    }
}

#[tokio::test]
async fn an_older_range_that_comes_late_changes_nothing() {
    let server = server().await;
    let sink = server.sink(&stage(tables()));
    let mut model = Model::default();
    let ranges = ranges(&mut fastrand::Rng::with_seed(2), 0, 5);
    for lines in &ranges {
        apply(&sink, "s-0", &records(lines)).await.unwrap();
        lines.iter().for_each(|line| model.add("s-0", line));
    }
    for lines in ranges.iter().rev() {
        apply(&sink, "s-0", &records(lines)).await.unwrap();
        model.check(&server, "late").await;
    }
}

#[tokio::test]
async fn workers_that_apply_the_same_range_at_the_same_time_count_it_once() {
    let server = server().await;
    let sinks: Vec<DynamoDbSink> = (0..3).map(|_| server.sink(&stage(tables()))).collect();
    let mut model = Model::default();
    for lines in ranges(&mut fastrand::Rng::with_seed(3), 0, 4) {
        let records = records(&lines);
        let (a, b, c) = tokio::join!(
            apply(&sinks[0], "s-0", &records),
            apply(&sinks[1], "s-0", &records),
            apply(&sinks[2], "s-0", &records)
        );
        assert_eq!(a.unwrap(), b.unwrap());
        c.unwrap();
        lines.iter().for_each(|line| model.add("s-0", line));
        model.check(&server, "at the same time").await;
    }
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_cannot_undo_the_next_range() {
    let server = server().await;
    let old = server.sink(&stage(tables()));
    let new = server.sink(&stage(tables()));
    for seed in 0..5 {
        let base = seed * 10_000;
        let mut ranges = ranges(&mut fastrand::Rng::with_seed(seed), 0, 2);
        ranges.iter_mut().flatten().for_each(|line| line.sequence += base);
        let (first, second) = (records(&ranges[0]), records(&ranges[1]));
        let next_owner = async {
            apply(&new, "s-0", &first).await.unwrap();
            apply(&new, "s-0", &second).await.unwrap();
        };
        let (zombie, ()) = tokio::join!(apply(&old, "s-0", &first), next_owner);
        zombie.unwrap();
        let latest: BTreeMap<String, u64> =
            ranges.iter().flatten().map(|line| (line.stock.to_string(), line.sequence)).collect();
        for item in server.items("latest").await {
            if let Some(sequence) = latest.get(item["stock"].as_str().unwrap()) {
                assert_eq!(item["n"], number(sequence), "seed {seed}");
            }
        }
        let lines: i64 = server
            .items("sums")
            .await
            .iter()
            .map(|item| item["lines"]["N"].as_str().unwrap().parse::<i64>().unwrap())
            .sum();
        let expected = (0..=seed).flat_map(|seed| self::ranges(&mut fastrand::Rng::with_seed(seed), 0, 2)).flatten();
        assert_eq!(lines, i64::try_from(expected.filter(|line| line.customer.is_some()).count()).unwrap());
    }
}

/// The worker dies after any number of its calls reached the service; the next one applies the range again.
#[tokio::test]
async fn a_crash_between_any_two_writes_loses_nothing_and_counts_nothing_twice() {
    let server = server().await;
    let mut model = Model::default();
    let random = &mut fastrand::Rng::with_seed(5);
    let mut crashes = 0;
    for (index, lines) in ranges(random, 0, 12).into_iter().enumerate() {
        let records = records(&lines);
        for crash_after in [0, 1, 2, 3, 5, 8] {
            server.behave(|_, _| Act::Forward);
            let sink = server.sink(&stage(tables()));
            let worker = tokio::spawn({
                let records = records.clone();
                async move { apply(&sink, "s-0", &records).await }
            });
            let reached = server.wait_for_calls(crash_after);
            tokio::select! {
                () = reached => {}
                () = async { while !worker.is_finished() { tokio::task::yield_now().await; } } => {}
            }
            crashes += u32::from(!worker.is_finished());
            worker.abort();
            // A call that is on its way when the worker dies may still arrive.
        }
        let sink = server.sink(&stage(tables()));
        apply(&sink, "s-0", &records).await.unwrap();
        lines.iter().for_each(|line| model.add("s-0", line));
        model.check(&server, &format!("range {index}")).await;
    }
    assert!(crashes > 10, "{crashes} crashes are too few to say anything");
}

/// Two shards, lost answers, failures, throttling, repeated and late ranges, all mixed.
#[tokio::test]
async fn after_any_mix_of_faults_the_tables_are_those_of_a_sequential_reader() {
    let server = server().await;
    for seed in 0..3_u64 {
        let random = &mut fastrand::Rng::with_seed(seed + 100);
        let mut shards = [ranges(random, 0, 4), ranges(random, 1, 4)];
        // Each seed writes to items and shards of its own.
        for line in shards.iter_mut().flatten().flatten() {
            line.sequence += seed * 1_000_000;
        }
        server.behave(move |call, _| match (call as u64).wrapping_mul(2_654_435_761).wrapping_add(seed) % 11 {
            0 => Act::LoseAnswer,
            1 => error(400, "ProvisionedThroughputExceededException"),
            2 => error(500, "InternalServerError"),
            _ => Act::Forward,
        });
        for (shard, ranges) in shards.iter().enumerate() {
            let name = format!("s-{seed}-{shard}");
            for (index, lines) in ranges.iter().enumerate() {
                let sink = server.sink(&stage(tables()));
                let records = records(lines);
                // The consumer applies again until it succeeds.
                while apply(&sink, &name, &records).await.is_err() {}
                let late = self::records(&ranges[random.usize(0..=index)]);
                let _ = apply(&sink, &name, &late).await;
            }
        }
    }
    server.behave(|_, _| Act::Forward);
    let mut lines: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut records = 0;
    for seed in 0..3 {
        let random = &mut fastrand::Rng::with_seed(seed + 100);
        for line in [ranges(random, 0, 4), ranges(random, 1, 4)].iter().flatten().flatten() {
            records += 1;
            if let Some(customer) = line.customer {
                let sum = lines.entry(customer.to_string()).or_default();
                *sum = (sum.0 + line.cents, sum.1 + 1);
            }
        }
    }
    assert_eq!(server.items("own").await.len(), records);
    for item in server.items("sums").await {
        let (cents, count) = lines[item["customer"].as_str().unwrap()];
        assert_eq!((&item["amount"], &item["lines"]), (&amount(cents), &number(count)), "{item}");
    }
}
