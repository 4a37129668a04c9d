//! `/livez`, `/readyz` and `/metrics` of a stage.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Health, Metrics, NotReady};

/// Why the admin port could not be served.
#[derive(Debug, thiserror::Error)]
#[error("the admin port {addr} cannot be opened: choose another one, or end the process that holds it")]
pub struct AdminError {
    /// The address.
    pub addr: SocketAddr,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// Serves `/livez`, `/readyz` and `/metrics` until `stop`; returns the address that it listens on.
///
/// # Errors
/// When the address cannot be bound.
pub fn serve_admin(
    addr: SocketAddr,
    health: Health,
    metrics: Metrics,
    stop: CancellationToken,
) -> BoxFuture<'static, Result<SocketAddr, AdminError>> {
    // Boxed: the body of an `async fn` would be compiled again by every crate that awaits it.
    Box::pin(serve(addr, health, metrics, stop))
}

async fn serve(
    addr: SocketAddr,
    health: Health,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<SocketAddr, AdminError> {
    let listener = TcpListener::bind(addr).await.map_err(|source| AdminError { addr, source })?;
    let bound = listener.local_addr().map_err(|source| AdminError { addr, source })?;
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/metrics", get(metrics_text).with_state(metrics));
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin server ended");
        }
    });
    Ok(bound)
}

async fn livez(State(health): State<Health>) -> impl IntoResponse {
    answer(&health.not_alive())
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    answer(&health.not_ready())
}

async fn metrics_text(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}

fn answer(waiting: &[NotReady]) -> (StatusCode, String) {
    if waiting.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let lines = waiting.iter().map(|wait| format!("{}: {}\n", wait.concern, wait.because)).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stage_waits_for_is_in_the_answer() {
        let waits = NotReady { concern: "stream", because: "the stream is being created".to_owned() };
        let (status, body) = answer(&[waits]);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "stream: the stream is being created\n");
        assert_eq!(answer(&[]).0, StatusCode::OK);
    }
}
