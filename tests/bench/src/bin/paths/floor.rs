//! The limit of the paths over HTTP: a server that reads each request whole and answers as much as a source does, and
//! does nothing else. Whatever a source does for a request comes on top of that.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// As a source answers for one row.
const ANSWER: &[u8] = br#"{"accepted":1,"refused":0,"rows":[{"status":"accepted","shard":"shardId-000000000000","sequence":"49000000000000000000000000000000000000000000000000000001","subSequence":0}]}"#;

/// Serves until it is killed, on a runtime like that of a stage.
pub(crate) fn serve(addr: SocketAddr) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(accept(addr))
}

async fn accept(addr: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        // A client that goes away is nothing to mind.
        tokio::spawn(async move {
            drop(http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer)).await);
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body that breaks off ends its connection.
    drop(request.into_body().collect().await);
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
