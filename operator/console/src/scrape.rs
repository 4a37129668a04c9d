//! Asking the processes of stages over HTTP, each with a time limit and a bound on the answer: how they are (`/readyz` and
//! `/metrics`), and whatever else.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::measure::{API, SINK, SOURCE};
use crate::subject::ApiKey;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_millis(1_500);
/// The longest answer.
const BODY_LIMIT: usize = 4 << 20;

/// How a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Ready.
    Ready,
    /// It answers, and says what it waits for.
    Waits(String),
    /// It does not answer.
    Silent(String),
    /// It cannot be asked yet.
    Starting(String),
    /// It cannot be asked any more.
    Broken(String),
}

/// What a process said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) condition: Condition,
    /// Those lines of its metrics that are shown, as text; empty when it did not answer.
    pub(crate) metrics: String,
}

impl Said {
    /// Of a process that was not asked.
    pub(crate) fn nothing(condition: Condition) -> Self {
        Self { condition, metrics: String::new() }
    }
}

/// Asks. Cheap to clone; all clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Asker(Client<HttpConnector, Empty<Bytes>>);

impl Asker {
    pub(crate) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(2).build_http())
    }

    /// Asks a process that answers at this base URL.
    pub(crate) async fn ask(&self, admin: &str) -> Said {
        let (ready, metrics) = tokio::join!(self.get(admin, "readyz"), self.get(admin, "metrics"));
        let condition = match ready {
            Ok((true, _)) => Condition::Ready,
            Ok((false, waits)) => Condition::Waits(waits.trim().to_owned()),
            Err(error) => Condition::Silent(error),
        };
        let metrics = metrics.ok().filter(|(ok, _)| *ok).map(|(_, text)| shown(&text)).unwrap_or_default();
        Said { condition, metrics }
    }

    /// Whether the answer was 2xx, and its text.
    async fn get(&self, admin: &str, path: &str) -> Result<(bool, String), String> {
        let url = format!("{admin}/{path}");
        let fetch = Fetch { url: &url, key: None, limit: LIMIT, most_bytes: BODY_LIMIT };
        let (status, body) = self.fetch(fetch).await?;
        Ok((status.is_success(), String::from_utf8_lossy(&body).into_owned()))
    }

    /// The status and the body of an answer.
    pub(crate) async fn fetch(&self, fetch: Fetch<'_>) -> Result<(StatusCode, Bytes), String> {
        let Fetch { url, key, limit, most_bytes } = fetch;
        let uri: Uri = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
        let mut request = Request::get(uri).header(ACCEPT, "application/json, text/plain;q=0.9, */*;q=0.1");
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, format!("Bearer {}", key.expose()));
        }
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let answered = async {
            let response = self.0.request(request).await.map_err(|error| causes(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), most_bytes).collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        match tokio::time::timeout(limit, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
        }
    }
}

/// The lines of metrics that the page reads: what all processes say is in memory at the same time.
fn shown(text: &str) -> String {
    let is_shown = |line: &&str| {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        [SOURCE, SINK, API].into_iter().flatten().any(|measure| measure.metric == name)
    };
    text.split_inclusive('\n').filter(is_shown).collect()
}

/// What is fetched, and within which bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetch<'a> {
    pub(crate) url: &'a str,
    pub(crate) key: Option<&'a ApiKey>,
    pub(crate) limit: Duration,
    pub(crate) most_bytes: usize,
}

/// The innermost cause: what the system said.
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
