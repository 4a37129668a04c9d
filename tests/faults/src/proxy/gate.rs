//! The sockets: one gate in front of one server, for one client process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::batch::Parted;
use super::refusal;
use super::request::Asked;
use super::schedule::{Fault, Schedule};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;
/// How often each fault happened, by its name.
pub type Counts = BTreeMap<&'static str, u64>;

/// No request is longer: the services' own bounds are below it.
const MAX_BODY: usize = 64 << 20;
/// No answer takes longer; clients give up long before.
const LIMIT: Duration = Duration::from_secs(120);

/// A gate. It is open until it is dropped.
#[derive(Debug)]
pub struct Gate {
    endpoint: String,
    post: Arc<Post>,
    listening: JoinHandle<()>,
}

impl Gate {
    /// Opens one on a free port in front of the engines.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to_aws(endpoint: &str, schedule: Schedule) -> anyhow::Result<Self> {
        Self::open(endpoint, schedule, Asked::of_aws).await
    }

    /// Opens one on a free port in front of a source.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to_source(endpoint: &str, schedule: Schedule) -> anyhow::Result<Self> {
        Self::open(endpoint, schedule, Asked::of_source).await
    }

    async fn open(endpoint: &str, schedule: Schedule, asked: fn(&Parts) -> Asked) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("there is no free port")?;
        let own = format!("http://{}", listener.local_addr()?);
        let post = Arc::new(Post {
            server: endpoint.trim_end_matches('/').to_owned(),
            schedule,
            asked,
            client: Client::builder(TokioExecutor::new()).build_http(),
            began: Instant::now(),
            seen: Mutex::default(),
            counts: Mutex::default(),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&post)));
        Ok(Self { endpoint: own, post, listening })
    }

    /// Where it answers.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How many requests came, under an empty name, and how often each fault happened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.post.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, post: Arc<Post>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket, Arc::clone(&post)));
    }
}

async fn serve(socket: TcpStream, post: Arc<Post>) {
    // Whatever ends a connection from this side is to be seen as a reset, not as an orderly end.
    drop(socket.set_zero_linger());
    let service = service_fn(move |request| {
        let post = Arc::clone(&post);
        async move { post.pass(request).await }
    });
    // A client that goes away is none of the gate's business, and a broken connection is what was asked for.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await);
}

/// The connection breaks.
#[derive(Debug, thiserror::Error)]
#[error("the connection breaks here")]
struct Broken;

/// What stands at a gate.
#[derive(Debug)]
struct Post {
    server: String,
    schedule: Schedule,
    asked: fn(&Parts) -> Asked,
    client: Client<HttpConnector, Full<Bytes>>,
    began: Instant,
    /// How many requests for each operation came.
    seen: Mutex<BTreeMap<String, u64>>,
    counts: Mutex<Counts>,
}

impl Post {
    async fn pass(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Broken> {
        let (mut parts, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| Broken)?.to_bytes();
        let asked = (self.asked)(&parts);
        parts.uri = self.address(&parts).ok_or(Broken)?;
        parts.headers.remove("expect");
        let count = self.next(&asked);
        let fault = self.schedule.fault(&asked, count, self.began.elapsed());
        self.count("");
        if let Some(fault) = fault {
            self.count(fault.name());
        }
        let whole = Delivery { parts, body };
        tokio::time::timeout(LIMIT, self.meet(fault, asked, count, whole)).await.unwrap_or(Err(Broken))
    }

    async fn meet(
        self: &Arc<Self>,
        fault: Option<Fault>,
        asked: Asked,
        count: u64,
        whole: Delivery,
    ) -> Result<Response<Body>, Broken> {
        match fault {
            None => self.deliver(&whole).await.map(streamed),
            Some(Fault::Throttle) => Ok(refusal::throttled(&asked)),
            Some(Fault::Break) => Ok(refusal::broken(&asked)),
            Some(Fault::Reset) => Err(Broken),
            Some(Fault::BreakAfter) => {
                self.to_the_end(&whole).await?;
                Ok(refusal::broken(&asked))
            }
            Some(Fault::ResetAfter) => {
                self.to_the_end(&whole).await?;
                Err(Broken)
            }
            Some(Fault::Cut) => {
                let (parts, body) = self.to_the_end(&whole).await?.into_parts();
                Ok(Response::from_parts(parts, cut(body)))
            }
            Some(Fault::Hang(time)) => {
                tokio::time::sleep(time).await;
                Err(Broken)
            }
            Some(Fault::HangAfter(time)) => {
                self.to_the_end(&whole).await?;
                tokio::time::sleep(time).await;
                Err(Broken)
            }
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                self.deliver(&whole).await.map(streamed)
            }
            Some(Fault::DelayAfter(time)) => {
                let response = self.to_the_end(&whole).await?;
                tokio::time::sleep(time).await;
                Ok(response.map(full))
            }
            Some(Fault::Twice) => {
                self.to_the_end(&whole).await?;
                self.deliver(&whole).await.map(streamed)
            }
            Some(Fault::Again(time)) => {
                let response = self.deliver(&whole).await?;
                let post = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    // Nobody waits for this answer.
                    drop(post.to_the_end(&whole).await);
                });
                Ok(streamed(response))
            }
            Some(Fault::Part) => self.in_part(&asked, count, whole).await,
        }
    }

    async fn in_part(&self, asked: &Asked, count: u64, whole: Delivery) -> Result<Response<Body>, Broken> {
        let mut random = self.schedule.details(asked, count);
        let Some(mut parted) = Parted::new(&asked.operation, &whole.body, &mut random) else {
            return self.deliver(&whole).await.map(streamed);
        };
        let Some(passed_on) = parted.passed_on.take() else { return Ok(json_answer(&parted.answer(None))) };
        let mut part = Delivery { parts: whole.parts, body: Bytes::from(passed_on.to_string()) };
        part.parts.headers.remove("content-length");
        let response = self.to_the_end(&part).await?;
        if !response.status().is_success() {
            return Ok(response.map(full));
        }
        let answered = serde_json::from_slice(response.body()).map_err(|_| Broken)?;
        Ok(json_answer(&parted.answer(Some(answered))))
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<Response<Incoming>, Broken> {
        let mut request = Request::new(Full::from(delivery.body.clone()));
        *request.method_mut() = delivery.parts.method.clone();
        *request.uri_mut() = delivery.parts.uri.clone();
        *request.headers_mut() = delivery.parts.headers.clone();
        // The server behind may have been killed: a broken connection is what its client would have seen.
        self.client.request(request).await.map_err(|_| Broken)
    }

    /// Delivers it and reads the answer to its end, so that it has had its effect.
    async fn to_the_end(&self, delivery: &Delivery) -> Result<Response<Bytes>, Broken> {
        let (parts, body) = self.deliver(delivery).await?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| Broken)?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }

    fn address(&self, parts: &Parts) -> Option<Uri> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        format!("{}{path}", self.server).parse().ok()
    }

    fn next(&self, asked: &Asked) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let count = seen.entry(asked.operation.clone()).or_default();
        *count += 1;
        *count
    }

    fn count(&self, name: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }
}

/// A request that can be delivered any number of times.
#[derive(Debug)]
struct Delivery {
    parts: Parts,
    body: Bytes,
}

fn streamed(response: Response<Incoming>) -> Response<Body> {
    response.map(|body| body.map_err(|error| Box::new(error) as BoxError).boxed_unsync())
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The first half of a body, and then nothing but a broken connection.
fn cut(bytes: Bytes) -> Body {
    let half = bytes.slice(..bytes.len() / 2);
    let frames = [Ok(Frame::data(half)), Err(Box::new(Broken) as BoxError)];
    http_body_util::StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

fn json_answer(answer: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(full(Bytes::from(answer.to_string())));
    let json = hyper::header::HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert("content-type", json);
    response
}
