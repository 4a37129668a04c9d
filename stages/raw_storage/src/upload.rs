//! A multipart upload in the making: parts are sent in the background while records still come in.

use std::collections::HashMap;

use aws_sdk_s3::types::CompletedPart;
use bytes::Bytes;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::budget::{Held, MemoryBudget};
use crate::failure::{StoreError, UPLOAD_LOST};
use crate::store::{Store, Written};

/// Parts of one upload that are on their way at one time; whoever adds another waits.
const PARTS_IN_FLIGHT: usize = 2;
/// S3 allows 10,000 parts (Amazon S3 User Guide, "Multipart upload limits"). The range is closed before.
pub(crate) const MAX_PARTS: usize = 9_900;

/// An upload that has begun. Dropped before it ended, it aborts itself as well as it can.
pub(crate) struct Upload {
    store: Store,
    key: String,
    id: String,
    parts: Vec<Part>,
    ended: bool,
}

enum Part {
    Flying(JoinHandle<Result<CompletedPart, (Payload, StoreError)>>),
    /// It did not arrive and is sent again by whoever ends the upload.
    Waiting(Payload),
    There(CompletedPart),
}

/// A part's bytes, and their account in the memory budget.
pub(crate) struct Payload {
    body: Bytes,
    _held: Held,
}

impl Payload {
    pub(crate) fn new(body: Bytes, budget: &MemoryBudget) -> Self {
        let held = budget.hold(body.len());
        Self { body, _held: held }
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.body.len() as u64
    }
}

impl Upload {
    pub(crate) async fn begin(
        store: &Store,
        key: &str,
        media_type: &str,
        metadata: HashMap<String, String>,
    ) -> Result<Self, StoreError> {
        let id = store.begin_upload(key, media_type, metadata).await?;
        Ok(Self { store: store.clone(), key: key.to_owned(), id, parts: Vec::new(), ended: false })
    }

    /// How many parts there are.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Adds a part and sends it in the background; waits while too many are on their way.
    pub(crate) async fn add(&mut self, payload: Payload) -> Result<(), StoreError> {
        self.land(PARTS_IN_FLIGHT - 1).await?;
        let part = self.send(self.parts.len(), payload);
        self.parts.push(part);
        Ok(())
    }

    /// Adds the last part. It is sent when the upload is completed.
    pub(crate) fn add_last(&mut self, payload: Payload) {
        self.parts.push(Part::Waiting(payload));
    }

    /// Makes the object visible, unless one is there. May be called again after it failed, and then sends only what
    /// has not arrived.
    pub(crate) async fn complete(&mut self) -> Result<Written, StoreError> {
        self.send_waiting();
        self.land(0).await?;
        let parts: Vec<_> = self.parts.iter().filter_map(Part::there).cloned().collect();
        let written = self.store.complete_upload(&self.key, &self.id, parts).await?;
        // An upload that came second is still there, and aborts itself when it is dropped.
        self.ended = written == Written::Now;
        Ok(written)
    }

    fn send(&self, index: usize, payload: Payload) -> Part {
        let (store, key, id) = (self.store.clone(), self.key.clone(), self.id.clone());
        // MAX_PARTS keeps the index far below.
        let number = i32::try_from(index + 1).unwrap_or(i32::MAX);
        Part::Flying(tokio::spawn(async move {
            let sent = store.upload_part(&key, &id, number, payload.body.clone()).await;
            sent.map_err(|error| (payload, error))
        }))
    }

    fn send_waiting(&mut self) {
        for index in 0..self.parts.len() {
            if !matches!(self.parts[index], Part::Waiting(_)) {
                continue;
            }
            let empty = Part::There(CompletedPart::builder().build());
            if let Part::Waiting(payload) = std::mem::replace(&mut self.parts[index], empty) {
                self.parts[index] = self.send(index, payload);
            }
        }
    }

    /// Waits until at most so many parts are on their way. Sees all of them through, then names the first failure.
    async fn land(&mut self, at_most: usize) -> Result<(), StoreError> {
        let mut flying = self.parts.iter().filter(|part| matches!(part, Part::Flying(_))).count();
        let mut failure = None;
        for part in &mut self.parts {
            if flying <= at_most && failure.is_none() {
                break;
            }
            let Part::Flying(task) = part else { continue };
            let outcome = task.await;
            flying -= 1;
            match outcome {
                Ok(Ok(there)) => *part = Part::There(there),
                Ok(Err((payload, error))) => {
                    *part = Part::Waiting(payload);
                    failure.get_or_insert(error);
                }
                // The task panicked or its runtime is gone, and the bytes with it.
                Err(_) => return Err(StoreError::UploadLost),
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

impl Part {
    fn there(&self) -> Option<&CompletedPart> {
        match self {
            Self::There(part) => Some(part),
            Self::Flying(_) | Self::Waiting(_) => None,
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        for part in &self.parts {
            if let Part::Flying(task) = part {
                task.abort();
            }
        }
        if self.ended {
            return;
        }
        // Without a runtime nothing can be sent; the bucket's lifecycle rule is for that.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (store, key, id) = (self.store.clone(), std::mem::take(&mut self.key), std::mem::take(&mut self.id));
        let abort = async move {
            match store.abort_upload(&key, &id).await {
                Ok(()) => {}
                Err(error) if error.reason() == UPLOAD_LOST => {}
                Err(error) => tracing::warn!(
                    bucket = store.bucket(), key, reason = error.reason(), error = %error,
                    "a multipart upload could not be aborted; the bucket's lifecycle rule has to remove its parts"
                ),
            }
        };
        runtime.spawn(abort.in_current_span());
    }
}
