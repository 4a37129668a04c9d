//! One request: route, key, limits, rows, stream, answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use penstock_process::cell::ColumnTypes;
use penstock_runtime::http::{ApiKeys, Denied};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::answer::{Counts, answer};
use crate::body::{self, BodyLimits, PATIENCE, check_announced, discard, expects_continue};
use crate::budget::{Budget, Hold};
use crate::check::{CheckedRows, Checker, RowRules};
use crate::compressed::decompress;
use crate::headers::{self, Coding, Format, Preferences};
use crate::problem::{Problem, ProblemKind};
use crate::put::{Pending, Queue, Trouble};
use crate::rows::{Made, Shape, split};
use crate::telemetry::Telemetry;

/// How long the stream may take to acknowledge a row; a client may ask for less with `Prefer: wait=SECONDS`.
const ROW_DEADLINE: Duration = Duration::from_secs(30);
/// Bodies up to this size are checked where they are; larger ones on a thread that may be busy for a while.
const CHECKED_IN_PLACE: usize = 32 << 10;

type Answer = Response<Full<Bytes>>;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) path: String,
    pub(crate) schema_path: String,
    pub(crate) description: Description,
    /// Everybody may post when absent.
    pub(crate) keys: Option<ApiKeys>,
    pub(crate) rules: Arc<RowRules>,
    pub(crate) columns: Arc<ColumnTypes>,
    pub(crate) limits: BodyLimits,
    pub(crate) max_decompressed_bytes: u64,
    pub(crate) bodies: Budget,
    /// One for each processor: taking bodies apart needs nothing else.
    pub(crate) processors: Arc<Semaphore>,
    pub(crate) queue: Queue,
    pub(crate) telemetry: Telemetry,
}

/// What the source tells about itself at `GET {path}/schema`: the schema in the body, all else in headers, so that a
/// client learns it also where there is no schema.
#[derive(Debug)]
pub(crate) struct Description {
    /// As it is served.
    pub(crate) schema: Option<Bytes>,
    pub(crate) headers: HeaderMap,
}

/// The template of the partition key. By it a client tells which rows must stay in order.
pub(crate) const X_PARTITION_KEY: HeaderName = HeaderName::from_static("x-penstock-partition-key");
/// The field that holds a row's id.
pub(crate) const X_ID_FIELD: HeaderName = HeaderName::from_static("x-penstock-id-field");

/// What a `POST` says about itself.
#[derive(Debug, Clone, Copy)]
struct Posted {
    format: Format,
    coding: Coding,
    preferences: Preferences,
}

impl Service {
    /// Answers a request.
    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Answer {
        let started = Instant::now();
        let (head, mut body) = request.into_parts();
        let answer = match self.route(&head, &mut body).await {
            Ok(answer) => answer,
            Err(problem) => {
                discard(body, expects_continue(&head.headers), self.limits.max_bytes).await;
                problem.into_response()
            }
        };
        self.telemetry.answered(answer.status(), started.elapsed().as_secs_f64());
        answer
    }

    async fn route(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Problem> {
        let path = head.uri.path();
        if path == self.path {
            self.authorize(head)?;
            match head.method {
                Method::POST => self.post(head, body).await,
                _ => Err(not_allowed("POST", "rows are sent with POST")),
            }
        } else if path == self.schema_path {
            self.authorize(head)?;
            match head.method {
                Method::GET | Method::HEAD => Ok(self.description.answer()),
                _ => Err(not_allowed("GET, HEAD", "the schema is read with GET")),
            }
        } else {
            let detail = format!("rows are taken at {}, their schema is at {}", self.path, self.schema_path);
            Err(Problem::new(ProblemKind::NotFound, detail))
        }
    }

    fn authorize(&self, head: &Parts) -> Result<(), Problem> {
        let Some(keys) = &self.keys else { return Ok(()) };
        match keys.check(&head.headers) {
            Ok(user) => {
                tracing::trace!(user, method = %head.method, "a request with a good key");
                Ok(())
            }
            Err(Denied::NoKey) => {
                let detail = "send an API key as `Authorization: Bearer KEY` or `X-Api-Key: KEY`";
                Err(Problem::new(ProblemKind::NoKey, detail))
            }
            Err(Denied::WrongKey) => {
                let detail = "the API key is not among those of the source; ask whoever runs the Pipeline for one";
                Err(Problem::new(ProblemKind::WrongKey, detail))
            }
        }
    }

    async fn post(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Problem> {
        let posted = Posted {
            format: headers::format(&head.headers)?,
            coding: headers::coding(&head.headers)?,
            preferences: headers::preferences(&head.headers),
        };
        check_announced(&head.headers, self.limits.max_bytes)?;
        let wait = posted.preferences.wait.unwrap_or(ROW_DEADLINE).min(ROW_DEADLINE);
        if !self.queue.has_room(wait.min(PATIENCE)).await {
            let detail =
                "more waits for the stream than it takes; send the request again after the time in Retry-After";
            return Err(Problem::new(ProblemKind::QueueFull, detail));
        }
        let mut hold = self.bodies.hold();
        let body = body::read(body, self.limits, &mut hold).await?;
        self.telemetry.body(body.len());
        let (rows, hold) = self.check(posted, body, hold).await?;
        self.put(rows, hold, wait, posted.preferences.minimal).await
    }

    /// Takes the body apart and checks its rows. This is all computing, so it is done on as many threads as
    /// there are processors, which also bounds the memory of decompression.
    async fn check(&self, posted: Posted, body: Bytes, hold: Hold) -> Result<(CheckedRows, Hold), Problem> {
        let (rules, columns) = (self.rules.clone(), self.columns.clone());
        let max_decompressed_bytes = self.max_decompressed_bytes;
        let small = posted.coding == Coding::Identity && body.len() <= CHECKED_IN_PLACE;
        let work = move || check_body(posted, body, hold, &rules, &columns, max_decompressed_bytes);
        if small {
            return work();
        }
        let defect = || Problem::new(ProblemKind::Internal, "the rows could not be checked; please report this");
        let processor = self.processors.clone().acquire_owned().await.map_err(|_| defect())?;
        let checked = tokio::task::spawn_blocking(move || {
            let checked = work();
            drop(processor);
            checked
        });
        checked.await.map_err(|_| defect())?
    }

    async fn put(&self, rows: CheckedRows, hold: Hold, wait: Duration, minimal: bool) -> Result<Answer, Problem> {
        let CheckedRows { good, refused } = rows;
        self.telemetry.refused(&refused);
        let outcomes = if good.is_empty() {
            Vec::new()
        } else {
            let request = Arc::new(Pending::new(good.len(), Instant::now() + wait, hold));
            self.queue.put(good, &request).await;
            request.take_outcomes()
        };
        let counts = Counts::of(&refused, &outcomes);
        self.telemetry.accepted(counts.accepted);
        self.telemetry.not_stored(Trouble::Throttled.code(), counts.throttled);
        self.telemetry.not_stored(Trouble::Unavailable.code(), counts.unavailable);
        self.telemetry.not_stored(Trouble::Invalid.code(), counts.invalid);
        answer(counts, &refused, &outcomes, minimal)
    }
}

impl Description {
    fn answer(&self) -> Answer {
        let mut answer = match &self.schema {
            Some(schema) => {
                let mut answer = Response::new(Full::new(schema.clone()));
                answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/schema+json"));
                answer
            }
            None => {
                let detail = "the source has no schema: rows may have any fields";
                Problem::new(ProblemKind::NotFound, detail).into_response()
            }
        };
        answer.headers_mut().extend(self.headers.clone());
        answer
    }
}

fn check_body(
    posted: Posted,
    body: Bytes,
    mut hold: Hold,
    rules: &RowRules,
    columns: &ColumnTypes,
    max_decompressed_bytes: u64,
) -> Result<(CheckedRows, Hold), Problem> {
    let body = decompress(posted.coding, body, max_decompressed_bytes, &mut hold)?;
    if body.len() as u64 > max_decompressed_bytes {
        let detail = format!("the body is larger than {max_decompressed_bytes} bytes; send fewer rows in one request");
        return Err(Problem::new(ProblemKind::DecompressedTooLarge, detail));
    }
    // What was compressed is gone by now.
    hold.shrink_to(body.len());
    let mut checker = Checker::new(rules, Made::new(body.len(), max_decompressed_bytes, hold));
    let shape = split(posted.format, &body, columns, rules.max_row_bytes, &mut checker)?;
    let (rows, made) = checker.finish();
    refuse_single(shape, &rows)?;
    Ok((rows, made.into_hold()))
}

/// A body that is one object and cannot be read is a malformed body, not a bad row.
fn refuse_single(shape: Shape, rows: &CheckedRows) -> Result<(), Problem> {
    match rows.refused.first() {
        Some(row) if shape == Shape::One && matches!(row.rejection.reason.as_ref(), "not_json" | "not_utf8") => {
            Err(Problem::new(ProblemKind::MalformedBody, row.rejection.message.clone()))
        }
        _ => Ok(()),
    }
}

fn not_allowed(methods: &'static str, detail: &str) -> Problem {
    Problem::new(ProblemKind::MethodNotAllowed(methods), detail)
}
