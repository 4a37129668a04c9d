//! The bytes of objects: one file each for an object or a part, under a name that says nothing about the key, so that
//! keys may be anything. A file is written, fsynced and only then named in the index.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};
use parking_lot::Mutex;
use s3s::{S3Error, s3_error};
use serde::{Deserialize, Serialize};

use super::digest::{Check, Digests, Expected};
use super::unsign::is_malformed;
use crate::front::body::BoxError;

/// Bytes that are gathered before they are written. A body below this is written at once.
const WRITE_BYTES: usize = 512 * 1024;

/// The name of a file: when the engine was started for the how-many-th time, and a number in that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct BlobId {
    #[serde(rename = "r")]
    run: u64,
    #[serde(rename = "n")]
    number: u64,
}

impl BlobId {
    fn path(self) -> ObjectPath {
        ObjectPath::from(format!("{:02x}/{:x}-{:x}", self.number % 256, self.run, self.number))
    }

    fn parse(name: &str) -> Option<Self> {
        let (run, number) = name.split_once('-')?;
        Some(Self { run: u64::from_str_radix(run, 16).ok()?, number: u64::from_str_radix(number, 16).ok()? })
    }
}

/// A file and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blob {
    #[serde(flatten)]
    pub(super) id: BlobId,
    #[serde(rename = "l")]
    pub(super) length: u64,
}

/// The files.
#[derive(Debug)]
pub(super) struct Blobs {
    files: LocalFileSystem,
    run: u64,
    next: AtomicU64,
    pins: Mutex<HashMap<BlobId, Pin>>,
}

/// Readers of a file. A file that is removed while it is read goes when its last reader has ended.
#[derive(Debug, Default)]
struct Pin {
    readers: usize,
    doomed: bool,
}

/// Files that a reader keeps from being removed.
#[derive(Debug)]
pub(super) struct Pinned {
    blobs: Arc<Blobs>,
    pinned: Vec<Blob>,
}

impl Blobs {
    pub(super) fn open(folder: &Path, run: u64) -> Result<Self, object_store::Error> {
        let files = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self { files, run, next: AtomicU64::new(1), pins: Mutex::default() })
    }

    /// Writes a body and checks it; nothing is left of one that is not what was announced.
    pub(super) async fn write<S>(&self, body: S, expected: Expected) -> Result<(Blob, Digests), S3Error>
    where
        S: Stream<Item = Result<Bytes, BoxError>> + Send,
    {
        let id = BlobId { run: self.run, number: self.next.fetch_add(1, Ordering::Relaxed) };
        let mut file = BlobWriter { files: &self.files, path: id.path(), upload: None, gathered: Vec::new(), bytes: 0 };
        let mut check = Check::new(expected);
        let mut body = std::pin::pin!(body);
        while let Some(data) = body.next().await {
            let data = data.map_err(broken_body)?;
            check.update(&data);
            file.push(data).await?;
        }
        // The upload is given up when it is dropped, so an early return leaves no file.
        let digests = check.finish()?;
        file.finish().await?;
        Ok((Blob { id, length: digests.length }, digests))
    }

    /// Looks something up and keeps its files while they are read.
    pub(super) fn pin<T, E>(
        self: &Arc<Self>,
        look_up: impl FnOnce() -> Result<(T, Vec<Blob>), E>,
    ) -> Result<(T, Pinned), E> {
        // Held during the look-up: a removal changes the index before it comes here, so either the index no longer
        // names the files, or the removal finds them pinned.
        let mut pins = self.pins.lock();
        let (found, pinned) = look_up()?;
        for blob in &pinned {
            pins.entry(blob.id).or_default().readers += 1;
        }
        Ok((found, Pinned { blobs: Arc::clone(self), pinned }))
    }

    /// Removes files that the index no longer names.
    pub(super) async fn remove(&self, blobs: &[Blob]) {
        let free: Vec<BlobId> = {
            let mut pins = self.pins.lock();
            blobs
                .iter()
                .map(|blob| blob.id)
                .filter(|id| {
                    pins.get_mut(id).is_none_or(|pin| {
                        pin.doomed = true;
                        false
                    })
                })
                .collect()
        };
        for id in free {
            self.remove_file(id).await;
        }
    }

    /// A file that stays costs space only; the next start removes it.
    async fn remove_file(&self, id: BlobId) {
        if let Err(error) = self.files.delete(&id.path()).await {
            super::log_to_the_users_log(|| {
                tracing::warn!(%error, "a file of a removed object could not be deleted");
            });
        }
    }
}

/// Removes files of earlier runs that the index does not name, finished or not: uploads that a crash cut off. Waits for
/// the disk.
pub(super) fn sweep(folder: &Path, run: u64, is_named: impl Fn(BlobId) -> bool) -> io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let part = entry?.path();
        if !part.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(part)? {
            let file = file?.path();
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // A file that is being written has a suffix until it is whole.
            let (name, unfinished) = name.split_once('#').map_or((name, false), |(name, _)| (name, true));
            if BlobId::parse(name).is_some_and(|id| id.run < run && (unfinished || !is_named(id))) {
                std::fs::remove_file(&file)?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

fn broken_body(error: BoxError) -> S3Error {
    if is_malformed(error.as_ref()) {
        s3_error!(IncompleteBody, "The request body terminated unexpectedly or is not in the encoding it announces.")
    } else {
        internal(error)
    }
}

/// An error of this machine, not of the client.
pub(super) fn internal(error: impl Into<BoxError>) -> S3Error {
    let error = error.into();
    super::log_to_the_users_log(|| {
        tracing::error!(error = error.as_ref() as &dyn std::error::Error, "the S3 store failed");
    });
    S3Error::with_source(s3s::S3ErrorCode::InternalError, error)
}

/// A file that is being written.
struct BlobWriter<'a> {
    files: &'a LocalFileSystem,
    path: ObjectPath,
    upload: Option<Box<dyn MultipartUpload>>,
    gathered: Vec<Bytes>,
    bytes: usize,
}

impl BlobWriter<'_> {
    async fn push(&mut self, data: Bytes) -> Result<(), S3Error> {
        self.bytes += data.len();
        self.gathered.push(data);
        if self.bytes >= WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), S3Error> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.files.put_multipart(&self.path).await.map_err(internal)?),
        };
        self.bytes = 0;
        upload.put_part(PutPayload::from_iter(std::mem::take(&mut self.gathered))).await.map_err(internal)
    }

    async fn finish(mut self) -> Result<(), S3Error> {
        if self.upload.is_none() {
            let payload = PutPayload::from_iter(std::mem::take(&mut self.gathered));
            return self.files.put(&self.path, payload).await.map(drop).map_err(internal);
        }
        if self.bytes > 0 {
            self.flush().await?;
        }
        if let Some(mut upload) = self.upload.take() {
            upload.complete().await.map_err(internal)?;
        }
        Ok(())
    }
}

impl Pinned {
    /// The bytes of a range over all files, one after the other.
    pub(super) fn read(self, range: Range<u64>) -> BoxStream<'static, Result<Bytes, object_store::Error>> {
        let mut pieces = Vec::new();
        let mut start = 0;
        for blob in &self.pinned {
            let end = start + blob.length;
            let (from, until) = (range.start.max(start), range.end.min(end));
            if from < until {
                pieces.push((blob.id, from - start..until - start));
            }
            start = end;
        }
        let pinned = Arc::new(self);
        stream::iter(pieces.into_iter().map(Ok::<_, object_store::Error>))
            .and_then(move |(id, range)| {
                let pinned = Arc::clone(&pinned);
                async move {
                    let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
                    let file = pinned.blobs.files.get_opts(&id.path(), options).await?;
                    // The stream of each file keeps all of them pinned.
                    Ok(file.into_stream().inspect(move |_| {
                        let _held = &pinned;
                    }))
                }
            })
            .try_flatten()
            .boxed()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut doomed = Vec::new();
        {
            let mut pins = self.blobs.pins.lock();
            for blob in &self.pinned {
                let Some(pin) = pins.get_mut(&blob.id) else { continue };
                pin.readers -= 1;
                if pin.readers == 0 {
                    if pin.doomed {
                        doomed.push(blob.id);
                    }
                    pins.remove(&blob.id);
                }
            }
        }
        if !doomed.is_empty()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let blobs = Arc::clone(&self.blobs);
            runtime.spawn(async move {
                for id in doomed {
                    blobs.remove_file(id).await;
                }
            });
        }
    }
}
