//! One object, from its first line to its place in the bucket.

use std::io;

use bytes::Bytes;
use penstock_api::spec::Compression;
use penstock_contract::{Range, SinkError};

use crate::budget::{Held, MemoryBudget};
use crate::encode::Encoder;
use crate::failure::{CONFLICT, StoreError, UPLOAD_LOST};
use crate::key::media_type;
use crate::stamp::{FullStamp, Stamp};
use crate::store::{Store, Written};
use crate::telemetry::Telemetry;
use crate::upload::{Payload, Upload};

/// What an object costs besides its lines: its key, twice, and its place in the batch.
const OVERHEAD_BYTES: usize = 1 << 10;

/// What the objects of a sink have in common.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) store: Store,
    pub(crate) compression: Compression,
    pub(crate) budget: MemoryBudget,
    pub(crate) telemetry: Telemetry,
}

/// An object in the making.
pub(crate) struct Object {
    key: String,
    records: u64,
    /// Bytes that have gone into parts.
    shipped: u64,
    state: State,
    upload: Option<Upload>,
    held: Held,
    footprint: usize,
}

enum State {
    Growing(Encoder),
    Closed(Closed),
    Stored,
    /// Its lines are gone; only reading the range again brings them back.
    Lost,
}

/// An object whose lines are complete.
#[derive(Clone)]
struct Closed {
    /// What has not gone into a part. Empty where a multipart upload has taken it over.
    rest: Bytes,
    lines_bytes: u64,
    /// All of the object, in bytes.
    size: u64,
}

impl Object {
    pub(crate) fn new(key: String, around: &Surroundings) -> Self {
        Self {
            key,
            records: 0,
            shipped: 0,
            state: State::Growing(Encoder::new(around.compression)),
            upload: None,
            held: around.budget.hold(OVERHEAD_BYTES),
            footprint: OVERHEAD_BYTES,
        }
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// The bytes of its lines, before compression, while it grows.
    pub(crate) fn lines_bytes(&self) -> u64 {
        match &self.state {
            State::Growing(encoder) => encoder.lines_bytes(),
            State::Closed(closed) => closed.lines_bytes,
            State::Stored | State::Lost => 0,
        }
    }

    /// The parts that are uploaded or on their way.
    pub(crate) fn parts(&self) -> usize {
        self.upload.as_ref().map_or(0, Upload::parts)
    }

    /// What it holds in memory, without parts on their way.
    pub(crate) fn footprint(&self) -> usize {
        self.footprint
    }

    /// Adds a document and its line break. True when there is enough for a part, and [`Self::ship`] should follow.
    pub(crate) fn push(&mut self, document: &[u8]) -> io::Result<bool> {
        let State::Growing(encoder) = &mut self.state else {
            return Err(io::Error::other("the object is closed"));
        };
        encoder.push(document)?;
        self.records += 1;
        let has_part = encoder.has_part();
        let footprint = OVERHEAD_BYTES + encoder.footprint();
        self.account(footprint);
        Ok(has_part)
    }

    /// Sends what is enough for a part, in the background. Nothing of it can be seen until [`Self::store`].
    pub(crate) async fn ship(&mut self, around: &Surroundings, stamp: &Stamp) -> Result<(), SinkError> {
        let State::Growing(encoder) = &mut self.state else { return Ok(()) };
        let Some(part) = encoder.take_part() else { return Ok(()) };
        let footprint = OVERHEAD_BYTES + encoder.footprint();
        let payload = Payload::new(part.into(), &around.budget);
        self.account(footprint);
        self.shipped += payload.len();
        let sent = self.send(payload, around, stamp).await;
        sent.map_err(|error| error.while_doing(format!("uploading a part of {}", around.store.url(&self.key))))
    }

    async fn send(&mut self, payload: Payload, around: &Surroundings, stamp: &Stamp) -> Result<(), StoreError> {
        if self.upload.is_none() {
            let media_type = media_type(around.compression);
            self.upload = Some(Upload::begin(&around.store, &self.key, media_type, stamp.metadata()).await?);
            around.telemetry.multipart_uploads.increment(1);
        }
        match &mut self.upload {
            Some(upload) => upload.add(payload).await,
            None => Err(StoreError::UploadLost),
        }
    }

    /// Puts the object into the bucket, or finds it there. Does nothing when that was done before, and after a
    /// failure only what is missing.
    pub(crate) async fn store(&mut self, around: &Surroundings, stamp: &Stamp, range: &Range) -> Result<(), SinkError> {
        let Some(closed) = self.close(around)? else { return Ok(()) };
        let full = FullStamp { stamp: stamp.clone(), range: range.clone(), records: self.records, size: closed.size };
        let written = match &mut self.upload {
            Some(upload) => upload.complete().await,
            None => {
                let media_type = media_type(around.compression);
                around.store.put(&self.key, closed.rest.clone(), media_type, full.metadata()).await
            }
        };
        match written {
            Ok(Written::Now) => {
                around.telemetry.objects.increment(1);
                around.telemetry.line_bytes.increment(closed.lines_bytes);
                around.telemetry.object_bytes.increment(closed.size);
            }
            Ok(Written::Before) => self.recognise(around, &full, Absent::Vanished).await?,
            Err(error) if error.reason() == UPLOAD_LOST => self.recognise(around, &full, Absent::Lost).await?,
            Err(error) => return Err(error.while_doing(self.writing(around))),
        }
        self.done();
        Ok(())
    }

    /// Ends the lines, once. `None` when the object is stored.
    fn close(&mut self, around: &Surroundings) -> Result<Option<Closed>, SinkError> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Stored => {
                self.state = State::Stored;
                return Ok(None);
            }
            State::Lost => return Err(self.lost(around)),
            State::Closed(closed) => self.state = State::Closed(closed),
            State::Growing(encoder) => {
                let lines_bytes = encoder.lines_bytes();
                let rest = encoder.finish().map_err(|error| compression(&error, self.writing(around)))?;
                let closed = self.hand_over(rest, lines_bytes, around);
                self.state = State::Closed(closed);
            }
        }
        match &self.state {
            State::Closed(closed) => Ok(Some(closed.clone())),
            State::Growing(_) | State::Stored | State::Lost => Ok(None),
        }
    }

    /// What is left becomes the last part of the upload, where there is one.
    fn hand_over(&mut self, rest: Vec<u8>, lines_bytes: u64, around: &Surroundings) -> Closed {
        let size = self.shipped + rest.len() as u64;
        let mut rest = Bytes::from(rest);
        if let Some(upload) = &mut self.upload
            && !rest.is_empty()
        {
            upload.add_last(Payload::new(std::mem::take(&mut rest), &around.budget));
        }
        self.account(OVERHEAD_BYTES + rest.len());
        Closed { rest, lines_bytes, size }
    }

    /// Looks at what is at the key: this range, applied before, or something foreign that must stay as it is.
    async fn recognise(&mut self, around: &Surroundings, full: &FullStamp, if_absent: Absent) -> Result<(), SinkError> {
        let found = around.store.head(&self.key).await.map_err(|error| error.while_doing(self.reading(around)))?;
        let Some(found) = found else {
            return Err(match if_absent {
                Absent::Vanished => SinkError::Service {
                    reason: CONFLICT,
                    doing: self.writing(around),
                    source: "an object was at the key a moment ago, and is gone".into(),
                },
                Absent::Lost => {
                    self.state = State::Lost;
                    self.lost(around)
                }
            });
        };
        match full.difference(&found) {
            None => {
                around.telemetry.already_written.increment(1);
                Ok(())
            }
            Some(difference) => Err(SinkError::Fatal {
                reason: "foreign_object",
                doing: self.writing(around),
                message: format!(
                    "another object is at this key: {difference}. Move it away, or give the sink another `s3.key` \
                     prefix; Penstock never overwrites"
                ),
            }),
        }
    }

    fn done(&mut self) {
        self.state = State::Stored;
        // An upload that came second to another aborts itself here.
        self.upload = None;
        self.account(0);
    }

    fn account(&mut self, footprint: usize) {
        if footprint != self.footprint {
            self.footprint = footprint;
            self.held.set(footprint);
        }
    }

    fn lost(&self, around: &Surroundings) -> SinkError {
        SinkError::Spoiled {
            reason: UPLOAD_LOST,
            doing: self.writing(around),
            message: "its uploaded parts are gone; a lifecycle rule or somebody else may have aborted the upload"
                .to_owned(),
        }
    }

    fn writing(&self, around: &Surroundings) -> String {
        format!("writing {}", around.store.url(&self.key))
    }

    fn reading(&self, around: &Surroundings) -> String {
        format!("looking at {}", around.store.url(&self.key))
    }
}

/// What it means when nothing is at the key.
#[derive(Clone, Copy)]
enum Absent {
    /// Something was there when it was written: try again.
    Vanished,
    /// The upload's parts are gone, and nobody completed it.
    Lost,
}

/// The codecs fail only when memory does.
pub(crate) fn compression(error: &io::Error, doing: String) -> SinkError {
    SinkError::Fatal { reason: "compression", doing, message: format!("the lines could not be compressed: {error}") }
}
