//! A stream that fails: nothing that was acknowledged is lost, and each key keeps its order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::common::{Accepted, Fault, JSON, NDJSON, Served, StandIn, accepted, row, stage};
use penstock_api::spec::Aggregation;
use tokio_util::sync::CancellationToken;

const CLIENTS: u64 = 4;
const REQUESTS: u64 = 24;
const ROWS: u64 = 20;

/// A reproducible choice: the same seed and number give the same value.
fn chance(seed: u64, number: usize) -> u64 {
    let mut x = seed ^ (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for _ in 0..3 {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        x = x.wrapping_mul(0x2545_F491_4F6C_DD1D);
    }
    x
}

fn any_fault(seed: u64) -> impl FnMut(usize) -> Fault + Send + 'static {
    move |number| {
        let chance = chance(seed, number);
        match chance % 16 {
            0 => Fault::Call("ProvisionedThroughputExceededException"),
            1 => Fault::Call("InternalFailure"),
            2 => Fault::LostRequest,
            3 => Fault::LostAnswer,
            4 => Fault::Entries(chance >> 8, "ProvisionedThroughputExceededException"),
            5 => Fault::Entries(chance >> 8, "InternalFailure"),
            _ => Fault::None,
        }
    }
}

/// Several clients, each with keys of its own, whose rows are numbered in the order in which they are sent.
async fn send_everything(stage: Arc<Served>) -> BTreeMap<Accepted, String> {
    let client = |client: u64| {
        let stage = stage.clone();
        async move {
            let mut positions = BTreeMap::new();
            for request in 0..REQUESTS {
                let rows: Vec<String> =
                    (0..ROWS).map(|n| row(&format!("{client}-{}", n % 7), request * ROWS + n).to_string()).collect();
                let answer = stage.post(&[NDJSON], rows.join("\n")).await;
                assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
                let accepted = accepted(&answer);
                assert_eq!(accepted.len(), rows.len());
                positions.extend(accepted.into_iter().map(|(place, position)| (position, rows[place].clone())));
            }
            positions
        }
    };
    let clients: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(client(number))).collect();
    let mut all = BTreeMap::new();
    for client in clients {
        all.extend(client.await.unwrap());
    }
    all
}

fn check_order_and_loss(stream: &StandIn, told: &BTreeMap<Accepted, String>) {
    assert_eq!(stream.violations(), [""; 0]);
    assert_eq!(told.len() as u64, CLIENTS * REQUESTS * ROWS);
    let stored = stream.by_position();
    for (position, row) in told {
        assert_eq!(stored.get(position), Some(row), "{position:?}");
    }
    // A lost answer leaves rows there twice; the first time counts.
    let mut seen: HashMap<Arc<str>, Vec<u64>> = HashMap::new();
    for (shard, record) in stream.records() {
        // What is sent again is recognised in the shards of its key only.
        assert!(stream.takes(&shard, &record.partition_key), "{shard} {record:?}");
        let value: serde_json::Value = serde_json::from_slice(&record.data).unwrap();
        let numbers = seen.entry(record.partition_key).or_default();
        let number = value["Quantity"].as_u64().unwrap();
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    assert_eq!(seen.len() as u64, CLIENTS * 7);
    for (key, numbers) in seen {
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
}

#[tokio::test]
async fn aggregates_survive_every_fault_in_order() {
    let stream = StandIn::start(3).await;
    stream.fail(any_fault(1));
    let stage = Arc::new(Served::start(stage(), &stream.endpoint_url()).await);
    let told = send_everything(stage.clone()).await;
    check_order_and_loss(&stream, &told);
    assert!(stream.calls() > 20, "{} calls", stream.calls());
}

#[tokio::test]
async fn single_records_survive_every_fault_in_order() {
    let stream = StandIn::start(3).await;
    stream.fail(any_fault(2));
    let mut single = stage();
    single.aggregation = Aggregation::None;
    let stage = Arc::new(Served::start(single, &stream.endpoint_url()).await);
    let told = send_everything(stage.clone()).await;
    check_order_and_loss(&stream, &told);
    assert!(stream.records().iter().all(|(_, record)| record.position.sub_sequence == 0));
}

#[tokio::test]
async fn a_stream_that_is_resharded_under_load_loses_nothing_of_aggregates() {
    let stream = resharded_under_load(Aggregation::Kpl, 3).await;
    assert!(stream.astray() > 0, "no aggregate met another shard than it was made for");
}

#[tokio::test]
async fn a_stream_that_is_resharded_under_load_loses_no_single_records() {
    let stream = resharded_under_load(Aggregation::None, 3).await;
    assert_eq!(stream.astray(), 0);
}

async fn resharded_under_load(aggregation: Aggregation, seed: u64) -> StandIn {
    let stream = StandIn::start(2).await;
    let resharded = stream.clone();
    let mut faults = any_fault(seed);
    // Calls are answered one by one, so the stand-in may be resharded from outside between two of them.
    let (wanted, mut wishes) = tokio::sync::mpsc::unbounded_channel();
    stream.fail(move |number| {
        match number {
            5 => wanted.send(5).unwrap(),
            20 => wanted.send(1).unwrap(),
            _ => {}
        }
        faults(number)
    });
    let resharding = tokio::spawn(async move {
        for _ in 0..2 {
            let shards = wishes.recv().await.unwrap();
            resharded.reshard(shards);
        }
    });
    let mut config = stage();
    config.aggregation = aggregation;
    let stage = Arc::new(Served::start(config, &stream.endpoint_url()).await);
    let told = send_everything(stage.clone()).await;
    resharding.await.unwrap();
    check_order_and_loss(&stream, &told);
    let shards: std::collections::BTreeSet<_> = told.keys().map(|position| position.shard.clone()).collect();
    assert!(shards.len() > 3, "{shards:?}");
    stream
}

#[tokio::test]
async fn a_stream_that_only_throttles_is_429_and_one_that_only_fails_is_503() {
    let stream = StandIn::start(1).await;
    let stage = Served::start(stage(), &stream.endpoint_url()).await;
    let rows = format!("{}\nnul\n", row("a", 1));
    stream.fail(|_| Fault::Entries(u64::MAX, "ProvisionedThroughputExceededException"));
    let answer = stage.post(&[NDJSON, ("prefer", "wait=1")], &rows).await;
    assert_eq!(answer.problem(), (429, "stream_throttled".to_owned()));
    assert_eq!(answer.headers["retry-after"], "1");
    assert!(stream.calls() > 1);
    stage.end().await;
    // Another stage: the first one still waits for the shard that throttled, which may take longer than a request.
    let stage = Served::start(self::stage(), &stream.endpoint_url()).await;
    stream.fail(|_| Fault::Call("InternalFailure"));
    let answer = stage.post(&[NDJSON, ("prefer", "wait=1")], &rows).await;
    assert_eq!(answer.problem(), (503, "stream_unavailable".to_owned()));
    assert_eq!(answer.headers["retry-after"], "5");
    stage.end().await;
}

#[tokio::test]
async fn rows_that_one_shard_did_not_take_are_to_be_sent_again() {
    let stream = StandIn::start(1).await;
    let mut single = stage();
    single.aggregation = Aggregation::None;
    let stage = Served::start(single, &stream.endpoint_url()).await;
    // The first entry of every call fails, so of two keys the second gets through.
    stream.fail(|_| Fault::Entries(1, "ProvisionedThroughputExceededException"));
    let rows = format!("{}\n{}\n", row("a", 1), row("b", 2));
    let answer = stage.post(&[NDJSON, ("prefer", "wait=1")], &rows).await;
    assert_eq!(answer.status, 207);
    let told = &answer.json()["rows"];
    assert_eq!((&told[0]["code"], &told[0]["retry"]), (&"stream_throttled".into(), &true.into()));
    assert_eq!(told[1]["status"], "accepted");
    stage.end().await;
}

#[tokio::test]
async fn what_the_stream_calls_invalid_is_refused_for_good() {
    let stream = StandIn::start(1).await;
    let stage = Served::start(stage(), &stream.endpoint_url()).await;
    stream.fail(|number| if number == 1 { Fault::Call("InvalidArgumentException") } else { Fault::None });
    let answer = stage.post(&[JSON], row("a", 1).to_string()).await;
    assert_eq!((answer.status, answer.json()["rows"][0]["code"].as_str()), (422, Some("stream_refused")));
    assert_eq!(stage.post(&[JSON], row("a", 1).to_string()).await.status, 200);
    stage.end().await;
}

#[tokio::test]
async fn a_full_queue_pushes_back_instead_of_growing() {
    let stream = StandIn::start(1).await;
    let gate = CancellationToken::new();
    let closed = gate.clone();
    stream.fail(move |_| Fault::Wait(closed.clone()));
    let mut small = stage();
    // Two rows of 1 MB fit, and the chunks that they are queued in.
    (small.max_queued_bytes, small.max_row_bytes) = (2 << 20, 1 << 20);
    let stage = Arc::new(Served::start(small, &stream.endpoint_url()).await);
    let large = format!("{{\"InvoiceNo\":\"a\",\"x\":\"{}\"}}", "x".repeat(1_000_000));
    let post = |stage: Arc<Served>, body: String| tokio::spawn(async move { stage.post(&[JSON], body).await });
    let waiting = [(); 3].map(|()| post(stage.clone(), large.clone()));
    let full = async {
        loop {
            let answer = stage.post(&[JSON, ("prefer", "wait=1")], row("b", 1).to_string()).await;
            let (status, code) = answer.problem();
            assert_eq!(status, 503);
            if code == "queue_full" {
                assert_eq!(answer.headers["retry-after"], "1");
                break;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), full).await.unwrap();
    gate.cancel();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(stage.post(&[JSON], row("b", 2).to_string()).await.status, 200);
}

#[tokio::test]
async fn a_stream_that_is_not_there_yet_is_waited_for() {
    // A port that nobody listens on: bound once, then given back.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let stage = Served::start(stage(), &format!("http://{port}")).await;
    assert!(!stage.health.is_ready());
    assert!(stage.health.not_ready().iter().any(|concern| concern.concern == "stream"));
    let answer = stage.post(&[JSON, ("prefer", "wait=1")], row("a", 1).to_string()).await;
    assert_eq!(answer.problem(), (503, "stream_unavailable".to_owned()));
    stage.end().await;
}
