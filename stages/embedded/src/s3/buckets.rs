//! Buckets, and listing what is in them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    Bucket as BucketDto, BucketLocationConstraint, CommonPrefix, CreateBucketInput, CreateBucketOutput,
    DeleteBucketInput, DeleteBucketOutput, ETag, EncodingType, GetBucketLocationInput, GetBucketLocationOutput,
    HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object as ObjectDto, ObjectStorageClass, Owner,
};
use s3s::{S3Error, s3_error};

use super::index::{Bucket, BucketRefusal, Object};
use super::listing::{Listed, Page, Query, after, after_all_with, url_encode};
use super::store::{Store, no_bucket, now, size, timestamp};

/// Keys per page. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
const MAX_KEYS: i32 = 1000;

pub(super) fn owner() -> Owner {
    Owner { display_name: Some("local".into()), id: Some("0".repeat(64)) }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
pub(super) async fn create(store: &Store, input: CreateBucketInput) -> Result<CreateBucketOutput, S3Error> {
    let name = input.bucket.clone();
    let created = store.index(move |index| index.create_bucket(&name, &Bucket { created_at: now() })).await?;
    if !created {
        return Err(s3_error!(
            BucketAlreadyOwnedByYou,
            "Your previous request to create the named bucket succeeded and you already own it."
        ));
    }
    Ok(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html>
pub(super) async fn delete(store: &Store, input: DeleteBucketInput) -> Result<DeleteBucketOutput, S3Error> {
    match store.index(move |index| index.delete_bucket(&input.bucket)).await? {
        Ok(freed) => {
            store.blobs.remove(&freed).await;
            Ok(DeleteBucketOutput::default())
        }
        Err(BucketRefusal::Missing) => Err(no_bucket()),
        Err(BucketRefusal::NotEmpty) => Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty")),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html>
pub(super) async fn head(store: &Store, input: HeadBucketInput) -> Result<HeadBucketOutput, S3Error> {
    store.require_bucket(&input.bucket).await?;
    Ok(HeadBucketOutput { bucket_region: Some(store.region.to_string()), ..HeadBucketOutput::default() })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html>
pub(super) async fn location(store: &Store, input: GetBucketLocationInput) -> Result<GetBucketLocationOutput, S3Error> {
    store.require_bucket(&input.bucket).await?;
    // The oldest region has no name here.
    let constraint = (&*store.region != "us-east-1").then(|| BucketLocationConstraint::from(store.region.to_string()));
    Ok(GetBucketLocationOutput { location_constraint: constraint })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html>
pub(super) async fn list(store: &Store, input: ListBucketsInput) -> Result<ListBucketsOutput, S3Error> {
    let buckets = store.index(|index| index.buckets()).await?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let buckets = buckets
        .into_iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .map(|(name, bucket)| BucketDto {
            bucket_region: Some(store.region.to_string()),
            creation_date: Some(timestamp(bucket.created_at)),
            name: Some(name),
        })
        .collect();
    Ok(ListBucketsOutput {
        buckets: Some(buckets),
        owner: Some(owner()),
        prefix: input.prefix,
        ..ListBucketsOutput::default()
    })
}

/// What both versions of listing share.
struct Request {
    bucket: String,
    prefix: Option<String>,
    delimiter: Option<String>,
    encoding: Option<EncodingType>,
    max_keys: Option<i32>,
    start: Vec<u8>,
}

/// What both versions of listing answer.
struct Answer {
    contents: Vec<ObjectDto>,
    prefixes: Vec<CommonPrefix>,
    truncated: bool,
    /// The last name of the page.
    last: Option<Vec<u8>>,
    /// Where the next page begins.
    next: Option<Vec<u8>>,
}

fn max_keys(given: Option<i32>) -> Result<i32, S3Error> {
    match given {
        None => Ok(MAX_KEYS),
        Some(max) if max >= 0 => Ok(max.min(MAX_KEYS)),
        Some(_) => Err(s3_error!(InvalidArgument, "Argument max-keys must be an integer between 0 and 2147483647")),
    }
}

fn encoder(encoding: Option<&EncodingType>) -> Result<fn(&str) -> String, S3Error> {
    match encoding.map(EncodingType::as_str) {
        None => Ok(str::to_owned),
        Some("url") => Ok(url_encode),
        Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
    }
}

async fn page(store: &Store, request: Request) -> Result<Answer, S3Error> {
    let encode = encoder(request.encoding.as_ref())?;
    let query = Query {
        prefix: request.prefix.unwrap_or_default().into_bytes(),
        delimiter: request.delimiter.unwrap_or_default().into_bytes(),
        max: usize::try_from(max_keys(request.max_keys)?).unwrap_or_default(),
    };
    // Keys sort as bytes, so nothing before the prefix can have it.
    let start = request.start.max(query.prefix.clone());
    let bucket = request.bucket;
    let page = store
        .index(move |index| {
            if index.bucket(&bucket)?.is_none() {
                return Ok(None);
            }
            let mut page = Page::new(query);
            index.walk(&bucket, start, |key, object| page.take(key, object))?;
            Ok(Some(page))
        })
        .await?
        .ok_or_else(no_bucket)?;
    let mut answer =
        Answer { contents: Vec::new(), prefixes: Vec::new(), truncated: page.truncated, last: None, next: None };
    if let Some(last) = page.entries.last().filter(|_| page.truncated) {
        answer.last = Some(last.name().to_vec());
        answer.next = match last {
            Listed::Key(key, _) => Some(after(key)),
            Listed::Prefix(prefix) => after_all_with(prefix),
        };
    }
    for entry in page.entries {
        match entry {
            Listed::Key(key, object) => answer.contents.push(object_dto(&encode(&text(&key)), &object)),
            Listed::Prefix(prefix) => answer.prefixes.push(CommonPrefix { prefix: Some(encode(&text(&prefix))) }),
        }
    }
    Ok(answer)
}

/// Keys come in as text, so they are text; a common prefix may end inside a character only if the delimiter does.
fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

fn object_dto(key: &str, object: &Object) -> ObjectDto {
    ObjectDto {
        e_tag: Some(ETag::Strong(object.etag.clone())),
        key: Some(key.to_owned()),
        last_modified: Some(timestamp(object.modified_at)),
        size: Some(size(object.size)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..ObjectDto::default()
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
pub(super) async fn list_v2(store: &Store, input: ListObjectsV2Input) -> Result<ListObjectsV2Output, S3Error> {
    let encode = encoder(input.encoding_type.as_ref())?;
    let start = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))?,
        (None, Some(key)) => after(key.as_bytes()),
        (None, None) => Vec::new(),
    };
    let request = Request {
        bucket: input.bucket.clone(),
        prefix: input.prefix.clone(),
        delimiter: input.delimiter.clone(),
        encoding: input.encoding_type.clone(),
        max_keys: input.max_keys,
        start,
    };
    let answer = page(store, request).await?;
    let count = answer.contents.len() + answer.prefixes.len();
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encode(&input.prefix.unwrap_or_default())),
        max_keys: Some(max_keys(input.max_keys)?),
        key_count: i32::try_from(count).ok(),
        continuation_token: input.continuation_token,
        is_truncated: Some(answer.truncated),
        next_continuation_token: answer.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
        contents: Some(answer.contents),
        common_prefixes: Some(answer.prefixes),
        delimiter: input.delimiter.as_deref().map(encode),
        encoding_type: input.encoding_type,
        start_after: input.start_after.as_deref().map(encode),
        ..ListObjectsV2Output::default()
    })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html>
pub(super) async fn list_v1(store: &Store, input: ListObjectsInput) -> Result<ListObjectsOutput, S3Error> {
    let encode = encoder(input.encoding_type.as_ref())?;
    let marker = input.marker.clone().unwrap_or_default();
    let delimiter = input.delimiter.clone().unwrap_or_default();
    // A marker that is a common prefix of the page before stands for all keys below it.
    let is_prefix = !delimiter.is_empty() && marker.ends_with(&delimiter);
    let start = match marker.as_bytes() {
        b"" => Vec::new(),
        name if is_prefix => after_all_with(name).unwrap_or_else(|| after(name)),
        name => after(name),
    };
    let request = Request {
        bucket: input.bucket.clone(),
        prefix: input.prefix.clone(),
        delimiter: input.delimiter.clone(),
        encoding: input.encoding_type.clone(),
        max_keys: input.max_keys,
        start,
    };
    let answer = page(store, request).await?;
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encode(&input.prefix.unwrap_or_default())),
        marker: Some(encode(&marker)),
        max_keys: Some(max_keys(input.max_keys)?),
        is_truncated: Some(answer.truncated),
        next_marker: answer.last.map(|last| encode(&text(&last))),
        contents: Some(answer.contents),
        common_prefixes: Some(answer.prefixes),
        delimiter: input.delimiter.as_deref().map(encode),
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    })
}
