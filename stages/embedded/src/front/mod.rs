//! The one endpoint: accepts connections, asks `route` whose a request is, hands it on.

pub(crate) mod body;
mod calls;
mod route;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use self::body::{Body, full};
use self::calls::Calls;
use self::route::{Service, route};
use crate::dynamodb::DynamoDb;
use crate::kinesis::Kinesis;
use crate::s3::S3Engine;

/// Connections at the same time; others wait to be accepted.
const CONNECTIONS: usize = 4096;
/// How long a connection may take to send its headers, and how long it may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long requests that run may take when the engines stop.
const DRAIN: Duration = Duration::from_secs(10);

/// The engines behind the endpoint.
struct Engines {
    kinesis: Arc<Kinesis>,
    dynamodb: Arc<DynamoDb>,
    s3: S3Engine,
    calls: Arc<Calls>,
}

/// The running server.
pub(crate) struct Front {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    calls: Arc<Calls>,
}

/// Serves the engines on a listener.
pub(crate) fn serve(listener: TcpListener, kinesis: Arc<Kinesis>, dynamodb: Arc<DynamoDb>, s3: S3Engine) -> Front {
    let (stop, stopping) = watch::channel(false);
    let calls = Arc::new(Calls::default());
    let engines = Arc::new(Engines { kinesis, dynamodb, s3, calls: Arc::clone(&calls) });
    let accepting = tokio::spawn(accept(listener, engines, stopping));
    Front { stop, accepting, calls }
}

impl Front {
    /// How often each operation was called.
    pub(crate) fn calls(&self) -> BTreeMap<String, u64> {
        self.calls.all()
    }

    /// Accepts nothing more and waits for the requests that run.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        // Every connection holds a receiver until it has ended.
        if tokio::time::timeout(DRAIN, self.stop.closed()).await.is_err() {
            tracing::warn!("connections were still open when the embedded engines stopped");
        }
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, engines: Arc<Engines>, mut stopping: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stopping) => return,
        };
        match accepted {
            Ok((socket, _)) => {
                let connection = serve_connection(socket, Arc::clone(&engines), stopping.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Ends when the engines stop.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    drop(stopping.wait_for(|stop| *stop).await);
}

async fn serve_connection(socket: TcpStream, engines: Arc<Engines>, mut stopping: watch::Receiver<bool>) {
    // Without it small answers wait for an acknowledgement; a socket that refuses it works all the same.
    drop(socket.set_nodelay(true));
    let service = service_fn(move |request| {
        let engines = Arc::clone(&engines);
        async move { Ok::<_, Infallible>(dispatch(&engines, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped(&mut stopping) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection ended early");
    }
}

async fn dispatch(engines: &Engines, request: Request<Incoming>) -> Response<Body> {
    let service = route(request.headers());
    engines.calls.count(&service, request.method());
    match service {
        Service::Kinesis(operation) => Box::pin(engines.kinesis.handle(&operation, request)).await,
        Service::DynamoDb(operation) => Box::pin(engines.dynamodb.handle(&operation, request)).await,
        Service::S3 => Box::pin(engines.s3.handle(request)).await,
        Service::Unknown(name) => unknown(&name),
    }
}

/// A service that is not here.
fn unknown(name: &str) -> Response<Body> {
    let message = format!("{name} is not served here: the embedded engines are Kinesis, DynamoDB and S3.");
    let body = serde_json::json!({ "__type": "UnknownOperationException", "message": message });
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
    headers.insert("x-amzn-errortype", HeaderValue::from_static("UnknownOperationException"));
    response
}
