//! The calls of S3: one function each, with a time limit, and a bound on how many bodies are sent at one time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::failure::StoreError;
use crate::stamp::Found;

/// How long one call may take with all of the SDK's attempts. A backstop: the client has limits of its own.
const CALL_LIMIT: Duration = Duration::from_secs(90);
/// Bodies that are sent at one time by all shards of the sink.
const BODIES_IN_FLIGHT: usize = 8;
/// Only where nothing is: S3 decides it atomically (Amazon S3 User Guide, "How to prevent object overwrites").
const NOTHING_THERE: &str = "*";

/// A bucket, as the sink uses it.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    client: Client,
    bucket: Arc<str>,
    bodies: Arc<Semaphore>,
}

/// What became of a write that must not overwrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The object is there now.
    Now,
    /// Something was there before, and has not been touched.
    Before,
}

impl Store {
    pub(crate) fn new(client: Client, bucket: &str) -> Self {
        Self { client, bucket: bucket.into(), bodies: Arc::new(Semaphore::new(BODIES_IN_FLIGHT)) }
    }

    /// The same limits and client with another bucket.
    pub(crate) fn with_bucket(&self, bucket: &str) -> Self {
        Self { bucket: bucket.into(), ..self.clone() }
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// How an object is called in messages.
    pub(crate) fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>, up to 5 GiB.
    pub(crate) async fn put(
        &self,
        key: &str,
        body: Bytes,
        media_type: &str,
        metadata: HashMap<String, String>,
    ) -> Result<Written, StoreError> {
        let _permit = self.permit().await?;
        let call = self
            .client
            .put_object()
            .bucket(&*self.bucket)
            .key(key)
            .if_none_match(NOTHING_THERE)
            .content_type(media_type)
            .set_metadata(Some(metadata))
            .body(ByteStream::from(body))
            .send();
        written(limited(call).await)
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
    pub(crate) async fn head(&self, key: &str) -> Result<Option<Found>, StoreError> {
        let call = self.client.head_object().bucket(&*self.bucket).key(key).send();
        match limited(call).await? {
            Ok(answer) => Ok(Some(Found {
                size: answer.content_length().and_then(|bytes| u64::try_from(bytes).ok()),
                metadata: answer.metadata.unwrap_or_default(),
            })),
            // A HEAD has no body to say whether the key or the bucket is missing; the write would have said so.
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(StoreError::from_sdk(error)),
        }
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>
    pub(crate) async fn begin_upload(
        &self,
        key: &str,
        media_type: &str,
        metadata: HashMap<String, String>,
    ) -> Result<String, StoreError> {
        let call = self
            .client
            .create_multipart_upload()
            .bucket(&*self.bucket)
            .key(key)
            .content_type(media_type)
            .set_metadata(Some(metadata))
            .send();
        let answer = limited(call).await?.map_err(StoreError::from_sdk)?;
        answer.upload_id.ok_or(StoreError::UploadLost)
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html>: 5 MiB to 5 GiB, the last may be smaller.
    pub(crate) async fn upload_part(
        &self,
        key: &str,
        upload_id: &str,
        number: i32,
        body: Bytes,
    ) -> Result<CompletedPart, StoreError> {
        let _permit = self.permit().await?;
        let call = self
            .client
            .upload_part()
            .bucket(&*self.bucket)
            .key(key)
            .upload_id(upload_id)
            .part_number(number)
            .body(ByteStream::from(body))
            .send();
        let answer = limited(call).await?.map_err(StoreError::from_sdk)?;
        Ok(completed_part(number, answer))
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>
    pub(crate) async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: Vec<CompletedPart>,
    ) -> Result<Written, StoreError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let call = self
            .client
            .complete_multipart_upload()
            .bucket(&*self.bucket)
            .key(key)
            .upload_id(upload_id)
            .if_none_match(NOTHING_THERE)
            .multipart_upload(parts)
            .send();
        written(limited(call).await)
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html>
    pub(crate) async fn abort_upload(&self, key: &str, upload_id: &str) -> Result<(), StoreError> {
        let call = self.client.abort_multipart_upload().bucket(&*self.bucket).key(key).upload_id(upload_id).send();
        limited(call).await?.map(drop).map_err(StoreError::from_sdk)
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        // The semaphore is never closed; if it were, no body could be sent.
        self.bodies.acquire().await.map_err(|_| StoreError::Timeout { limit: Duration::ZERO })
    }
}

/// The call with a time limit. Boxed at once, because the SDK's futures are large.
fn limited<F: Future>(call: F) -> impl Future<Output = Result<F::Output, StoreError>> {
    let call = Box::pin(call);
    async move { tokio::time::timeout(CALL_LIMIT, call).await.map_err(|_| StoreError::Timeout { limit: CALL_LIMIT }) }
}

fn written<T, E>(answer: Result<Result<T, SdkError<E, HttpResponse>>, StoreError>) -> Result<Written, StoreError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer? {
        Ok(_) => Ok(Written::Now),
        Err(error) if status(&error) == Some(412) => Ok(Written::Before),
        Err(error) => Err(StoreError::from_sdk(error)),
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// What S3 said of a part, to be said again when the upload is completed: the checksums that the SDK had it verify.
fn completed_part(number: i32, answer: UploadPartOutput) -> CompletedPart {
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(answer.e_tag)
        .set_checksum_crc32(answer.checksum_crc32)
        .set_checksum_crc32_c(answer.checksum_crc32_c)
        .set_checksum_crc64_nvme(answer.checksum_crc64_nvme)
        .set_checksum_sha1(answer.checksum_sha1)
        .set_checksum_sha256(answer.checksum_sha256)
        .build()
}
