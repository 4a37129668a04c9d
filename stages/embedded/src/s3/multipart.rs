//! Uploads in parts. A complete upload is an object that names the files of its parts; nothing is copied.

use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Checksum, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CopyPartResult,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload as UploadDto, Part as PartDto,
    UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Error, S3Request, s3_error};

use super::blobs::Blob;
use super::buckets::owner;
use super::conditions::{ReadConditions, of_write};
use super::digest::{Algorithm, Check, Expected, Sum};
use super::index::{Description, Object, Part, Upload};
use super::objects::{algorithm, announced, body, metadata, open_source, read_all};
use super::store::{Store, no_bucket, no_upload, now, size, timestamp};
use super::tagging;
use crate::front::body::BoxError;

/// Parts per upload, and uploads or parts per page.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const MAX_PARTS: i32 = 10_000;
const PAGE: i32 = 1000;
/// The smallest part, but for the last one.
const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>
pub(super) async fn create(
    store: &Store,
    input: CreateMultipartUploadInput,
) -> Result<CreateMultipartUploadOutput, S3Error> {
    let algorithm = input.checksum_algorithm.as_ref().and_then(|name| Algorithm::parse(name.as_str()));
    // CRC64NVME is only defined over the whole object.
    let full_object = match input.checksum_type.as_ref().map(ChecksumType::as_str) {
        Some(ChecksumType::FULL_OBJECT) => true,
        Some(_) => false,
        None => algorithm == Some(Algorithm::Crc64Nvme),
    };
    let upload = Upload {
        started_at: now(),
        algorithm,
        full_object,
        description: Description {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            cache_control: input.cache_control,
            metadata: metadata(input.metadata)?,
            tags: tagging::of_header(input.tagging.as_deref())?,
        },
    };
    let id = uuid::Uuid::new_v4().simple().to_string();
    let (bucket, key, upload_id) = (input.bucket.clone(), input.key.clone(), id.clone());
    if !store.index(move |index| index.begin_upload(&bucket, &key, &upload_id, &upload)).await? {
        return Err(no_bucket());
    }
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: algorithm.map(|_| checksum_type(full_object)),
        ..CreateMultipartUploadOutput::default()
    })
}

fn checksum_type(full_object: bool) -> ChecksumType {
    ChecksumType::from_static(if full_object { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE })
}

async fn upload(store: &Store, bucket: &str, key: &str, id: &str) -> Result<Upload, S3Error> {
    let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
    store.index(move |index| index.upload(&bucket, &key, &id)).await?.ok_or_else(no_upload)
}

fn part_number(number: i32) -> Result<u16, S3Error> {
    u16::try_from(number).ok().filter(|_| (1..=MAX_PARTS).contains(&number)).ok_or_else(|| {
        s3_error!(InvalidArgument, "Part number must be an integer between 1 and {MAX_PARTS}, inclusive")
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html>
pub(super) async fn put_part(store: &Store, request: S3Request<UploadPartInput>) -> Result<UploadPartOutput, S3Error> {
    let S3Request { input, headers, extensions, .. } = request;
    let number = part_number(input.part_number)?;
    let of_upload = upload(store, &input.bucket, &input.key, &input.upload_id).await?;
    let named = input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str);
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
        algorithm: algorithm(named, &headers).or(of_upload.algorithm),
        announced: announced(&extensions),
    };
    let at = PartAt { bucket: input.bucket, key: input.key, upload: input.upload_id, number };
    let part = write_part(store, at, body(input.body), expected).await?;
    let sums = part.sum.as_ref().map(Sum::to_answer).unwrap_or_default();
    Ok(UploadPartOutput {
        e_tag: Some(ETag::Strong(hex::encode(part.md5))),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        ..UploadPartOutput::default()
    })
}

/// Where a part belongs.
struct PartAt {
    bucket: String,
    key: String,
    upload: String,
    number: u16,
}

/// Writes the bytes, then the entry that makes them a part.
async fn write_part(
    store: &Store,
    at: PartAt,
    body: impl Stream<Item = Result<Bytes, BoxError>> + Send,
    expected: Expected,
) -> Result<Part, S3Error> {
    let (blob, digests) = store.blobs.write(body, expected).await?;
    let part = Part { blob, md5: digests.md5, sum: digests.sum, modified_at: now() };
    let entry = part.clone();
    let written = store.index(move |index| index.put_part(&at.bucket, &at.key, &at.upload, at.number, &entry)).await?;
    store.settle(written, &[blob]).await?;
    Ok(part)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html>
pub(super) async fn copy_part(store: &Store, input: UploadPartCopyInput) -> Result<UploadPartCopyOutput, S3Error> {
    let number = part_number(input.part_number)?;
    let of_upload = upload(store, &input.bucket, &input.key, &input.upload_id).await?;
    let conditions = ReadConditions {
        if_match: input.copy_source_if_match.as_ref(),
        if_none_match: input.copy_source_if_none_match.as_ref(),
        if_modified_since: input.copy_source_if_modified_since.as_ref(),
        if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
    };
    let (source, files) = open_source(store, &input.copy_source, &conditions).await?;
    let range = copied_range(input.copy_source_range.as_deref(), source.size)?;
    let expected = Expected { algorithm: of_upload.algorithm, ..Expected::default() };
    let at = PartAt { bucket: input.bucket, key: input.key, upload: input.upload_id, number };
    let part = write_part(store, at, files.read(range).map_err(BoxError::from), expected).await?;
    let sums = part.sum.as_ref().map(Sum::to_answer).unwrap_or_default();
    let result = CopyPartResult {
        e_tag: Some(ETag::Strong(hex::encode(part.md5))),
        last_modified: Some(timestamp(part.modified_at)),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
    };
    Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() })
}

/// The bytes that a part is copied from. Other than a read's, the range must lie in the object as a whole.
fn copied_range(range: Option<&str>, size: u64) -> Result<Range<u64>, S3Error> {
    let Some(text) = range else { return Ok(0..size) };
    match s3s::dto::Range::parse(text) {
        Ok(s3s::dto::Range::Int { first, last: Some(last) }) if first <= last && last < size => Ok(first..last + 1),
        Ok(s3s::dto::Range::Int { last: Some(_), .. }) => {
            Err(s3_error!(InvalidArgument, "Range specified is not valid for source object of size: {size}"))
        }
        _ => Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy"
        )),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>
pub(super) async fn complete(
    store: &Store,
    input: CompleteMultipartUploadInput,
) -> Result<CompleteMultipartUploadOutput, S3Error> {
    let condition = of_write(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let of_upload = upload(store, &input.bucket, &input.key, &input.upload_id).await?;
    let id = input.upload_id.clone();
    let kept = store.index(move |index| index.parts(&id)).await?;
    let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let parts = choose(&kept, &named)?;
    let blobs: Vec<Blob> = parts.iter().map(|part| part.blob).collect();
    let total: u64 = blobs.iter().map(|blob| blob.length).sum();
    if input.mpu_object_size.is_some_and(|expected| expected != size(total)) {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match the object's size."
        ));
    }
    let sum = whole_sum(store, &of_upload, &parts, total).await?;
    let given = Sum::of_request(&Checksum {
        checksum_crc32: input.checksum_crc32,
        checksum_crc32c: input.checksum_crc32c,
        checksum_crc64nvme: input.checksum_crc64nvme,
        checksum_sha1: input.checksum_sha1,
        checksum_sha256: input.checksum_sha256,
        ..Checksum::default()
    });
    if let (Some(given), Some(sum)) = (&given, &sum)
        && given.algorithm == sum.algorithm
        && given.value != sum.value
    {
        return Err(s3_error!(
            BadDigest,
            "The {} you specified did not match the calculated checksum.",
            sum.algorithm.name()
        ));
    }
    let object = Object {
        size: total,
        etag: etag(&parts),
        modified_at: now(),
        blobs,
        multipart: true,
        sum: sum.clone(),
        description: of_upload.description,
    };
    let (bucket, key, upload_id, entry) = (input.bucket.clone(), input.key.clone(), input.upload_id, object.clone());
    let written =
        store.index(move |index| index.put_object(&bucket, &key, &entry, &condition, Some(&upload_id))).await?;
    // The parts still belong to the upload when the condition refuses, so nothing is to be removed then.
    store.settle(written, &[]).await?;
    let sums = sum.as_ref().map(Sum::to_answer).unwrap_or_default();
    Ok(CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(ETag::Strong(object.etag)),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        checksum_type: sum.map(|_| checksum_type(of_upload.full_object)),
        ..CompleteMultipartUploadOutput::default()
    })
}

/// The parts that the client names, in its order, which must be theirs.
fn choose(kept: &std::collections::BTreeMap<u16, Part>, named: &[CompletedPart]) -> Result<Vec<Part>, S3Error> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    let invalid = || {
        s3_error!(
            InvalidPart,
            "One or more of the specified parts could not be found. The part may not have been \
             uploaded, or the specified entity tag may not match the part's entity tag."
        )
    };
    let mut parts: Vec<Part> = Vec::with_capacity(named.len());
    let mut last = 0;
    for completed in named {
        let number = part_number(completed.part_number.ok_or_else(invalid)?)?;
        if number <= last {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. Parts must be ordered by part number."
            ));
        }
        last = number;
        let part = kept.get(&number).ok_or_else(invalid)?;
        let same_tag = completed.e_tag.as_ref().is_some_and(|etag| etag.value() == hex::encode(part.md5));
        let given = Sum::of_request(&Checksum {
            checksum_crc32: completed.checksum_crc32.clone(),
            checksum_crc32c: completed.checksum_crc32c.clone(),
            checksum_crc64nvme: completed.checksum_crc64nvme.clone(),
            checksum_sha1: completed.checksum_sha1.clone(),
            checksum_sha256: completed.checksum_sha256.clone(),
            ..Checksum::default()
        });
        if !same_tag || given.is_some_and(|given| part.sum.as_ref() != Some(&given)) {
            return Err(invalid());
        }
        parts.push(part.clone());
    }
    let too_small =
        parts.split_last().is_some_and(|(_, others)| others.iter().any(|part| part.blob.length < MIN_PART_BYTES));
    if too_small {
        return Err(s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"));
    }
    Ok(parts)
}

/// The MD5 of the parts' MD5s, and how many there are.
fn etag(parts: &[Part]) -> String {
    use md5::{Digest as _, Md5};
    let mut md5 = Md5::new();
    parts.iter().for_each(|part| md5.update(part.md5));
    format!("{}-{}", hex::encode(md5.finalize()), parts.len())
}

/// The checksum of the object, as the upload asked for it.
async fn whole_sum(store: &Store, upload: &Upload, parts: &[Part], total: u64) -> Result<Option<Sum>, S3Error> {
    let Some(algorithm) = upload.algorithm else { return Ok(None) };
    if !upload.full_object {
        let sums: Option<Vec<Sum>> =
            parts.iter().map(|part| part.sum.clone().filter(|sum| sum.algorithm == algorithm)).collect();
        return Ok(sums.and_then(|sums| Sum::of_parts(algorithm, &sums)));
    }
    let blobs: Vec<Blob> = parts.iter().map(|part| part.blob).collect();
    let ((), files) = store.blobs.pin(|| Ok::<_, S3Error>(((), blobs)))?;
    let mut check = Check::new(Expected { algorithm: Some(algorithm), ..Expected::default() });
    read_all(files, total, |piece| check.update(piece)).await?;
    Ok(check.finish()?.sum)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html>
pub(super) async fn abort(
    store: &Store,
    input: AbortMultipartUploadInput,
) -> Result<AbortMultipartUploadOutput, S3Error> {
    let written = store.index(move |index| index.abort_upload(&input.bucket, &input.key, &input.upload_id)).await?;
    store.settle(written, &[]).await?;
    Ok(AbortMultipartUploadOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html>
pub(super) async fn list_parts(store: &Store, input: ListPartsInput) -> Result<ListPartsOutput, S3Error> {
    let of_upload = upload(store, &input.bucket, &input.key, &input.upload_id).await?;
    let id = input.upload_id.clone();
    let kept = store.index(move |index| index.parts(&id)).await?;
    let max = input.max_parts.unwrap_or(PAGE).clamp(0, PAGE);
    let marker = input.part_number_marker.unwrap_or(0);
    let mut rest = kept.into_iter().filter(|(number, _)| i32::from(*number) > marker);
    let page: Vec<(u16, Part)> = rest.by_ref().take(usize::try_from(max).unwrap_or_default()).collect();
    let truncated = rest.next().is_some();
    let next = page.last().map(|(number, _)| i32::from(*number)).filter(|_| truncated);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        checksum_algorithm: of_upload.algorithm.map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: of_upload.algorithm.map(|_| checksum_type(of_upload.full_object)),
        is_truncated: Some(truncated),
        max_parts: Some(max),
        next_part_number_marker: next,
        part_number_marker: Some(marker),
        owner: Some(owner()),
        parts: Some(page.iter().map(|(number, part)| part_dto(*number, part)).collect()),
        ..ListPartsOutput::default()
    })
}

fn part_dto(number: u16, part: &Part) -> PartDto {
    let sums = part.sum.as_ref().map(Sum::to_answer).unwrap_or_default();
    PartDto {
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        e_tag: Some(ETag::Strong(hex::encode(part.md5))),
        last_modified: Some(timestamp(part.modified_at)),
        part_number: Some(i32::from(number)),
        size: Some(size(part.blob.length)),
    }
}

/// Lists uploads that are neither complete nor aborted. Delimiters are not supported here.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html>
pub(super) async fn list_uploads(
    store: &Store,
    input: ListMultipartUploadsInput,
) -> Result<ListMultipartUploadsOutput, S3Error> {
    if input.delimiter.is_some() {
        return Err(s3_error!(NotImplemented, "Delimiters are not supported when uploads are listed."));
    }
    store.require_bucket(&input.bucket).await?;
    let bucket = input.bucket.clone();
    let prefix = input.prefix.clone().unwrap_or_default();
    let marker =
        (input.key_marker.clone().unwrap_or_default().into_bytes(), input.upload_id_marker.clone().unwrap_or_default());
    let mut uploads = store.index(move |index| index.uploads(&bucket)).await?;
    uploads.retain(|(key, id, _)| key.starts_with(prefix.as_bytes()) && is_after(key, id, &marker));
    let max = input.max_uploads.unwrap_or(PAGE).clamp(0, PAGE);
    let limit = usize::try_from(max).unwrap_or_default();
    let truncated = uploads.len() > limit;
    uploads.truncate(limit);
    let last = uploads.last().filter(|_| truncated);
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        is_truncated: Some(truncated),
        key_marker: input.key_marker,
        upload_id_marker: input.upload_id_marker,
        max_uploads: Some(max),
        next_key_marker: last.map(|(key, ..)| String::from_utf8_lossy(key).into_owned()),
        next_upload_id_marker: last.map(|(_, id, _)| id.clone()),
        prefix: input.prefix,
        uploads: Some(uploads.iter().map(|(key, id, upload)| upload_dto(key, id, upload)).collect()),
        ..ListMultipartUploadsOutput::default()
    })
}

/// Without an upload's id the marker stands for all uploads of its key.
fn is_after(key: &[u8], id: &str, (key_marker, id_marker): &(Vec<u8>, String)) -> bool {
    key > key_marker.as_slice() || (key == key_marker.as_slice() && !id_marker.is_empty() && id > id_marker.as_str())
}

fn upload_dto(key: &[u8], id: &str, upload: &Upload) -> UploadDto {
    UploadDto {
        initiated: Some(timestamp(upload.started_at)),
        key: Some(String::from_utf8_lossy(key).into_owned()),
        owner: Some(owner()),
        upload_id: Some(id.to_owned()),
        ..UploadDto::default()
    }
}
