//! Index and files together, off the threads that must not wait for the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use s3s::dto::Timestamp;
use s3s::{S3Error, s3_error};

use super::S3EngineError;
use super::blobs::{Blob, Blobs, Pinned, internal, sweep};
use super::conditions::precondition_failed;
use super::index::{Index, IndexError, Millis, Object, Written};

/// Buckets, objects and uploads.
#[derive(Clone)]
pub(super) struct Store {
    index: Arc<Index>,
    pub(super) blobs: Arc<Blobs>,
    pub(super) region: Arc<str>,
}

impl Store {
    /// Opens index and files, and removes files that a crash left without an entry.
    pub(super) async fn open(folder: &Path, region: &str) -> Result<Self, S3EngineError> {
        let files = folder.join("objects");
        std::fs::create_dir_all(&files)
            .map_err(|source| S3EngineError::Folder { path: files.display().to_string(), source })?;
        let path = folder.join("index.redb");
        let index = tokio::task::spawn_blocking(move || Index::open(&path))
            .await
            .map_err(|error| S3EngineError::Folder { path: folder.display().to_string(), source: error.into() })??;
        let blobs = Blobs::open(&files, index.run()).map_err(|error| S3EngineError::Files(Box::new(error)))?;
        let store = Self { index: Arc::new(index), blobs: Arc::new(blobs), region: region.into() };
        store.sweep(files).await?;
        Ok(store)
    }

    async fn sweep(&self, files: PathBuf) -> Result<(), S3EngineError> {
        let index = Arc::clone(&self.index);
        let removed = tokio::task::spawn_blocking(move || {
            let named = index.named_blobs()?;
            sweep(&files, index.run(), |id| named.contains(&id)).map_err(|error| S3EngineError::Files(Box::new(error)))
        });
        let removed = removed.await.map_err(|error| S3EngineError::Files(Box::new(error)))??;
        if removed > 0 {
            tracing::info!(files = removed, "files of uploads that were cut off are removed");
        }
        Ok(())
    }

    /// Asks or changes the index.
    pub(super) async fn index<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Index) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, S3Error> {
        let index = Arc::clone(&self.index);
        tokio::task::spawn_blocking(move || run(&index)).await.map_err(internal)?.map_err(internal)
    }

    /// An object, without its bytes.
    pub(super) async fn object(&self, bucket: &str, key: &str) -> Result<Object, S3Error> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.index(move |index| look_up(index, &bucket, &key)).await?
    }

    /// An object whose files stay while they are read.
    pub(super) async fn object_to_read(&self, bucket: &str, key: &str) -> Result<(Object, Pinned), S3Error> {
        let (bucket, key, blobs) = (bucket.to_owned(), key.to_owned(), Arc::clone(&self.blobs));
        self.index(move |index| {
            Ok(blobs.pin(|| {
                let object = look_up(index, &bucket, &key).map_err(internal)??;
                let files = object.blobs.clone();
                Ok((object, files))
            }))
        })
        .await?
    }

    /// Refuses a bucket that is not there.
    pub(super) async fn require_bucket(&self, bucket: &str) -> Result<(), S3Error> {
        let name = bucket.to_owned();
        self.index(move |index| index.bucket(&name)).await?.map(drop).ok_or_else(no_bucket)
    }

    /// Turns the outcome of a write into an answer; files that are not named any more, or not yet, are removed.
    pub(super) async fn settle(&self, written: Written, new: &[Blob]) -> Result<(), S3Error> {
        let refusal = match written {
            Written::Done(freed) => {
                self.blobs.remove(&freed).await;
                return Ok(());
            }
            Written::Refused => precondition_failed(),
            Written::NoObject => no_key(),
            Written::NoBucket => no_bucket(),
            Written::NoUpload => no_upload(),
        };
        self.blobs.remove(new).await;
        Err(refusal)
    }
}

fn look_up(index: &Index, bucket: &str, key: &str) -> Result<Result<Object, S3Error>, IndexError> {
    Ok(match index.object(bucket, key)? {
        Some(object) => Ok(object),
        None if index.bucket(bucket)?.is_none() => Err(no_bucket()),
        None => Err(no_key()),
    })
}

pub(super) fn no_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist")
}

pub(super) fn no_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

pub(super) fn no_upload() -> S3Error {
    s3_error!(NoSuchUpload, "The specified upload does not exist. It may have been completed or aborted.")
}

pub(super) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn timestamp(time: Millis) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(time))
}

/// A size as the API has it.
pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
