//! The page and its data.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;

use crate::guard::{Access, guard};
use crate::list;
use crate::peek::{Peek, PeekError, What};
use crate::subject::{CannotTell, Key, Subject};
use crate::view;
use crate::watch::Watch;

const INDEX: &str = include_str!("../page/index.html");
const STYLE: &str = include_str!("../page/style.css");
const APP: &str = include_str!("../page/app.js");
const CHART: &str = include_str!("../page/chart.js");
const ANSWER: &str = include_str!("../page/answer.js");
const GRAPH: &str = include_str!("../page/graph.js");
const ICON: &str = include_str!("../page/icon.svg");

/// What routes need.
#[derive(Clone)]
pub(crate) struct Routes {
    pub(crate) watch: Arc<Watch>,
    pub(crate) peek: Arc<Peek>,
}

/// The page and its data, for those who may look.
pub(crate) fn router(routes: Routes, access: Access) -> Router {
    let file = |content_type: &'static str, text: &'static str| {
        get(move || async move { ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")], text) })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", INDEX))
        .route("/style.css", file("text/css; charset=utf-8", STYLE))
        .route("/app.js", file("text/javascript; charset=utf-8", APP))
        .route("/chart.js", file("text/javascript; charset=utf-8", CHART))
        .route("/answer.js", file("text/javascript; charset=utf-8", ANSWER))
        .route("/graph.js", file("text/javascript; charset=utf-8", GRAPH))
        .route("/icon.svg", file("image/svg+xml", ICON))
        .route("/api/pipelines", get(pipelines))
        .route("/api/pipelines/{namespace}/{name}", get(pipeline))
        .route("/api/pipelines/{namespace}/{name}/records/{buffer}", get(records))
        .route("/api/pipelines/{namespace}/{name}/objects/{sink}", get(objects))
        .route("/api/pipelines/{namespace}/{name}/dead-letters/{sink}", get(dead_letters))
        .route("/api/pipelines/{namespace}/{name}/items/{table}", get(items))
        .route("/api/pipelines/{namespace}/{name}/answers/{api}/{route}", get(answers))
        .with_state(routes)
        .layer(middleware::from_fn_with_state(access, guard))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    /// A part of the name or of the namespace.
    #[serde(default)]
    filter: String,
}

/// The Pipelines, those in trouble first.
async fn pipelines(State(routes): State<Routes>, Query(Wanted { filter }): Query<Wanted>) -> Response {
    match routes.watch.all().await {
        Ok(listing) => {
            let line = |outline: &_| {
                let known = |known: &_| list::line(outline, Some(known));
                routes.watch.known(&list::key(outline), known).unwrap_or_else(|| list::line(outline, None))
            };
            Json(list::sorted(&listing, &filter, line)).into_response()
        }
        Err(error) => cannot_tell(&error),
    }
}

#[derive(Debug, Deserialize)]
struct Since {
    /// The tick from which on values are wanted.
    #[serde(default)]
    since: u64,
}

async fn pipeline(
    State(routes): State<Routes>,
    Path(key): Path<Key>,
    Query(Since { since }): Query<Since>,
) -> Response {
    let found = routes.watch.attend_to(&key).await;
    let whole = |known: &_| Json(view::whole(&key, known, since)).into_response();
    match found {
        Ok(true) => routes.watch.known(&key, whole).unwrap_or_else(no_such_pipeline),
        Ok(false) => no_such_pipeline(),
        Err(error) => cannot_tell(&error),
    }
}

fn no_such_pipeline() -> Response {
    problem(StatusCode::NOT_FOUND, "there is no such Pipeline")
}

fn cannot_tell(CannotTell(because): &CannotTell) -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, because)
}

async fn records(
    State(routes): State<Routes>,
    Path((namespace, name, buffer)): Path<(String, String, String)>,
) -> Response {
    look(&routes, (namespace, name), What::Records { buffer }).await
}

async fn objects(
    State(routes): State<Routes>,
    Path((namespace, name, sink)): Path<(String, String, String)>,
) -> Response {
    look(&routes, (namespace, name), What::Objects { sink }).await
}

async fn dead_letters(
    State(routes): State<Routes>,
    Path((namespace, name, sink)): Path<(String, String, String)>,
) -> Response {
    look(&routes, (namespace, name), What::DeadLetters { sink }).await
}

#[derive(Debug, Deserialize)]
struct ItemKey {
    partition: String,
    sort: Option<String>,
}

async fn items(
    State(routes): State<Routes>,
    Path((namespace, name, table)): Path<(String, String, String)>,
    Query(ItemKey { partition, sort }): Query<ItemKey>,
) -> Response {
    let sort = sort.filter(|sort| !sort.is_empty());
    look(&routes, (namespace, name), What::Items { table, partition, sort }).await
}

async fn answers(
    State(routes): State<Routes>,
    Path((namespace, name, api, route)): Path<(String, String, String, usize)>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Response {
    look(&routes, (namespace, name), What::Answer { api, route, parameters }).await
}

async fn look(routes: &Routes, key: Key, what: What) -> Response {
    let subject: Option<Arc<Subject>> = match routes.watch.attend_to(&key).await {
        Ok(_) => routes.watch.known(&key, |known| known.subject.clone()).flatten(),
        Err(error) => return cannot_tell(&error),
    };
    let Some(subject) = subject else { return no_such_pipeline() };
    match routes.peek.look(&subject, what).await {
        Ok(seen) => Json(seen).into_response(),
        Err(error) => {
            let status = match &error {
                PeekError::Unknown(_) | PeekError::NoStores => StatusCode::NOT_FOUND,
                PeekError::NeedsKey(_) => StatusCode::FORBIDDEN,
                PeekError::Service { .. } => StatusCode::BAD_GATEWAY,
                PeekError::Timeout => StatusCode::GATEWAY_TIMEOUT,
            };
            problem(status, &error.to_string())
        }
    }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({ "status": status.as_u16(), "title": status.canonical_reason(), "detail": detail });
    (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
