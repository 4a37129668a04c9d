//! A stand-in for AWS under load: faster than what it measures, and as strict about sizes and counts as the service.
//!
//! It answers the calls that carry records from memory (`PutRecords`, `GetRecords`, `GetShardIterator`, the writes of
//! items, objects) and keeps nothing of them but counts. Every other call, those of leases among them, goes on to
//! embedded engines, which have the stream and the tables.

mod content;
mod count;
mod dynamodb;
mod kinesis;
mod s3;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

pub use content::{Content, Form, rows_of};
pub use count::{Call, Counts};

/// More than any call may carry.
const BODY_LIMIT: usize = 32 << 20;

/// What is served.
#[derive(Debug)]
pub struct Options {
    /// Where calls go that carry no records.
    pub engines: String,
    /// What a reader gets, again and again.
    pub content: Content,
    /// Shards that `GetRecords` knows; those of the stream in the engines.
    pub shards: usize,
    /// How long each answer takes at least, as the service's do.
    pub delay: Duration,
}

/// A running stand-in.
#[derive(Debug)]
pub struct StandIn {
    addr: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    options: Options,
    counts: Counts,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer of the service: a status and a body.
pub(crate) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    etag: bool,
}

impl Answer {
    fn json(body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, content_type: "application/x-amz-json-1.1", body: body.into(), etag: false }
    }

    fn xml(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: "application/xml", body: body.into(), etag: status.is_success() }
    }

    /// A refusal as the JSON services write it.
    fn refused(code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "__type": code, "message": message }).to_string();
        Self { status: StatusCode::BAD_REQUEST, ..Self::json(body) }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if self.etag {
            response.headers_mut().insert("etag", HeaderValue::from_static("\"0123456789abcdef0123456789abcdef\""));
        }
        response
    }
}

impl StandIn {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("there is no free port")?;
        let addr = listener.local_addr()?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let state = Arc::new(State { options, counts: Counts::default(), client });
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { addr, state })
    }

    /// Where it answers.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it has been asked until now.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.state.counts
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((socket, _)) = listener.accept().await {
        // A socket that refuses it works all the same.
        drop(socket.set_nodelay(true));
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(state.answer(request).await) }
        });
        // The KCL speaks HTTP/2 without asking.
        let server = auto::Builder::new(TokioExecutor::new());
        // A client that goes away is nothing to mind.
        tokio::spawn(async move { drop(server.serve_connection(TokioIo::new(socket), service).await) });
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.try_answer(request).await {
            Ok(response) => response,
            Err(error) => {
                let mut response = Response::new(Full::from(format!("the stand-in fails: {error:#}")));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        }
    }

    async fn try_answer(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(Answer::refused("MissingAuthenticationTokenException", "unsigned").into_response());
        }
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let answer = match target.split_once('.') {
            Some(("Kinesis_20131202", operation)) => kinesis::answer(&self.options, &self.counts, operation, &body)?,
            Some(("DynamoDB_20120810", operation)) => dynamodb::answer(&self.counts, operation, &body),
            _ => Some(s3::answer(&self.counts, &parts.method, &parts.uri, &body)),
        };
        match answer {
            Some(answer) => {
                if !self.options.delay.is_zero() {
                    tokio::time::sleep(self.options.delay).await;
                }
                Ok(answer.into_response())
            }
            None => self.forward(Request::from_parts(parts, body)).await,
        }
    }

    async fn forward(&self, request: Request<Bytes>) -> anyhow::Result<Response<Full<Bytes>>> {
        let (mut parts, body) = request.into_parts();
        // Whatever the client spoke, this one speaks HTTP/1.1.
        parts.version = Version::HTTP_11;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("{}{path}", self.options.engines).parse::<Uri>()?;
        let response = self.client.request(Request::from_parts(parts, Full::new(body))).await?;
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
    }
}
