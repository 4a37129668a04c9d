//! What may become of watches and lists: held back, brought again, broken off, answered from an older state.
//!
//! Everything here is what a lagging API server, or a connection through one, may do.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::sync::watch;
use tower::BoxError;

/// The end of a watch from which nothing more can be had.
const EXPIRED: &str = concat!(
    r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"too old resource version: said by the test","reason":"Expired","code":410}}"#,
    "\n"
);

/// The body of an answer.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;
/// The answers to lists, by what was asked for.
pub type Lists = HashMap<String, Bytes>;

/// What is done to all watches and lists of a wire. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(super) struct Watches {
    orders: watch::Sender<Orders>,
    lists: Arc<Mutex<ListMemory>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    held: bool,
    replays: u64,
    breaks: u64,
}

#[derive(Debug, Default)]
struct ListMemory {
    /// What was answered last.
    last: Lists,
    /// What is answered instead, once.
    old: Lists,
}

impl Default for Watches {
    fn default() -> Self {
        Self { orders: watch::Sender::new(Orders::default()), lists: Arc::default() }
    }
}

impl Watches {
    pub(super) fn hold(&self, held: bool) {
        self.orders.send_modify(|orders| orders.held = held);
    }

    pub(super) fn replay(&self) {
        self.orders.send_modify(|orders| orders.replays += 1);
    }

    /// What is held is lost: each watch ends as one does that asks for what the API server has forgotten.
    pub(super) fn break_off(&self) {
        self.orders.send_modify(|orders| {
            orders.breaks += 1;
            orders.held = false;
        });
    }

    pub(super) fn lists(&self) -> Lists {
        self.lists.lock().last.clone()
    }

    pub(super) fn answer_lists(&self, old: Lists) {
        self.lists.lock().old = old;
    }

    /// What is answered to a list instead of asking.
    pub(super) fn old_list(&self, request: &Request<Body>) -> Option<Response<AnswerBody>> {
        let bytes = self.lists.lock().old.remove(&list(request)?)?;
        let mut response = Response::new(whole(bytes));
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        Some(response)
    }

    /// Remembers the answer to a list.
    ///
    /// # Errors
    /// When it breaks off.
    pub(super) async fn note_list(
        &self,
        key: Option<String>,
        response: Response<Body>,
    ) -> Result<Response<AnswerBody>, BoxError> {
        let Some(key) = key.filter(|_| response.status().is_success()) else {
            return Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()));
        };
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes();
        self.lists.lock().last.insert(key, bytes.clone());
        Ok(Response::from_parts(parts, whole(bytes)))
    }

    /// The events of a watch, as the orders have it.
    pub(super) fn watched(&self, body: Body) -> AnswerBody {
        let mut orders = self.orders.subscribe();
        // What was ordered before does not concern it.
        let seen = *orders.borrow_and_update();
        let watched = Watched {
            body,
            orders,
            seen,
            partial: Vec::new(),
            ready: VecDeque::new(),
            history: Vec::new(),
            over: false,
        };
        let frames = stream::unfold(watched, |mut watched| async move {
            let line = watched.next().await?;
            Some((line.map(Frame::data), watched))
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

/// The key of a list; `None` for anything else.
pub(super) fn list(request: &Request<Body>) -> Option<String> {
    let query = request.uri().query()?;
    let is_list = query.contains("limit=") && !query.contains("watch=true") && !query.contains("continue=");
    is_list.then(|| request.uri().path().to_owned())
}

pub(super) fn whole(bytes: impl Into<Bytes>) -> AnswerBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// One watch.
struct Watched {
    body: Body,
    orders: watch::Receiver<Orders>,
    /// The orders that were carried out.
    seen: Orders,
    /// The beginning of a line.
    partial: Vec<u8>,
    /// Lines to bring next.
    ready: VecDeque<Bytes>,
    /// Lines that were brought.
    history: Vec<Bytes>,
    over: bool,
}

impl Watched {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        while !self.over {
            let orders = *self.orders.borrow_and_update();
            if orders.breaks > self.seen.breaks {
                self.over = true;
                return Some(Ok(Bytes::from_static(EXPIRED.as_bytes())));
            }
            if orders.replays > self.seen.replays {
                self.seen.replays = orders.replays;
                return Some(Ok(self.history.concat().into()));
            }
            if orders.held {
                self.orders.changed().await.ok()?;
                continue;
            }
            if let Some(line) = self.ready.pop_front() {
                self.history.push(line.clone());
                return Some(Ok(line));
            }
            tokio::select! {
                biased;
                changed = self.orders.changed() => changed.ok()?,
                frame = self.body.frame() => match frame? {
                    Ok(frame) => self.take(frame),
                    Err(error) => return Some(Err(error.into())),
                },
            }
        }
        None
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        self.partial.extend(frame.into_data().unwrap_or_default());
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            self.ready.push_back(self.partial.drain(..=end).collect());
        }
    }
}
