//! A small stand-in for the stream that fails as it is told: real HTTP, the service's own JSON.
//!
//! It also watches over the producer: a partition key may never be in two calls at the same time.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use penstock_contract::{ArrivalMillis, Record, Sequence, ShardId};
use penstock_stream::{HashKey, HashRange, StreamRecord, user_records};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What happens to one PutRecords call.
#[derive(Debug, Clone)]
pub enum Fault {
    None,
    /// Entries whose bit is set fail with the code.
    Entries(u64, &'static str),
    /// The call fails as a whole with the code.
    Call(&'static str),
    /// The connection breaks before anything is stored.
    LostRequest,
    /// Everything is stored, and then the connection breaks.
    LostAnswer,
    /// Nothing happens until the gate opens.
    Wait(CancellationToken),
}

type Faults = Box<dyn FnMut(usize) -> Fault + Send>;

struct State {
    shards: Vec<Shard>,
    sequence: u64,
    calls: usize,
    faults: Faults,
    keys_in_flight: HashSet<Arc<str>>,
    violations: Vec<String>,
}

struct Shard {
    id: String,
    start: u128,
    end: u128,
    open: bool,
    records: Vec<StreamRecord>,
}

impl Shard {
    fn takes(&self) -> HashRange {
        HashRange { start: HashKey(self.start), end_inclusive: HashKey(self.end) }
    }
}

#[derive(Clone)]
pub struct StandIn {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// The connection is to break.
struct Broken;

struct Entry {
    data: Bytes,
    partition_key: String,
    hash: HashKey,
}

impl StandIn {
    pub async fn start(shards: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            shards: Vec::new(),
            sequence: 1000,
            calls: 0,
            faults: Box::new(|_| Fault::None),
            keys_in_flight: HashSet::new(),
            violations: Vec::new(),
        }));
        let stand_in = Self { addr, state };
        stand_in.reshard(shards);
        tokio::spawn(stand_in.clone().serve(listener));
        stand_in
    }

    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Decides about each call by its number.
    pub fn fail(&self, faults: impl FnMut(usize) -> Fault + Send + 'static) {
        self.state.lock().faults = Box::new(faults);
    }

    /// Closes all shards and opens so many others.
    pub fn reshard(&self, count: usize) {
        let mut state = self.state.lock();
        state.shards.iter_mut().for_each(|shard| shard.open = false);
        let width = u128::MAX / count as u128;
        for place in 0..count as u128 {
            let end = if place + 1 == count as u128 { u128::MAX } else { (place + 1) * width - 1 };
            let id = format!("shardId-{:012}", state.shards.len());
            state.shards.push(Shard { id, start: place * width, end, open: true, records: Vec::new() });
        }
    }

    pub fn calls(&self) -> usize {
        self.state.lock().calls
    }

    pub fn stream_records(&self) -> usize {
        self.state.lock().shards.iter().map(|shard| shard.records.len()).sum()
    }

    /// Breaks of the rule that a key is in one call at a time.
    pub fn violations(&self) -> Vec<String> {
        self.state.lock().violations.clone()
    }

    /// All user records, shard by shard in order; shards in the order in which they were opened.
    pub fn records(&self) -> Vec<(String, Record)> {
        let state = self.state.lock();
        let mut all = Vec::new();
        for shard in &state.shards {
            for record in &shard.records {
                let records = user_records(&ShardId::new(shard.id.as_str()), &shard.takes(), record.clone());
                all.extend(records.into_iter().map(|record| (shard.id.clone(), record)));
            }
        }
        all
    }

    /// Stream records that hold nothing where they are.
    pub fn astray(&self) -> usize {
        let state = self.state.lock();
        let opened = |shard: &Shard, record: &StreamRecord| {
            user_records(&ShardId::new(shard.id.as_str()), &shard.takes(), record.clone())
        };
        let records = state.shards.iter().flat_map(|shard| shard.records.iter().map(move |record| (shard, record)));
        records.filter(|(shard, record)| opened(shard, record).is_empty()).count()
    }

    /// Whether the shard takes the key.
    pub fn takes(&self, shard: &str, key: &str) -> bool {
        let state = self.state.lock();
        let shard = state.shards.iter().find(|other| other.id == shard).unwrap();
        shard.takes().holds(HashKey::of_partition_key(key))
    }

    /// The bytes at each position.
    pub fn by_position(&self) -> HashMap<super::Accepted, String> {
        let position = |(shard, record): (String, Record)| {
            let sequence = record.position.sequence.to_string();
            let text = String::from_utf8(record.data.to_vec()).unwrap();
            (super::Accepted { shard, sequence, sub_sequence: record.position.sub_sequence }, text)
        };
        self.records().into_iter().map(position).collect()
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let this = self.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let this = this.clone();
                    async move { this.answer(request).await.map_err(|Broken| std::io::Error::other("told to break")) }
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Broken> {
        let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
        let body = request.into_body().collect().await.map_err(|_| Broken)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        match target.rsplit('.').next().unwrap() {
            "ListShards" => Ok(ok(self.list_shards(&body))),
            "PutRecords" => self.put_records(&body).await,
            other => panic!("the stand-in does not know {other}"),
        }
    }

    fn list_shards(&self, body: &Value) -> Value {
        assert_eq!(body["StreamName"], "events");
        let also_closed = match body["ShardFilter"]["Type"].as_str() {
            Some("AT_LATEST") => false,
            Some("FROM_TRIM_HORIZON") => true,
            other => panic!("the stand-in does not know the filter {other:?}"),
        };
        let state = self.state.lock();
        let shards = state.shards.iter().filter(|shard| shard.open || also_closed).map(|shard| {
            let mut sequences = json!({"StartingSequenceNumber": "1000"});
            if !shard.open {
                sequences["EndingSequenceNumber"] = json!("9000000");
            }
            json!({
                "ShardId": shard.id,
                "HashKeyRange": {"StartingHashKey": shard.start.to_string(), "EndingHashKey": shard.end.to_string()},
                "SequenceNumberRange": sequences,
            })
        });
        json!({"Shards": shards.collect::<Vec<_>>()})
    }

    async fn put_records(&self, body: &Value) -> Result<Response<Full<Bytes>>, Broken> {
        let entries: Vec<Entry> = body["Records"].as_array().unwrap().iter().map(entry).collect();
        check_limits(&entries);
        let keys = keys(&entries);
        let fault = self.begin(&keys);
        if let Fault::Wait(gate) = &fault {
            gate.cancelled().await;
        } else {
            // Calls overlap, so that a producer that does not wait for an answer is found out.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut state = self.state.lock();
        keys.iter().for_each(|key| {
            state.keys_in_flight.remove(key);
        });
        match fault {
            Fault::None | Fault::Wait(_) => Ok(ok(state.store(&entries, 0, ""))),
            Fault::Entries(which, code) => Ok(ok(state.store(&entries, which, code))),
            Fault::Call(code) => Ok(error(code)),
            Fault::LostRequest => Err(Broken),
            Fault::LostAnswer => {
                state.store(&entries, 0, "");
                Err(Broken)
            }
        }
    }

    fn begin(&self, keys: &HashSet<Arc<str>>) -> Fault {
        let mut state = self.state.lock();
        for key in keys {
            if !state.keys_in_flight.insert(key.clone()) {
                state.violations.push(format!("the key {key} is in two calls at one time"));
            }
        }
        state.calls += 1;
        let number = state.calls;
        (state.faults)(number)
    }
}

impl State {
    fn store(&mut self, entries: &[Entry], failed: u64, code: &str) -> Value {
        let mut answers = Vec::new();
        let mut failures = 0;
        for (place, entry) in entries.iter().enumerate() {
            if failed >> (place % 64) & 1 == 1 {
                failures += 1;
                answers.push(json!({"ErrorCode": code, "ErrorMessage": "told to fail"}));
                continue;
            }
            self.sequence += 1;
            let sequence = Sequence::parse(&self.sequence.to_string()).unwrap();
            let shard = self.shards.iter_mut().find(|s| s.open && (s.start..=s.end).contains(&entry.hash.0)).unwrap();
            answers.push(json!({"ShardId": shard.id, "SequenceNumber": sequence.as_str()}));
            let key = entry.partition_key.as_str().into();
            shard.records.push(StreamRecord::new(sequence, key, ArrivalMillis(0), entry.data.clone()));
        }
        json!({"FailedRecordCount": failures, "Records": answers})
    }
}

fn entry(entry: &Value) -> Entry {
    let partition_key = entry["PartitionKey"].as_str().unwrap().to_owned();
    let hash = match entry["ExplicitHashKey"].as_str() {
        Some(hash) => hash.parse().unwrap(),
        None => HashKey::of_partition_key(&partition_key),
    };
    Entry { data: STANDARD.decode(entry["Data"].as_str().unwrap()).unwrap().into(), partition_key, hash }
}

fn check_limits(entries: &[Entry]) {
    assert!(!entries.is_empty() && entries.len() <= 500);
    for entry in entries {
        assert!((1..=256).contains(&entry.partition_key.chars().count()));
        assert!(entry.data.len() + entry.partition_key.len() <= 1 << 20);
    }
}

fn keys(entries: &[Entry]) -> HashSet<Arc<str>> {
    let record = |entry: &Entry| {
        let (sequence, key) = (Sequence::parse("1").unwrap(), entry.partition_key.as_str().into());
        StreamRecord::new(sequence, key, ArrivalMillis(0), entry.data.clone())
    };
    let records = entries.iter().flat_map(|entry| user_records(&ShardId::new("s"), &HashRange::ALL, record(entry)));
    records.map(|record| record.partition_key).collect()
}

fn ok(body: Value) -> Response<Full<Bytes>> {
    Response::new(Full::new(body.to_string().into()))
}

fn error(code: &str) -> Response<Full<Bytes>> {
    let body = json!({"__type": code, "message": "told to fail"});
    let status = if code == "InternalFailure" { 500 } else { 400 };
    Response::builder().status(status).body(Full::new(body.to_string().into())).unwrap()
}
