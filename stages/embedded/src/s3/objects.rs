//! Objects: writing, reading, copying and deleting them whole.

use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use http::Extensions;
use http_body_util::StreamBody;
use hyper::body::Frame;
use s3s::dto::{
    Checksum, ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, Error as DeleteError,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Metadata, MetadataDirective, PutObjectInput,
    PutObjectOutput, StreamingBlob, TaggingDirective,
};
use s3s::{S3Error, S3Request, s3_error};

use super::blobs::{Pinned, internal};
use super::conditions::{ReadConditions, check_read, of_headers, of_write, precondition_failed};
use super::digest::{Algorithm, Expected, Sum};
use super::index::{Condition, Description, Object, Written};
use super::store::{Store, now, size, timestamp};
use super::tagging::{self, Tags};
use super::unsign::Announced;
use crate::front::body::BoxError;

/// Bytes of user metadata: names and values.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>
const MAX_METADATA_BYTES: usize = 2048;
/// Keys per `DeleteObjects`.
const MAX_DELETES: usize = 1000;

/// The algorithm that a request asks for, by name or by the trailer that it announces.
pub(super) fn algorithm(named: Option<&str>, headers: &http::HeaderMap) -> Option<Algorithm> {
    let in_trailer = headers.get("x-amz-trailer").and_then(|value| value.to_str().ok());
    let by_sdk = headers.get("x-amz-sdk-checksum-algorithm").and_then(|value| value.to_str().ok());
    in_trailer.and_then(Algorithm::of_trailer).or_else(|| named.or(by_sdk).and_then(Algorithm::parse))
}

/// What the client announced outside of the headers that `s3s` knows.
pub(super) fn announced(extensions: &Extensions) -> Announced {
    extensions.get::<Announced>().cloned().unwrap_or_default()
}

/// The bytes of a request's body.
pub(super) fn body(blob: Option<StreamingBlob>) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
    futures::stream::iter(blob.map(Ok::<_, BoxError>)).try_flatten()
}

pub(super) fn metadata(given: Option<Metadata>) -> Result<std::collections::BTreeMap<String, String>, S3Error> {
    let metadata: std::collections::BTreeMap<_, _> = given.unwrap_or_default().into_iter().collect();
    if metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_METADATA_BYTES {
        return Err(s3_error!(MetadataTooLarge, "Your metadata headers exceed the maximum allowed metadata size."));
    }
    Ok(metadata)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>
pub(super) async fn put(store: &Store, request: S3Request<PutObjectInput>) -> Result<PutObjectOutput, S3Error> {
    let S3Request { input, headers, extensions, .. } = request;
    let condition = of_write(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let description = Description {
        content_type: input.content_type,
        content_encoding: input.content_encoding,
        content_disposition: input.content_disposition,
        content_language: input.content_language,
        cache_control: input.cache_control,
        metadata: metadata(input.metadata)?,
        tags: tagging::of_header(input.tagging.as_deref())?,
    };
    let expected = Expected {
        content_md5: input.content_md5,
        sum: Sum::of_request(&Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            ..Checksum::default()
        }),
        algorithm: algorithm(input.checksum_algorithm.as_ref().map(|name| name.as_str()), &headers),
        announced: announced(&extensions),
    };
    store.require_bucket(&input.bucket).await?;
    let (object, sum) =
        write(store, &input.bucket, &input.key, body(input.body), expected, description, condition).await?;
    let sums = sum.as_ref().map(Sum::to_answer).unwrap_or_default();
    Ok(PutObjectOutput {
        e_tag: Some(ETag::Strong(object.etag)),
        checksum_type: sum.map(|_| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        ..PutObjectOutput::default()
    })
}

/// Writes the bytes, then the entry that makes them an object.
async fn write(
    store: &Store,
    bucket: &str,
    key: &str,
    body: impl Stream<Item = Result<Bytes, BoxError>> + Send,
    expected: Expected,
    description: Description,
    condition: Condition,
) -> Result<(Object, Option<Sum>), S3Error> {
    let (blob, digests) = store.blobs.write(body, expected).await?;
    let object = Object {
        size: digests.length,
        etag: hex::encode(digests.md5),
        modified_at: now(),
        blobs: vec![blob],
        multipart: false,
        sum: digests.sum.clone(),
        description,
    };
    let (bucket, key, entry) = (bucket.to_owned(), key.to_owned(), object.clone());
    let written = store.index(move |index| index.put_object(&bucket, &key, &entry, &condition, None)).await?;
    store.settle(written, &[blob]).await?;
    Ok((object, digests.sum))
}

/// The bytes that a read asks for: all of them, a range, or a part.
fn wanted(object: &Object, range: Option<&s3s::dto::Range>, part: Option<i32>) -> Result<(Range<u64>, bool), S3Error> {
    match (range, part) {
        (None, None) => Ok((0..object.size, false)),
        (Some(range), None) => range
            .check(object.size)
            .map(|range| (range, true))
            .map_err(|_| s3_error!(InvalidRange, "The requested range is not satisfiable")),
        (None, Some(number)) => {
            let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            let length = at.and_then(|at| object.blobs.get(at)).map(|blob| blob.length);
            let (Some(at), Some(length)) = (at, length) else {
                return Err(s3_error!(InvalidRange, "The requested partnumber is not satisfiable"));
            };
            let start: u64 = object.blobs[..at].iter().map(|blob| blob.length).sum();
            Ok((start..start + length, true))
        }
        (Some(_), Some(_)) => {
            Err(s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber query parameter"))
        }
    }
}

fn content_range(range: &Range<u64>, size: u64) -> Option<String> {
    (range.start < range.end).then(|| format!("bytes {}-{}/{size}", range.start, range.end - 1))
}

fn checksum_type(object: &Object) -> Option<ChecksumType> {
    let composite = object.sum.as_ref()?.value.contains('-');
    Some(ChecksumType::from_static(if composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT }))
}

fn parts_count(object: &Object) -> Option<i32> {
    if object.multipart { i32::try_from(object.blobs.len()).ok() } else { None }
}

fn content_type(object: &Object) -> String {
    object.description.content_type.clone().unwrap_or_else(|| "binary/octet-stream".into())
}

/// What a read asks for: `GET` and `HEAD` ask the same.
struct Asked<'a> {
    conditions: ReadConditions<'a>,
    range: Option<&'a s3s::dto::Range>,
    part: Option<i32>,
    /// Whether the checksums are to be told.
    sums: bool,
}

/// The answer to a read but for the body, and the bytes that belong there.
fn answer_without_body(object: &Object, asked: &Asked<'_>) -> Result<(GetObjectOutput, Range<u64>), S3Error> {
    check_read(&asked.conditions, object)?;
    let (range, partial) = wanted(object, asked.range, asked.part)?;
    let show_sum = asked.sums && !partial;
    let sums = object.sum.as_ref().filter(|_| show_sum).map(Sum::to_answer).unwrap_or_default();
    let description = object.description.clone();
    let answer = GetObjectOutput {
        accept_ranges: Some("bytes".into()),
        cache_control: description.cache_control,
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        checksum_type: checksum_type(object).filter(|_| show_sum),
        content_disposition: description.content_disposition,
        content_encoding: description.content_encoding,
        content_language: description.content_language,
        content_length: Some(size(range.end - range.start)),
        content_range: content_range(&range, object.size).filter(|_| partial),
        content_type: Some(content_type(object)),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(timestamp(object.modified_at)),
        tag_count: tagging::count(&description.tags),
        metadata: Some(description.metadata.into_iter().collect()),
        parts_count: parts_count(object).filter(|_| asked.part.is_some()),
        ..GetObjectOutput::default()
    };
    Ok((answer, range))
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
pub(super) async fn get(store: &Store, input: GetObjectInput) -> Result<GetObjectOutput, S3Error> {
    let (object, files) = store.object_to_read(&input.bucket, &input.key).await?;
    let asked = Asked {
        conditions: ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        },
        range: input.range.as_ref(),
        part: input.part_number,
        sums: input.checksum_mode.is_some(),
    };
    let (answer, range) = answer_without_body(&object, &asked)?;
    let bytes = files.read(range).map_ok(Frame::data);
    let body = StreamingBlob::from(s3s::Body::http_body_unsync(StreamBody::new(bytes)));
    Ok(GetObjectOutput { body: Some(body), ..answer })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
pub(super) async fn head(store: &Store, input: HeadObjectInput) -> Result<HeadObjectOutput, S3Error> {
    let object = store.object(&input.bucket, &input.key).await?;
    let asked = Asked {
        conditions: ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        },
        range: input.range.as_ref(),
        part: input.part_number,
        sums: input.checksum_mode.is_some(),
    };
    let (answer, _) = answer_without_body(&object, &asked)?;
    Ok(HeadObjectOutput {
        accept_ranges: answer.accept_ranges,
        cache_control: answer.cache_control,
        checksum_crc32: answer.checksum_crc32,
        checksum_crc32c: answer.checksum_crc32c,
        checksum_crc64nvme: answer.checksum_crc64nvme,
        checksum_sha1: answer.checksum_sha1,
        checksum_sha256: answer.checksum_sha256,
        checksum_type: answer.checksum_type,
        content_disposition: answer.content_disposition,
        content_encoding: answer.content_encoding,
        content_language: answer.content_language,
        content_length: answer.content_length,
        content_range: answer.content_range,
        content_type: answer.content_type,
        e_tag: answer.e_tag,
        last_modified: answer.last_modified,
        metadata: answer.metadata,
        parts_count: answer.parts_count,
        ..HeadObjectOutput::default()
    })
}

fn of_source(source: &CopySource) -> Result<(&str, &str), S3Error> {
    match source {
        CopySource::Bucket { bucket, key, .. } => Ok((bucket, key)),
        _ => Err(s3_error!(NotImplemented, "Only objects in buckets can be copied.")),
    }
}

/// The object that is copied, if the conditions hold for it.
pub(super) async fn open_source(
    store: &Store,
    source: &CopySource,
    conditions: &ReadConditions<'_>,
) -> Result<(Object, Pinned), S3Error> {
    let (bucket, key) = of_source(source)?;
    let (object, files) = store.object_to_read(bucket, key).await?;
    // A copy has no "not modified": every condition that does not hold refuses it.
    check_read(conditions, &object).map_err(|_| precondition_failed())?;
    Ok((object, files))
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>
pub(super) async fn copy(store: &Store, request: S3Request<CopyObjectInput>) -> Result<CopyObjectOutput, S3Error> {
    let S3Request { input, headers, .. } = request;
    let condition = of_headers(&headers)?;
    let replace = input.metadata_directive.as_ref().map(MetadataDirective::as_str) == Some(MetadataDirective::REPLACE);
    if !replace && of_source(&input.copy_source)? == (&input.bucket, &input.key) {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
             metadata."
        ));
    }
    let conditions = ReadConditions {
        if_match: input.copy_source_if_match.as_ref(),
        if_none_match: input.copy_source_if_none_match.as_ref(),
        if_modified_since: input.copy_source_if_modified_since.as_ref(),
        if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
    };
    let (source, files) = open_source(store, &input.copy_source, &conditions).await?;
    let mut description = if replace {
        Description {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            cache_control: input.cache_control,
            metadata: metadata(input.metadata)?,
            tags: Tags::new(),
        }
    } else {
        source.description.clone()
    };
    let replace_tags =
        input.tagging_directive.as_ref().map(TaggingDirective::as_str) == Some(TaggingDirective::REPLACE);
    description.tags =
        if replace_tags { tagging::of_header(input.tagging.as_deref())? } else { source.description.tags.clone() };
    let algorithm = input.checksum_algorithm.as_ref().and_then(|name| Algorithm::parse(name.as_str()));
    let kept = source.sum.as_ref().map(|sum| sum.algorithm);
    let expected = Expected { algorithm: algorithm.or(kept), ..Expected::default() };
    let bytes = files.read(0..source.size).map_err(BoxError::from);
    let (object, sum) = write(store, &input.bucket, &input.key, bytes, expected, description, condition).await?;
    let sums = sum.as_ref().map(Sum::to_answer).unwrap_or_default();
    let result = CopyObjectResult {
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        checksum_type: checksum_type(&object),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(timestamp(object.modified_at)),
    };
    Ok(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>
pub(super) async fn delete(store: &Store, input: DeleteObjectInput) -> Result<DeleteObjectOutput, S3Error> {
    let condition = of_write(input.if_match.as_ref(), None)?;
    let written = store.index(move |index| index.delete_objects(&input.bucket, &[(&input.key, condition)])).await?;
    for outcome in written {
        store.settle(outcome, &[]).await?;
    }
    Ok(DeleteObjectOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>
pub(super) async fn delete_many(store: &Store, input: DeleteObjectsInput) -> Result<DeleteObjectsOutput, S3Error> {
    if input.delete.objects.len() > MAX_DELETES || input.delete.objects.is_empty() {
        return Err(s3_error!(MalformedXML, "A request must name at least 1 and at most {MAX_DELETES} objects."));
    }
    let quiet = input.delete.quiet.unwrap_or(false);
    let objects = input.delete.objects;
    let bucket = input.bucket;
    let (objects, outcomes) = store
        .index(move |index| {
            let keys: Vec<(&str, Condition)> = objects
                .iter()
                .map(|object| {
                    let condition = object.e_tag.as_ref().map(|etag| Condition::Match(Some(etag.value().to_owned())));
                    (object.key.as_str(), condition.unwrap_or_default())
                })
                .collect();
            let outcomes = index.delete_objects(&bucket, &keys)?;
            drop(keys);
            Ok((objects, outcomes))
        })
        .await?;
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for (object, outcome) in objects.into_iter().zip(outcomes) {
        if outcome == Written::NoBucket {
            return store.settle(outcome, &[]).await.map(|()| DeleteObjectsOutput::default());
        }
        match store.settle(outcome, &[]).await {
            Ok(()) if quiet => {}
            Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() }),
            Err(error) => errors.push(DeleteError {
                code: Some(error.code().as_str().to_owned()),
                key: Some(object.key),
                message: error.message().map(str::to_owned),
                version_id: None,
            }),
        }
    }
    Ok(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), ..DeleteObjectsOutput::default() })
}

/// Reads an object's files to the end, for a digest over all of them.
pub(super) async fn read_all(files: Pinned, size: u64, mut visit: impl FnMut(&[u8])) -> Result<(), S3Error> {
    let mut bytes = files.read(0..size);
    while let Some(piece) = bytes.try_next().await.map_err(internal)? {
        visit(&piece);
    }
    Ok(())
}
