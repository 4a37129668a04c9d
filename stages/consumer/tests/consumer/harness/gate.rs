//! A gate in front of the engines that answers some calls in the service's place, as the service does when it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;

/// How a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// With the service's error of this status and code.
    Error(u16, &'static str),
    /// The connection breaks.
    Reset,
}

#[derive(Debug)]
struct Planned {
    operation: &'static str,
    refusal: Refusal,
    times: u32,
}

/// A gate. It is open for as long as the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Post>);

#[derive(Debug)]
struct Post {
    endpoint: String,
    engines: String,
    client: Client<HttpConnector, Full<Bytes>>,
    planned: Mutex<Vec<Planned>>,
    passed: Mutex<Vec<(String, Value)>>,
    date: Mutex<Option<&'static str>>,
    answered_bytes: AtomicUsize,
}

impl Gate {
    /// Opens one on a free port in front of the engines.
    pub(crate) async fn open(engines: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let post = Arc::new(Post {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            engines,
            client: Client::builder(TokioExecutor::new()).build_http(),
            planned: Mutex::default(),
            passed: Mutex::default(),
            date: Mutex::default(),
            answered_bytes: AtomicUsize::new(0),
        });
        tokio::spawn(accept(listener, Arc::clone(&post)));
        Self(post)
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// The next calls of an operation of Kinesis are refused.
    pub(crate) fn refuse(&self, operation: &'static str, refusal: Refusal, times: u32) {
        self.0.planned.lock().push(Planned { operation, refusal, times });
    }

    /// What time it is at the service, as its answers say.
    pub(crate) fn set_date(&self, date: &'static str) {
        *self.0.date.lock() = Some(date);
    }

    /// The bytes of all records that readers got, as base64.
    pub(crate) fn answered_bytes(&self) -> usize {
        self.0.answered_bytes.load(Ordering::Relaxed)
    }

    /// How many calls are still to be refused.
    pub(crate) fn left(&self) -> u32 {
        self.0.planned.lock().iter().map(|planned| planned.times).sum()
    }

    /// The bodies of the calls of an operation that came through.
    pub(crate) fn passed(&self, operation: &str) -> Vec<Value> {
        let passed = self.0.passed.lock();
        passed.iter().filter(|(name, _)| name == operation).map(|(_, body)| body.clone()).collect()
    }
}

async fn accept(listener: TcpListener, post: Arc<Post>) {
    while let Ok((socket, _)) = listener.accept().await {
        let post = Arc::clone(&post);
        let service = service_fn(move |request| {
            let post = Arc::clone(&post);
            async move { post.pass(request).await }
        });
        let server = hyper::server::conn::http1::Builder::new();
        // A client that goes away is none of the gate's business.
        tokio::spawn(async move { drop(server.serve_connection(TokioIo::new(socket), service).await) });
    }
}

impl Post {
    /// Answers, or breaks the connection.
    async fn pass(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = target.strip_prefix("Kinesis_20131202.").unwrap_or_default().to_owned();
        match self.refusal(&operation) {
            Some(Refusal::Reset) => return Err(std::io::Error::other("it was told to break the connection")),
            Some(Refusal::Error(status, code)) => return Ok(error(status, code)),
            None => {}
        }
        if let Ok(body) = serde_json::from_slice(&body) {
            self.passed.lock().push((operation.clone(), body));
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("{}{path}", self.engines).parse::<Uri>().map_err(std::io::Error::other)?;
        let answer = self.client.request(Request::from_parts(parts, Full::from(body)));
        let (mut parts, body) = answer.await.map_err(std::io::Error::other)?.into_parts();
        if let Some(date) = *self.date.lock() {
            parts.headers.insert("date", date.parse().unwrap());
        }
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        if operation == "GetRecords" {
            self.answered_bytes.fetch_add(body.len(), Ordering::Relaxed);
        }
        Ok(Response::from_parts(parts, Full::from(body)))
    }

    fn refusal(&self, operation: &str) -> Option<Refusal> {
        let mut planned = self.planned.lock();
        let found = planned.iter_mut().find(|planned| planned.operation == operation && planned.times > 0)?;
        found.times -= 1;
        Some(found.refusal)
    }
}

fn error(status: u16, code: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "__type": code, "message": "so it was told" });
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/x-amz-json-1.1".parse().unwrap());
    response
}
