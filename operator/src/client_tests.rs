#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::*;

/// A server that answers every request with this, and counts them.
fn server(status: u16, body: &'static str) -> (Client, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let service = tower::service_fn(move |_: Request<Body>| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Response::builder().status(status).body(Body::from(body.as_bytes().to_vec())) }
    });
    (Client::new(service, "default"), calls)
}

fn config_maps(client: Client) -> Api<ConfigMap> {
    Api::default_namespaced(limited(client, Limits::default()))
}

#[tokio::test(start_paused = true)]
async fn a_create_is_never_repeated() {
    let (client, calls) = server(503, "");
    assert!(config_maps(client).create(&PostParams::default(), &ConfigMap::default()).await.is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn reads_and_applies_are_repeated_a_few_times() {
    let (client, calls) = server(429, "");
    assert!(config_maps(client).get("a").await.is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    let (client, calls) = server(503, "");
    let apply = PatchParams::apply("penstock");
    assert!(config_maps(client).patch("a", &apply, &Patch::Apply(json!({}))).await.is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    let (client, calls) = server(503, "");
    assert!(config_maps(client).patch("a", &PatchParams::default(), &Patch::Merge(json!({}))).await.is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 1, "a merge patch is not an apply");
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_repeated() {
    let (client, calls) = server(403, r#"{"kind":"Status","code":403,"message":"no"}"#);
    assert!(config_maps(client).get("a").await.is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up() {
    let service = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, BoxError>>());
    let begun = tokio::time::Instant::now();
    let error = config_maps(Client::new(service, "default")).get("a").await.unwrap_err();
    assert!(error.to_string().contains("did not answer"), "{error}");
    assert!(begun.elapsed() <= Limits::default().call);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let service = tower::service_fn(|_: Request<Body>| async {
        let never =
            http_body_util::StreamBody::new(futures::stream::pending::<Result<http_body::Frame<Bytes>, BoxError>>());
        Ok::<_, BoxError>(Response::new(never))
    });
    assert!(config_maps(Client::new(service, "default")).get("a").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_beyond_the_bound_is_refused() {
    let (client, _) = server(200, r#"{"metadata":{"name":"a-name-that-is-too-long-for-this-bound"}}"#);
    let small = limited(client, Limits { max_bytes: 16, ..Limits::default() });
    assert!(Api::<ConfigMap>::default_namespaced(small).get("a").await.is_err());
}

#[test]
fn the_servers_wish_is_kept_within_reason() {
    let after = |text: &str| HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
    assert_eq!(wait(&after("1"), 0), Duration::from_secs(1));
    assert_eq!(wait(&after("3600"), 0), Duration::from_secs(5));
    assert!(wait(&HeaderMap::new(), 0) <= Duration::from_millis(200));
    assert!(wait(&after("soon"), 1) >= Duration::from_millis(200));
}
