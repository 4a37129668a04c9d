//! An ingest endpoint as the client sees it, with faults on demand.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The rows are taken, and the connection breaks before the answer is there.
    LoseAnswer,
    /// The connection breaks before anything is taken.
    Break,
    /// Only a status, with a `Retry-After` where one is given.
    Status(u16, Option<u64>),
    /// The rows at the end are to be sent again.
    RetryLast(usize),
    /// Any other answer: status, content type, body.
    Answer(u16, &'static str, &'static str),
    /// No answer for a long time.
    Hang,
    /// Nothing happens before this is notified.
    Wait(Arc<Notify>),
}

/// What the endpoint is like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) schema: Option<Value>,
    pub(crate) partition_key: Option<&'static str>,
    pub(crate) id_field: Option<&'static str>,
    pub(crate) max_body: Option<usize>,
    /// Rows that contain this text are refused.
    pub(crate) refuse: Option<&'static str>,
    /// Answers list all rows, also for clients that prefer a short answer.
    pub(crate) complete_answers: bool,
    pub(crate) key: Option<&'static str>,
}

struct Shared {
    config: Config,
    faults: Mutex<VecDeque<Fault>>,
    /// Rows in the order in which they were taken.
    rows: Mutex<Vec<Value>>,
    requests: Mutex<Vec<usize>>,
    asked: watch::Sender<usize>,
    taken: watch::Sender<usize>,
}

/// A server on a free port; it ends when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(config: Config) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), config)
    }

    pub(crate) fn on(listener: TcpListener, config: Config) -> Self {
        let shared = Arc::new(Shared {
            config,
            faults: Mutex::default(),
            rows: Mutex::default(),
            requests: Mutex::default(),
            asked: watch::Sender::new(0),
            taken: watch::Sender::new(0),
        });
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/orders", post(take))
            .route("/orders/schema", get(schema))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/orders", self.address)
    }

    /// The next requests meet these faults, one each.
    pub(crate) fn fail_with(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        self.shared.rows.lock().unwrap().clone()
    }

    /// Numbers of rows of the requests that came.
    pub(crate) fn requests(&self) -> Vec<usize> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until so many rows were taken.
    pub(crate) async fn took(&self, rows: usize) {
        reaches(&self.shared.taken, rows).await;
    }

    /// Waits until so many requests came, answered or not.
    pub(crate) async fn was_asked(&self, requests: usize) {
        reaches(&self.shared.asked, requests).await;
    }
}

async fn reaches(count: &watch::Sender<usize>, wanted: usize) {
    let mut count = count.subscribe();
    let waiting = count.wait_for(|count| *count >= wanted);
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("they came in time").unwrap();
}

async fn schema(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let mut response = Response::builder();
    if let Some(key) = shared.config.partition_key {
        response = response.header("X-Penstock-Partition-Key", key);
    }
    if let Some(field) = shared.config.id_field {
        response = response.header("X-Penstock-Id-Field", field);
    }
    match &shared.config.schema {
        Some(schema) => response.body(Body::from(schema.to_string())),
        None => response.status(StatusCode::NOT_FOUND).body(Body::empty()),
    }
    .unwrap()
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    if let Some(key) = shared.config.key
        && headers.get("authorization").is_none_or(|value| value != &format!("Bearer {key}"))
    {
        let problem = json!({"title": "Unauthorized", "status": 401, "detail": "no such key", "cure": "ask for one"});
        return answer(401, "application/problem+json", problem.to_string());
    }
    assert_eq!(headers["content-type"], "application/x-ndjson");
    if shared.config.max_body.is_some_and(|max| body.len() > max) {
        let problem = json!({"title": "Too large", "status": 413, "detail": "the body is too large"});
        return answer(413, "application/problem+json", problem.to_string());
    }
    let rows = parse(&headers, &body);
    shared.requests.lock().unwrap().push(rows.len());
    shared.asked.send_modify(|asked| *asked += 1);
    let fault = shared.faults.lock().unwrap().pop_front();
    match fault {
        None => settle(&shared, &headers, rows, 0),
        Some(Fault::RetryLast(count)) => settle(&shared, &headers, rows, count),
        Some(Fault::LoseAnswer) => {
            settle(&shared, &headers, rows, 0);
            broken()
        }
        Some(Fault::Break) => broken(),
        Some(Fault::Status(status, after)) => {
            let mut response = answer(status, "application/problem+json", json!({"title": "later"}).to_string());
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.into());
            }
            response
        }
        Some(Fault::Answer(status, kind, body)) => answer(status, kind, body.to_owned()),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Wait(notify)) => {
            notify.notified().await;
            settle(&shared, &headers, rows, 0)
        }
    }
}

fn parse(headers: &HeaderMap, body: &Bytes) -> Vec<Value> {
    let mut text = String::new();
    match headers.get("content-encoding").map(|value| value.to_str().unwrap()) {
        None => text = String::from_utf8(body.to_vec()).unwrap(),
        Some("gzip") => drop(flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap()),
        Some("zstd") => text = String::from_utf8(zstd::decode_all(&body[..]).unwrap()).unwrap(),
        Some(other) => panic!("{other}"),
    }
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn settle(shared: &Shared, headers: &HeaderMap, rows: Vec<Value>, retry_last: usize) -> Response<Body> {
    let minimal = headers.get("prefer").is_some_and(|value| value.to_str().unwrap().starts_with("return=minimal"))
        && !shared.config.complete_answers;
    let (mut accepted, mut refused, mut listed) = (Vec::new(), 0, Vec::new());
    let count = rows.len();
    for (index, row) in rows.into_iter().enumerate() {
        let mut told = if index + retry_last >= count {
            json!({"status": "refused", "code": "stream_throttled", "reason": "slow down", "retry": true})
        } else if shared.config.refuse.is_some_and(|text| row.to_string().contains(text)) {
            json!({"status": "refused", "code": "schema_type", "field": "Description", "reason": "not liked"})
        } else {
            accepted.push(row);
            json!({"status": "accepted", "shard": "shardId-000000000000", "sequence": "49", "subSequence": index})
        };
        if told["status"] == "refused" {
            refused += 1;
        }
        if minimal {
            told["index"] = index.into();
        }
        if !minimal || told["status"] == "refused" {
            listed.push(told);
        }
    }
    let status = match (accepted.len(), refused) {
        (_, 0) => 200,
        (0, _) => 422,
        _ => 207,
    };
    let body = json!({"accepted": accepted.len(), "refused": refused, "rows": listed});
    let mut taken = shared.rows.lock().unwrap();
    taken.extend(accepted);
    shared.taken.send_replace(taken.len());
    answer(status, "application/json", body.to_string())
}

fn answer(status: u16, kind: &str, body: String) -> Response<Body> {
    Response::builder().status(status).header("content-type", kind).body(Body::from(body)).unwrap()
}

/// An answer whose body breaks off.
fn broken() -> Response<Body> {
    let parts = [Ok(Bytes::from_static(b"{\"accepted\":")), Err(std::io::Error::other("the connection breaks"))];
    Response::builder().status(200).body(Body::from_stream(futures::stream::iter(parts))).unwrap()
}
