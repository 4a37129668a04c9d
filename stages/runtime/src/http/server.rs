//! Connections: taking them, bounding them, ending them.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stalling::NoStalling;
use crate::Health;

/// So many connections beyond the limit are told so at one time; more are closed without a word.
const MAX_TURNED_AWAY: usize = 256;
/// How long a connection that is turned away may take to read why.
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);
/// How long to wait when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The largest head of a request.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// The name under which the listener stands in the stage's health.
const CONCERN: &str = "listener";

const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: application/problem+json\r\n\
retry-after: 1\r\n\
connection: close\r\n\
content-length: 218\r\n\
\r\n\
{\"type\":\"urn:penstock:problem:too_many_connections\",\"title\":\"There are too many connections\",\"status\":503,\
\"detail\":\"connect again after the time in Retry-After, and keep connections open\",\"code\":\"too_many_connections\"}";

/// What bounds connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// How many there may be at one time.
    pub max_connections: usize,
    /// For the head of a request, also while the connection is idle, and for a write without progress.
    pub patience: Duration,
    /// How long requests in flight may take once the stage is asked to end.
    pub drain: Duration,
}

/// Who counts connections.
pub trait ConnectionWatch: Clone + Send + Sync + 'static {
    /// One was taken.
    fn opened(&self);
    /// One has ended.
    fn closed(&self);
    /// One was told that there are too many.
    fn turned_away(&self);
}

/// Serves HTTP/1.1 until asked to end, then lets requests in flight finish. Each request goes to `respond`.
pub async fn serve<W, R, F, B>(
    listener: TcpListener,
    limits: ConnectionLimits,
    watch: W,
    respond: R,
    stop: CancellationToken,
    health: Health,
) where
    W: ConnectionWatch,
    R: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let turning_away = Arc::new(Semaphore::new(MAX_TURNED_AWAY));
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    health.fine(CONCERN);
    loop {
        let stream = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    accept_failed(&error).await;
                    continue;
                }
            },
        };
        match places.clone().try_acquire_owned() {
            Ok(place) => {
                let connection = Connection {
                    limits,
                    stop: stop.clone(),
                    abort: abort.clone(),
                    open: Open::new(place, watch.clone()),
                };
                connections.spawn(connection.run(stream, respond.clone()));
            }
            Err(_) => {
                watch.turned_away();
                if let Ok(place) = turning_away.clone().try_acquire_owned() {
                    connections.spawn(turn_away(stream, place));
                }
            }
        }
    }
    health.waits(CONCERN, "the stage is ending and takes no more connections");
    drop(listener);
    connections.close();
    if timeout(limits.drain, connections.wait()).await.is_err() {
        let left = connections.len();
        tracing::warn!(left, "requests were still in flight when the time to end was over; they are broken off");
        abort.cancel();
        connections.wait().await;
    }
}

/// Binds the address; port 0 takes a free one.
///
/// # Errors
/// When it cannot be bound.
pub async fn listen(addr: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(addr).await?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// A connection that was reset before it was taken is no fault; without file descriptors, waiting may help.
async fn accept_failed(error: &std::io::Error) {
    use std::io::ErrorKind as Kind;
    if matches!(error.kind(), Kind::ConnectionReset | Kind::ConnectionAborted | Kind::ConnectionRefused) {
        return;
    }
    tracing::warn!(%error, "no connection can be taken; is the limit of open files too low?");
    sleep(ACCEPT_PAUSE).await;
}

/// A place among the open connections, counted.
struct Open<W: ConnectionWatch> {
    _place: OwnedSemaphorePermit,
    watch: W,
}

impl<W: ConnectionWatch> Open<W> {
    fn new(place: OwnedSemaphorePermit, watch: W) -> Self {
        watch.opened();
        Self { _place: place, watch }
    }
}

impl<W: ConnectionWatch> Drop for Open<W> {
    fn drop(&mut self) {
        self.watch.closed();
    }
}

struct Connection<W: ConnectionWatch> {
    limits: ConnectionLimits,
    stop: CancellationToken,
    abort: CancellationToken,
    open: Open<W>,
}

impl<W: ConnectionWatch> Connection<W> {
    async fn run<R, F, B>(self, stream: TcpStream, respond: R)
    where
        R: Fn(Request<Incoming>) -> F,
        F: Future<Output = Response<B>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // Answers are written at once; without this, small ones wait for more.
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(NoStalling::new(stream, self.limits.patience));
        let respond = service_fn(move |request| {
            let answer = respond(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.patience)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(io, respond);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.abort.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(self.open);
    }
}

/// Says why, and lets the client read it before the connection is gone.
async fn turn_away(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let told = async {
        stream.write_all(TURNED_AWAY).await?;
        stream.shutdown().await?;
        let mut ignored = [0; 1024];
        while stream.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(TURN_AWAY_TIME, told).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_answer_has_the_length_that_it_says() {
        let text = std::str::from_utf8(TURNED_AWAY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(format!("content-length: {}\r\n", body.len()).trim_end()), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
