//! Tags of objects. They are a part of the object's description: a write replaces them with it.

use std::collections::BTreeMap;

use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
};
use s3s::{S3Error, S3ErrorCode, s3_error};

use super::store::{Store, no_key};

/// Names with values.
pub(super) type Tags = BTreeMap<String, String>;

/// Tags per object, and the characters of a name and of a value.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>
const MAX_TAGS: usize = 10;
const MAX_KEY_CHARS: usize = 128;
const MAX_VALUE_CHARS: usize = 256;

/// The tags of the header `x-amz-tagging`, which has the form of a URL's query.
pub(super) fn of_header(header: Option<&str>) -> Result<Tags, S3Error> {
    let pairs = form_urlencoded::parse(header.unwrap_or_default().as_bytes());
    collect(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())))
}

fn collect(pairs: impl Iterator<Item = (String, String)>) -> Result<Tags, S3Error> {
    let mut tags = Tags::new();
    for (key, value) in pairs {
        if key.is_empty() || key.chars().count() > MAX_KEY_CHARS {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if value.chars().count() > MAX_VALUE_CHARS {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if tags.insert(key, value).is_some() {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    if tags.len() > MAX_TAGS { Err(too_many()) } else { Ok(tags) }
}

/// An error that `s3s` has no name for.
fn too_many() -> S3Error {
    let code = S3ErrorCode::Custom("BadRequest".into());
    let mut error = S3Error::with_message(code, format!("Object tags cannot be greater than {MAX_TAGS}"));
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

/// How many there are, which is told only when there are any.
pub(super) fn count(tags: &Tags) -> Option<i32> {
    i32::try_from(tags.len()).ok().filter(|count| *count > 0)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html>
pub(super) async fn put(store: &Store, input: PutObjectTaggingInput) -> Result<PutObjectTaggingOutput, S3Error> {
    let pairs = input.tagging.tag_set.into_iter();
    let tags = collect(pairs.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())))?;
    set(store, input.bucket, input.key, tags).await?;
    Ok(PutObjectTaggingOutput::default())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjectTagging.html>
pub(super) async fn delete(
    store: &Store,
    input: DeleteObjectTaggingInput,
) -> Result<DeleteObjectTaggingOutput, S3Error> {
    set(store, input.bucket, input.key, Tags::new()).await?;
    Ok(DeleteObjectTaggingOutput::default())
}

async fn set(store: &Store, bucket: String, key: String, tags: Tags) -> Result<(), S3Error> {
    store.require_bucket(&bucket).await?;
    let found = store.index(move |index| index.set_tags(&bucket, &key, tags)).await?;
    if found { Ok(()) } else { Err(no_key()) }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html>
pub(super) async fn get(store: &Store, input: GetObjectTaggingInput) -> Result<GetObjectTaggingOutput, S3Error> {
    let object = store.object(&input.bucket, &input.key).await?;
    let tags = object.description.tags.into_iter();
    let tag_set = tags.map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect();
    Ok(GetObjectTaggingOutput { tag_set, version_id: None })
}
