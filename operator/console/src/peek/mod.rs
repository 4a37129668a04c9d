//! A look inside: the newest records of a stream, the newest objects of a sink, items by key, dead letters, and what an api
//! answers. It reads little, and not often: what was seen is shown again for a few seconds.

mod answers;
mod items;
mod objects;
mod records;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use penstock_api::plan::{Plan, SinkTarget, StageConfig, StageKind, plan};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::scrape::Asker;
use crate::subject::Subject;

/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Looks at the same time.
const AT_ONCE: usize = 2;
/// How long something that was seen is shown again.
const KEPT: Duration = Duration::from_secs(3);
/// What is kept at the same time.
const KEPT_LOOKS: usize = 64;
/// How many records, objects or items are shown.
const SHOWN: usize = 20;
/// How much of one record is shown, in bytes.
const SHOWN_BYTES: usize = 4 << 10;

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// The newest records of a buffer.
    Records { buffer: String },
    /// The newest objects of a sink.
    Objects { sink: String },
    /// Items of a table, by partition key and perhaps sort key.
    Items { table: String, partition: String, sort: Option<String> },
    /// The newest dead letters of a sink.
    DeadLetters { sink: String },
    /// What an api answers on one of its routes that is drawn, by its place.
    Answer { api: String, route: usize, parameters: BTreeMap<String, String> },
}

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeekError {
    #[error("the Pipeline has no {0}")]
    Unknown(String),
    #[error("this console has no way to what the Pipeline stores")]
    NoStores,
    #[error("{doing} did not succeed: {message}")]
    Service { doing: String, message: String },
    #[error("the api {0} demands a key, and this page has none")]
    NeedsKey(String),
    #[error("it took longer than {} s", LIMIT.as_secs())]
    Timeout,
}

impl PeekError {
    /// Of a call, with all that the service said.
    fn of(doing: impl Into<String>, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = error.to_string();
            cause = error.source();
        }
        Self::Service { doing: doing.into(), message }
    }
}

/// A look at one thing of one Pipeline.
type Look = ((String, String), What);

/// Looks, a few at a time.
#[derive(Debug)]
pub(crate) struct Peek {
    asker: Asker,
    places: Semaphore,
    seen: Mutex<BTreeMap<Look, (Instant, Value)>>,
}

impl Peek {
    pub(crate) fn new() -> Self {
        Self { asker: Asker::new(), places: Semaphore::new(AT_ONCE), seen: Mutex::default() }
    }

    /// Looks, or says again what was seen just now.
    pub(crate) async fn look(&self, subject: &Arc<Subject>, what: What) -> Result<Value, PeekError> {
        let look = (subject.key(), what);
        if let Some(seen) = self.seen_lately(&look) {
            return Ok(seen);
        }
        let looked = async {
            // The semaphore is never closed.
            let _place = self.places.acquire().await;
            // Somebody else may have looked while this one waited.
            if let Some(seen) = self.seen_lately(&look) {
                return Ok(seen);
            }
            self.now(subject, &look.1).await
        };
        let value = tokio::time::timeout(LIMIT, looked).await.map_err(|_| PeekError::Timeout)??;
        let mut seen = self.seen.lock();
        seen.retain(|_, (at, _)| at.elapsed() < KEPT);
        if seen.len() < KEPT_LOOKS {
            seen.insert(look, (Instant::now(), value.clone()));
        }
        Ok(value)
    }

    async fn now(&self, subject: &Subject, what: &What) -> Result<Value, PeekError> {
        match what {
            What::Answer { api, route, parameters } => {
                answers::points(&self.asker, subject, api, *route, parameters).await
            }
            stored => now(subject, stored).await,
        }
    }

    fn seen_lately(&self, look: &Look) -> Option<Value> {
        let seen = self.seen.lock();
        seen.get(look).filter(|(at, _)| at.elapsed() < KEPT).map(|(_, value)| value.clone())
    }
}

/// What is stored now.
async fn now(subject: &Subject, what: &What) -> Result<Value, PeekError> {
    let stores = subject.stores.as_ref().ok_or(PeekError::NoStores)?;
    // The names of streams and tables follow from the plan. A Pipeline that is shown has one.
    let plan = plan(&subject.pipeline).map_err(|error| PeekError::of("planning", &error))?;
    match what {
        What::Records { buffer } => {
            let place = subject.pipeline.spec.buffers.iter().position(|known| known.name == *buffer);
            let stream = place.and_then(|place| plan.resources.streams.get(place));
            let stream = stream.ok_or_else(|| PeekError::Unknown(format!("buffer {buffer}")))?;
            records::newest(stores, &stream.name).await
        }
        What::Objects { sink } => match target(&plan, sink)? {
            (SinkTarget::S3(s3), _) => objects::newest(stores, &s3.bucket, fixed_part(&s3.key)).await,
            _ => Err(PeekError::Unknown(format!("objects of sink {sink}"))),
        },
        What::Items { table, partition, sort } => {
            let known = plan.resources.tables.iter().find(|known| known.name == *table);
            let known = known.ok_or_else(|| PeekError::Unknown(format!("table {table}")))?;
            items::by_key(stores, known, partition, sort.as_deref()).await
        }
        What::DeadLetters { sink } => {
            let (_, stage) = target(&plan, sink)?;
            let (namespace, name) = subject.key();
            objects::dead_letters(stores, stage, (&namespace, &name), sink).await
        }
        What::Answer { api, .. } => Err(PeekError::Unknown(format!("store of the api {api}"))),
    }
}

fn target<'a>(plan: &'a Plan, sink: &str) -> Result<(&'a SinkTarget, &'a penstock_api::plan::SinkStage), PeekError> {
    let of = |stage: &'a StageConfig| match &stage.kind {
        StageKind::Sink(kind) if stage.name == sink => Some((&kind.target, kind)),
        _ => None,
    };
    plan.stages.iter().find_map(of).ok_or_else(|| PeekError::Unknown(format!("sink {sink}")))
}

/// What all keys of a template begin with, up to the last slash.
fn fixed_part(template: &str) -> &str {
    let fixed = template.split('{').next().unwrap_or_default();
    &fixed[..fixed.rfind('/').map_or(0, |slash| slash + 1)]
}

/// Text as it is shown: not more than so many bytes, and what is no text as such.
fn shown(data: &[u8]) -> Value {
    let cut = &data[..data.len().min(SHOWN_BYTES)];
    match std::str::from_utf8(cut) {
        Ok(text) => text.into(),
        // Cut in the middle of a character.
        Err(error) if error.error_len().is_none() => String::from_utf8_lossy(&cut[..error.valid_up_to()]).into(),
        Err(_) => format!("{} bytes that are no text", data.len()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_template_begin_with_what_is_before_its_first_field() {
        assert_eq!(fixed_part("raw/{$arrival:%Y/%m/%d}/"), "raw/");
        assert_eq!(fixed_part("raw/by-{Country}/"), "raw/");
        assert_eq!(fixed_part("{Country}/"), "");
        assert_eq!(fixed_part("a/b/"), "a/b/");
    }

    #[test]
    fn what_is_shown_is_cut_at_a_character() {
        let long = "ü".repeat(SHOWN_BYTES);
        assert_eq!(shown(long.as_bytes()).as_str().map(str::len), Some(SHOWN_BYTES));
        assert_eq!(shown(&long.as_bytes()[1..5]), "4 bytes that are no text");
    }
}
