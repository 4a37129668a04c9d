//! What the tests of the sink share.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, reason = "tests; each uses a part of it")]

pub mod s3;

use std::future::Future;
use std::io::Read as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use aws_sdk_s3::Client;
use penstock_api::plan::StartAt;
use penstock_api::plan::{ObjectStoreTarget, PipelineRef, SinkStage, SinkTarget};
use penstock_api::spec::{Compression, ObjectFormat};
use penstock_contract::{ArrivalMillis, Batch as _, Position, Range, Record, Sequence, ShardId, Sink as _};
use penstock_raw_storage::{MemoryBudget, ObjectBatch, RawStorageSink};

pub const BUCKET: &str = "acme-lake";

/// A sink as a Pipeline would configure it, changed where a test needs it.
pub struct Setup {
    pub pipeline: PipelineRef,
    pub stage: SinkStage,
    pub target: ObjectStoreTarget,
    pub budget: MemoryBudget,
}

pub fn setup(key: &str, compression: Compression) -> Setup {
    let target = ObjectStoreTarget {
        bucket: BUCKET.to_owned(),
        key: key.to_owned(),
        format: ObjectFormat::Jsonl,
        compression,
        rotate_bytes: 64 << 20,
        rotate_age_millis: 300_000,
    };
    let stage = SinkStage {
        stream: "shop.ecommerce.events".to_owned(),
        lease_table: "shop.ecommerce.raw.leases".to_owned(),
        start_at: StartAt::TrimHorizon,
        fan_out_consumer: None,
        id_field: None,
        duplicates: None,
        process: None,
        target: SinkTarget::S3(target.clone()),
        dead_letters_bucket: BUCKET.to_owned(),
        dead_letters_prefix: "dead-letters/".to_owned(),
    };
    let pipeline = PipelineRef { namespace: "shop".to_owned(), name: "ecommerce".to_owned() };
    Setup { pipeline, stage, target, budget: MemoryBudget::default() }
}

impl Setup {
    pub fn rotate_bytes(mut self, bytes: u64) -> Self {
        self.target.rotate_bytes = bytes;
        self
    }

    pub fn budget(mut self, bytes: usize) -> Self {
        self.budget = MemoryBudget::new(bytes);
        self
    }

    pub fn process(mut self, program: &str) -> Self {
        self.stage.process = Some(program.to_owned());
        self
    }

    pub fn sink(&self, client: Client) -> RawStorageSink {
        let stage = SinkStage { target: SinkTarget::S3(self.target.clone()), ..self.stage.clone() };
        RawStorageSink::new(&self.pipeline, "raw", &stage, client, self.budget.clone()).unwrap()
    }
}

pub fn shard() -> ShardId {
    ShardId::new("shardId-000000000000")
}

/// Sequence numbers as long as those of Kinesis.
pub fn position(number: u64) -> Position {
    Position::new(Sequence::parse(&format!("49{number:054}")).unwrap(), 0)
}

pub fn record(number: u64, data: String) -> Record {
    Record {
        position: position(number),
        partition_key: Arc::from("key"),
        arrival: ArrivalMillis(1_291_191_960_000 + i64::try_from(number).unwrap()),
        data: data.into(),
    }
}

/// Records of some 250 bytes that compress about as well as a shop's; `countries` different ones.
pub fn shop_records(numbers: std::ops::Range<u64>, countries: u64) -> Vec<Record> {
    numbers
        .map(|number| {
            let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let data = format!(
                r#"{{"n":{number},"Country":"country-{}","InvoiceNo":"{}","StockCode":"{:05}A","Description":"WHITE HANGING HEART T-LIGHT HOLDER {:x}","Quantity":{},"InvoiceDate":"2010-12-01T08:26:00Z","UnitPrice":{}.{:02},"CustomerID":"{}"}}"#,
                mixed % countries,
                536_365 + number / 20,
                mixed >> 48,
                mixed,
                1 + mixed % 48,
                mixed % 20,
                mixed % 100,
                12_000 + (mixed >> 32) % 6000,
            );
            record(number, data)
        })
        .collect()
}

/// `(first - 1, last]`, as the consumer would pin it.
pub fn range(records: &[Record]) -> Range {
    let number = |record: &Record| record.position.sequence.as_str()[2..].parse::<u64>().unwrap();
    let first = number(records.first().unwrap());
    Range {
        shard: shard(),
        start_exclusive: first.checked_sub(1).map(position),
        end_inclusive: records.last().unwrap().position.clone(),
    }
}

/// A batch with the records, pushed a few at a time.
pub async fn pushed(sink: &RawStorageSink, records: &[Record]) -> ObjectBatch {
    let mut batch = sink.open(&shard(), &records[0].position);
    for chunk in records.chunks(100) {
        batch.push(chunk).await.unwrap();
    }
    batch
}

pub fn decode(key: &str, body: &[u8]) -> Vec<u8> {
    if key.ends_with(".gz") {
        let mut lines = Vec::new();
        flate2::read::GzDecoder::new(body).read_to_end(&mut lines).unwrap();
        lines
    } else if key.ends_with(".zst") {
        zstd::decode_all(body).unwrap()
    } else {
        body.to_vec()
    }
}

#[derive(serde::Deserialize)]
struct Numbered {
    n: u64,
}

/// The records' numbers (`n`) in all objects, sorted; one that is stored twice is there twice.
pub fn numbers<'a>(objects: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u64> {
    let mut numbers = Vec::new();
    for (key, body) in objects {
        for line in decode(key, body).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Numbered = serde_json::from_slice(line).unwrap();
            numbers.push(line.n);
        }
    }
    numbers.sort_unstable();
    numbers
}

impl s3::MemoryS3 {
    /// The records' numbers in the bucket.
    pub fn numbers(&self) -> Vec<u64> {
        self.see(|state| numbers(state.objects.iter().map(|(key, object)| (key.as_str(), object.body.as_slice()))))
    }
}

/// Polls the future so many times and drops it: a crash at that point.
pub async fn cut<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Waits until the condition holds; fails loudly after ten seconds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
