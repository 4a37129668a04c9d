//! Asking the processes of stages how they are: `/readyz` and `/metrics`, with a time limit and a bound on the answer.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

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
    /// Its metrics as text; empty when it did not answer.
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
        let metrics = metrics.ok().filter(|(ok, _)| *ok).map(|(_, text)| text).unwrap_or_default();
        Said { condition, metrics }
    }

    /// Whether the answer was 2xx, and its text.
    async fn get(&self, admin: &str, path: &str) -> Result<(bool, String), String> {
        let uri: Uri = format!("{admin}/{path}").parse().map_err(|error| format!("{admin} is no URL: {error}"))?;
        let request = Request::get(uri).body(Empty::new()).map_err(|error| error.to_string())?;
        let answered = async {
            let response = self.0.request(request).await.map_err(|error| causes(&error))?;
            let ok = response.status().is_success();
            let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok((ok, String::from_utf8_lossy(&body).into_owned()))
        };
        match tokio::time::timeout(LIMIT, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} ms", LIMIT.as_millis())),
        }
    }
}

/// The innermost cause: what the system said.
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
