//! The index: buckets, objects, uploads and their parts, in one `redb` file. Objects exist from the moment in which
//! their entry is committed, so a conditional write is decided in the transaction that makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use redb::{
    Builder, Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::blobs::{Blob, BlobId};
use super::digest::{Algorithm, Sum};
use super::tagging::Tags;

const BUCKETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("buckets");
const OBJECTS: TableDefinition<'_, (&str, &[u8]), &[u8]> = TableDefinition::new("objects");
const UPLOADS: TableDefinition<'_, (&str, &[u8], &str), &[u8]> = TableDefinition::new("uploads");
const PARTS: TableDefinition<'_, (&str, u16), &[u8]> = TableDefinition::new("parts");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const RUN: &str = "run";

/// Memory that `redb` may use for its pages.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The index failed: the disk is full, or the file is damaged.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: Box<redb::DatabaseError>,
    },
    /// A transaction failed.
    #[error("the index failed")]
    Storage(#[source] Box<redb::Error>),
    /// An entry cannot be read.
    #[error("an entry of the index cannot be read")]
    Entry(#[from] serde_json::Error),
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for IndexError {
            fn from(error: $error) -> Self {
                Self::Storage(Box::new(error.into()))
            }
        }
    )*};
}
from_redb!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError, redb::SetDurabilityError);

/// Milliseconds since 1970.
pub(super) type Millis = u64;

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bucket {
    pub(super) created_at: Millis,
}

/// What a client says about an object beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(super) metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(super) tags: Tags,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Object {
    pub(super) size: u64,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) modified_at: Millis,
    /// Its files, in order: one, or one per part.
    pub(super) blobs: Vec<Blob>,
    /// Whether it was uploaded in parts.
    #[serde(default)]
    pub(super) multipart: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sum: Option<Sum>,
    #[serde(flatten)]
    pub(super) description: Description,
}

/// An upload in parts that is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) started_at: Millis,
    pub(super) algorithm: Option<Algorithm>,
    /// The checksum is to be that of the whole object, not that of the parts' checksums.
    pub(super) full_object: bool,
    pub(super) description: Description,
}

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) blob: Blob,
    pub(super) md5: [u8; 16],
    pub(super) sum: Option<Sum>,
    pub(super) modified_at: Millis,
}

/// What must hold for an object to be written or deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing.
    #[default]
    None,
    /// There is no such object.
    Absent,
    /// There is one, with this ETag, or any.
    Match(Option<String>),
}

/// What became of a conditional write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is done; these files are no longer named.
    Done(Vec<Blob>),
    /// The condition did not hold.
    Refused,
    /// There is no such object for the condition to match.
    NoObject,
    /// There is no such bucket.
    NoBucket,
    /// There is no such upload.
    NoUpload,
}

/// The index.
pub(super) struct Index {
    database: Database,
    run: u64,
}

impl Index {
    /// Opens the file and counts the run.
    pub(super) fn open(path: &Path) -> Result<Self, IndexError> {
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|source| IndexError::Open { path: path.display().to_string(), source: Box::new(source) })?;
        let mut index = Self { database, run: 0 };
        let transaction = index.write()?;
        transaction.open_table(BUCKETS)?;
        transaction.open_table(OBJECTS)?;
        transaction.open_table(UPLOADS)?;
        transaction.open_table(PARTS)?;
        let run = {
            let mut numbers = transaction.open_table(NUMBERS)?;
            let run = numbers.get(RUN)?.map_or(0, |run| run.value()) + 1;
            numbers.insert(RUN, run)?;
            run
        };
        transaction.commit()?;
        index.run = run;
        Ok(index)
    }

    /// How many times the file has been opened.
    pub(super) fn run(&self) -> u64 {
        self.run
    }

    fn write(&self) -> Result<WriteTransaction, IndexError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        Ok(transaction)
    }

    /// Creates a bucket; false when it is there.
    pub(super) fn create_bucket(&self, name: &str, bucket: &Bucket) -> Result<bool, IndexError> {
        let transaction = self.write()?;
        {
            let mut buckets = transaction.open_table(BUCKETS)?;
            if buckets.get(name)?.is_some() {
                return Ok(false);
            }
            buckets.insert(name, serde_json::to_vec(bucket)?.as_slice())?;
        }
        transaction.commit()?;
        Ok(true)
    }

    pub(super) fn bucket(&self, name: &str) -> Result<Option<Bucket>, IndexError> {
        let buckets = self.database.begin_read()?.open_table(BUCKETS)?;
        buckets.get(name)?.map(|entry| read(entry.value())).transpose()
    }

    pub(super) fn buckets(&self) -> Result<Vec<(String, Bucket)>, IndexError> {
        let buckets = self.database.begin_read()?.open_table(BUCKETS)?;
        let mut all = Vec::new();
        for entry in buckets.iter()? {
            let (name, bucket) = entry?;
            all.push((name.value().to_owned(), read(bucket.value())?));
        }
        Ok(all)
    }

    /// Deletes a bucket that is empty. Uploads in it are given up; their files are returned.
    pub(super) fn delete_bucket(&self, name: &str) -> Result<Result<Vec<Blob>, BucketRefusal>, IndexError> {
        let transaction = self.write()?;
        let mut freed = Vec::new();
        {
            let mut buckets = transaction.open_table(BUCKETS)?;
            if buckets.get(name)?.is_none() {
                return Ok(Err(BucketRefusal::Missing));
            }
            let objects = transaction.open_table(OBJECTS)?;
            let mut first = objects.range::<(&str, &[u8])>((name, &b""[..])..)?;
            if first.next().transpose()?.is_some_and(|(key, _)| key.value().0 == name) {
                return Ok(Err(BucketRefusal::NotEmpty));
            }
            buckets.remove(name)?;
            for (key, upload) in uploads_of(&transaction, name)? {
                freed.extend(drop_upload(&transaction, name, &key, &upload)?);
            }
        }
        transaction.commit()?;
        Ok(Ok(freed))
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> Result<Option<Object>, IndexError> {
        let objects = self.database.begin_read()?.open_table(OBJECTS)?;
        objects.get((bucket, key.as_bytes()))?.map(|entry| read(entry.value())).transpose()
    }

    /// Writes an object if the condition holds; with it, the upload that it was made of ends. Parts of the upload that
    /// the object does not use are freed.
    pub(super) fn put_object(
        &self,
        bucket: &str,
        key: &str,
        object: &Object,
        condition: &Condition,
        upload: Option<&str>,
    ) -> Result<Written, IndexError> {
        let transaction = self.write()?;
        let mut freed = Vec::new();
        {
            if transaction.open_table(BUCKETS)?.get(bucket)?.is_none() {
                return Ok(Written::NoBucket);
            }
            if let Some(upload) = upload {
                let uploads = transaction.open_table(UPLOADS)?;
                if uploads.get((bucket, key.as_bytes(), upload))?.is_none() {
                    return Ok(Written::NoUpload);
                }
            }
            let mut objects = transaction.open_table(OBJECTS)?;
            let current: Option<Object> =
                objects.get((bucket, key.as_bytes()))?.map(|entry| read(entry.value())).transpose()?;
            match (condition, &current) {
                (Condition::Absent, Some(_)) => return Ok(Written::Refused),
                (Condition::Match(_), None) => return Ok(Written::NoObject),
                (Condition::Match(Some(etag)), Some(object)) if *etag != object.etag => return Ok(Written::Refused),
                _ => {}
            }
            objects.insert((bucket, key.as_bytes()), serde_json::to_vec(object)?.as_slice())?;
            freed.extend(current.into_iter().flat_map(|object| object.blobs));
            if let Some(upload) = upload {
                let parts = drop_upload(&transaction, bucket, key.as_bytes(), upload)?;
                let kept: BTreeSet<BlobId> = parts.iter().map(|blob| blob.id).collect();
                if !object.blobs.iter().all(|blob| kept.contains(&blob.id)) {
                    // A part was sent again while the upload was being completed. Nothing of this is committed.
                    return Ok(Written::NoUpload);
                }
                let used: BTreeSet<BlobId> = object.blobs.iter().map(|blob| blob.id).collect();
                freed.extend(parts.into_iter().filter(|blob| !used.contains(&blob.id)));
            }
        }
        transaction.commit()?;
        Ok(Written::Done(freed))
    }

    /// Gives an object other tags; false when there is no such object.
    pub(super) fn set_tags(&self, bucket: &str, key: &str, tags: Tags) -> Result<bool, IndexError> {
        let transaction = self.write()?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            let at = (bucket, key.as_bytes());
            let current: Option<Object> = objects.get(at)?.map(|entry| read(entry.value())).transpose()?;
            let Some(mut object) = current else { return Ok(false) };
            object.description.tags = tags;
            objects.insert(at, serde_json::to_vec(&object)?.as_slice())?;
        }
        transaction.commit()?;
        Ok(true)
    }

    /// Deletes objects; returns the files that they named. Those that are not there are no error, as in the service.
    pub(super) fn delete_objects(&self, bucket: &str, keys: &[(&str, Condition)]) -> Result<Vec<Written>, IndexError> {
        let transaction = self.write()?;
        let mut results = Vec::with_capacity(keys.len());
        {
            if transaction.open_table(BUCKETS)?.get(bucket)?.is_none() {
                return Ok(keys.iter().map(|_| Written::NoBucket).collect());
            }
            let mut objects = transaction.open_table(OBJECTS)?;
            for (key, condition) in keys {
                let at = (bucket, key.as_bytes());
                let current: Option<Object> = objects.get(at)?.map(|entry| read(entry.value())).transpose()?;
                results.push(match (condition, current) {
                    (Condition::Match(_), None) => Written::NoObject,
                    (Condition::Match(Some(etag)), Some(object)) if *etag != object.etag => Written::Refused,
                    (_, None) => Written::Done(Vec::new()),
                    (_, Some(object)) => {
                        objects.remove(at)?;
                        Written::Done(object.blobs)
                    }
                });
            }
        }
        transaction.commit()?;
        Ok(results)
    }

    /// Hands entries of a bucket to `visit` in the order of their keys, from `start` on, until it says where to go on,
    /// or to stop.
    pub(super) fn walk(
        &self,
        bucket: &str,
        start: Vec<u8>,
        mut visit: impl FnMut(&[u8], Object) -> Walk,
    ) -> Result<(), IndexError> {
        let objects = self.database.begin_read()?.open_table(OBJECTS)?;
        let mut start = start;
        'seek: loop {
            for entry in objects.range::<(&str, &[u8])>((bucket, start.as_slice())..)? {
                let (at, object) = entry?;
                let (of_bucket, key) = at.value();
                if of_bucket != bucket {
                    return Ok(());
                }
                match visit(key, read(object.value())?) {
                    Walk::On => {}
                    Walk::Stop => return Ok(()),
                    Walk::SeekTo(next) => {
                        start = next;
                        continue 'seek;
                    }
                }
            }
            return Ok(());
        }
    }

    /// Begins an upload; false when there is no such bucket.
    pub(super) fn begin_upload(&self, bucket: &str, key: &str, id: &str, upload: &Upload) -> Result<bool, IndexError> {
        let transaction = self.write()?;
        {
            if transaction.open_table(BUCKETS)?.get(bucket)?.is_none() {
                return Ok(false);
            }
            let json = serde_json::to_vec(upload)?;
            transaction.open_table(UPLOADS)?.insert((bucket, key.as_bytes(), id), json.as_slice())?;
        }
        transaction.commit()?;
        Ok(true)
    }

    pub(super) fn upload(&self, bucket: &str, key: &str, id: &str) -> Result<Option<Upload>, IndexError> {
        let uploads = self.database.begin_read()?.open_table(UPLOADS)?;
        uploads.get((bucket, key.as_bytes(), id))?.map(|entry| read(entry.value())).transpose()
    }

    /// Uploads of a bucket that are not complete: key, id, upload.
    pub(super) fn uploads(&self, bucket: &str) -> Result<Vec<(Vec<u8>, String, Upload)>, IndexError> {
        let uploads = self.database.begin_read()?.open_table(UPLOADS)?;
        let mut all = Vec::new();
        for entry in uploads.range::<(&str, &[u8], &str)>((bucket, &b""[..], "")..)? {
            let (at, upload) = entry?;
            let (of_bucket, key, id) = at.value();
            if of_bucket != bucket {
                break;
            }
            all.push((key.to_vec(), id.to_owned(), read(upload.value())?));
        }
        Ok(all)
    }

    /// Keeps a part; the file of an earlier part of the same number is freed.
    pub(super) fn put_part(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        number: u16,
        part: &Part,
    ) -> Result<Written, IndexError> {
        let transaction = self.write()?;
        let mut freed = Vec::new();
        {
            let uploads = transaction.open_table(UPLOADS)?;
            if uploads.get((bucket, key.as_bytes(), upload))?.is_none() {
                return Ok(Written::NoUpload);
            }
            let mut parts = transaction.open_table(PARTS)?;
            let before = parts.insert((upload, number), serde_json::to_vec(part)?.as_slice())?;
            if let Some(before) = before {
                freed.push(read::<Part>(before.value())?.blob);
            }
        }
        transaction.commit()?;
        Ok(Written::Done(freed))
    }

    /// The parts of an upload in order.
    pub(super) fn parts(&self, upload: &str) -> Result<BTreeMap<u16, Part>, IndexError> {
        let parts = self.database.begin_read()?.open_table(PARTS)?;
        let mut all = BTreeMap::new();
        for entry in parts.range((upload, 0)..=(upload, u16::MAX))? {
            let (at, part) = entry?;
            all.insert(at.value().1, read(part.value())?);
        }
        Ok(all)
    }

    /// Gives an upload up.
    pub(super) fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> Result<Written, IndexError> {
        let transaction = self.write()?;
        {
            let uploads = transaction.open_table(UPLOADS)?;
            if uploads.get((bucket, key.as_bytes(), id))?.is_none() {
                return Ok(Written::NoUpload);
            }
        }
        let freed = drop_upload(&transaction, bucket, key.as_bytes(), id)?;
        transaction.commit()?;
        Ok(Written::Done(freed))
    }

    /// All files that objects and parts name.
    pub(super) fn named_blobs(&self) -> Result<BTreeSet<BlobId>, IndexError> {
        let transaction = self.database.begin_read()?;
        let mut named = BTreeSet::new();
        for entry in transaction.open_table(OBJECTS)?.iter()? {
            let object: Object = read(entry?.1.value())?;
            named.extend(object.blobs.iter().map(|blob| blob.id));
        }
        for entry in transaction.open_table(PARTS)?.iter()? {
            let part: Part = read(entry?.1.value())?;
            named.insert(part.blob.id);
        }
        Ok(named)
    }
}

/// How a walk goes on.
pub(super) enum Walk {
    On,
    SeekTo(Vec<u8>),
    Stop,
}

/// Why a bucket was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BucketRefusal {
    Missing,
    NotEmpty,
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, IndexError> {
    Ok(serde_json::from_slice(bytes)?)
}

fn uploads_of(transaction: &WriteTransaction, bucket: &str) -> Result<Vec<(Vec<u8>, String)>, IndexError> {
    let uploads = transaction.open_table(UPLOADS)?;
    let mut all = Vec::new();
    for entry in uploads.range::<(&str, &[u8], &str)>((bucket, &b""[..], "")..)? {
        let (at, _) = entry?;
        let (of_bucket, key, id) = at.value();
        if of_bucket != bucket {
            break;
        }
        all.push((key.to_vec(), id.to_owned()));
    }
    Ok(all)
}

/// Removes an upload and its parts; returns the parts' files.
fn drop_upload(
    transaction: &WriteTransaction,
    bucket: &str,
    key: &[u8],
    upload: &str,
) -> Result<Vec<Blob>, IndexError> {
    transaction.open_table(UPLOADS)?.remove((bucket, key, upload))?;
    let mut parts = transaction.open_table(PARTS)?;
    let mut freed = Vec::new();
    for entry in parts.range((upload, 0)..=(upload, u16::MAX))? {
        let part: Part = read(entry?.1.value())?;
        freed.push(part.blob);
    }
    parts.retain_in((upload, 0)..=(upload, u16::MAX), |_, _| false)?;
    Ok(freed)
}
