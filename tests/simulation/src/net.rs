//! The way from a process to the services: the SDK's own connector, with the world at its other end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::{DateTime, Format as DateTimeFormat};
use bytes::Bytes;
use hyper::body::{Body, Frame};
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::Millis;
use crate::sink::{SinkAnswer, SinkCall};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Kinesis,
    DynamoDb,
    S3,
    Sink,
}

/// What a process asks.
#[derive(Debug)]
pub(crate) enum Call {
    Http(HttpCall),
    Sink(SinkCall),
}

/// A request as the SDK sends it.
#[derive(Debug)]
pub(crate) struct HttpCall {
    pub(crate) service: Service,
    /// The operation's name: of the target header, or the HTTP method.
    pub(crate) operation: String,
    pub(crate) path: String,
    pub(crate) if_none_match: bool,
    pub(crate) body: Vec<u8>,
}

/// A part of an event stream.
pub(crate) type Pushed = Result<Bytes, io::Error>;

/// What comes back.
#[derive(Debug)]
pub(crate) enum Answer {
    Http {
        status: u16,
        body: String,
    },
    /// An event stream, of which more comes.
    Events(UnboundedReceiver<Pushed>),
    Sink(SinkAnswer),
    /// The connection broke.
    Reset,
}

impl Call {
    pub(crate) fn service(&self) -> Service {
        match self {
            Self::Http(call) => call.service,
            Self::Sink(_) => Service::Sink,
        }
    }
}

/// What comes back, and when it was sent off.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    /// In milliseconds since the Unix epoch, by the clock of whoever answers.
    pub(crate) date: Millis,
}

/// A call that has left its process.
#[derive(Debug)]
pub(crate) struct Sent {
    /// On the process's own clock, from its start.
    pub(crate) at: Millis,
    pub(crate) call: Call,
    pub(crate) answer: oneshot::Sender<Reply>,
}

/// A process's way out.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    sent: Arc<Mutex<Vec<Sent>>>,
    /// Tells the world that the process has sent something.
    pub(crate) stirred: Arc<Notify>,
    origin: Instant,
}

impl Line {
    /// One for the process whose clock began at `origin`.
    pub(crate) fn new(origin: Instant) -> Self {
        Self { sent: Arc::default(), stirred: Arc::default(), origin }
    }

    /// What was sent since this was asked last.
    pub(crate) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.sent.lock())
    }

    /// Sends; the answer may never come.
    pub(crate) fn call(&self, call: Call) -> impl Future<Output = Reply> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let at = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(Millis::MAX);
        self.sent.lock().push(Sent { at, call, answer });
        self.stirred.notify_one();
        async move {
            match answered.await {
                Ok(reply) => reply,
                Err(_) => std::future::pending().await,
            }
        }
    }
}

impl HttpClient for Line {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = match read(&request) {
            Ok(call) => call,
            Err(problem) => return HttpConnectorFuture::ready(Err(ConnectorError::user(problem.into()))),
        };
        let answered = Line::call(self, Call::Http(call));
        HttpConnectorFuture::new(async move {
            let Reply { answer, date } = answered.await;
            match answer {
                Answer::Http { status, body } => {
                    let status = StatusCode::try_from(status).map_err(|error| ConnectorError::user(error.into()))?;
                    let mut response = HttpResponse::new(status, SdkBody::from(body));
                    response.headers_mut().insert("date", http_date(date));
                    Ok(response)
                }
                Answer::Events(events) => {
                    let ok = StatusCode::try_from(200_u16).map_err(|error| ConnectorError::user(error.into()))?;
                    let mut response = HttpResponse::new(ok, SdkBody::from_body_1_x(Events(events)));
                    response.headers_mut().insert("content-type", "application/vnd.amazon.eventstream");
                    Ok(response)
                }
                Answer::Reset | Answer::Sink(_) => Err(ConnectorError::io("connection reset by peer".into())),
            }
        })
    }
}

/// The body of an answer that comes in parts.
struct Events(UnboundedReceiver<Pushed>);

impl Body for Events {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| part.map(Frame::data)))
    }
}

/// As HTTP writes a time: in whole seconds.
fn http_date(millis: Millis) -> String {
    let date = DateTime::from_secs((millis / 1000).cast_signed());
    date.fmt(DateTimeFormat::HttpDate).expect("a time of this century can be written")
}

fn read(request: &HttpRequest) -> Result<HttpCall, String> {
    let body = request.body().bytes().ok_or("a body that is not in memory")?.to_vec();
    let path = request.uri().split("://").last().and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
    let (service, operation) = match request.headers().get("x-amz-target").and_then(|target| target.split_once('.')) {
        Some(("Kinesis_20131202", operation)) => (Service::Kinesis, operation),
        Some(("DynamoDB_20120810", operation)) => (Service::DynamoDb, operation),
        Some((other, _)) => return Err(format!("nobody answers for {other}")),
        None => (Service::S3, request.method()),
    };
    Ok(HttpCall {
        service,
        operation: operation.to_owned(),
        path: path.to_owned(),
        if_none_match: request.headers().get("if-none-match") == Some("*"),
        body,
    })
}
