//! The way to Kubernetes, with limits on everything.
//!
//! kube's own client has no time limit on an answer, reads bodies of any size, and repeats whatever was answered with 429, 503 or
//! 504 up to fifteen times, creates included. Around any client, [`limited`] puts a time limit that includes the
//! body, a bound on the body, and repeats only of what has the same effect twice: reads, and applies.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use tokio::time::{sleep, timeout};
use tower::BoxError;

use crate::metrics;
use crate::settings::ElectionSettings;

/// The limits of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long one attempt may take, body included. Of a watch: until it begins.
    pub attempt: Duration,
    /// How long a call may take with all its attempts.
    pub call: Duration,
    /// How often what may be repeated is.
    pub repeats: u32,
    /// The largest answer.
    pub max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(20), call: Duration::from_secs(30), repeats: 2, max_bytes: 64 << 20 }
    }
}

impl Limits {
    /// Of the client for leases: the elector repeats by itself, and knows when it is too late.
    #[must_use]
    pub fn for_leases(election: &ElectionSettings) -> Self {
        Self { attempt: election.attempt, call: election.attempt, repeats: 0, max_bytes: 1 << 20 }
    }
}

/// A call that was given up.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {} s", .0.as_secs())]
pub struct TooLate(pub Duration);

/// A client that keeps the limits.
#[must_use]
pub fn limited(client: Client, limits: Limits) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let verb = request.extensions().get::<&'static str>().copied().unwrap_or("other");
            let answer = timeout(limits.call, call(client, request, limits)).await;
            let answer = answer.unwrap_or_else(|_| Err(TooLate(limits.call).into()));
            metrics::api_call(verb, answer.as_ref().ok().map(|answer| answer.status().as_u16()));
            answer
        }
    });
    Client::new(service, namespace)
}

async fn call(client: Client, request: Request<Body>, limits: Limits) -> Result<Response<Body>, BoxError> {
    if is_watch(&request) {
        // A watch has no end; kube gives it up by itself when nothing comes for longer than it asked for.
        return Ok(client.send(request).await?);
    }
    let repeats = if is_repeatable(&request) { limits.repeats } else { 0 };
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut attempt = 0;
    loop {
        let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        let answer = timeout(limits.attempt, whole(&client, request, limits.max_bytes)).await;
        let answer = answer.map_err(|_| TooLate(limits.attempt))??;
        if attempt >= repeats || !asks_to_repeat(answer.status()) {
            return Ok(answer.map(Body::from));
        }
        sleep(wait(answer.headers(), attempt)).await;
        attempt += 1;
    }
}

async fn whole(client: &Client, request: Request<Body>, max_bytes: usize) -> Result<Response<Bytes>, BoxError> {
    let (parts, body) = client.send(request).await?.into_parts();
    let body = Limited::new(body, max_bytes).collect().await?.to_bytes();
    Ok(Response::from_parts(parts, body))
}

fn is_watch(request: &Request<Body>) -> bool {
    request.method() == Method::GET
        && request
            .uri()
            .query()
            .is_some_and(|query| query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1"))
}

/// Whether doing it twice is like doing it once.
fn is_repeatable(request: &Request<Body>) -> bool {
    let is_apply = || {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        kind.is_some_and(|kind| kind.starts_with("application/apply-patch"))
    };
    request.method() == Method::GET || (request.method() == Method::PATCH && is_apply())
}

fn asks_to_repeat(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// As long as the API server says, but not longer than a reconcile may be held up.
fn wait(headers: &HeaderMap, attempt: u32) -> Duration {
    const LONGEST: Duration = Duration::from_secs(5);
    let told = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let own = Duration::from_millis(200).saturating_mul(1 << attempt.min(8)).mul_f64(0.5 + fastrand::f64() / 2.0);
    told.map_or(own, Duration::from_secs).min(LONGEST)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
