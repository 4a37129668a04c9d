//! The operations that the engine has, as `s3s` calls them. What is not here is answered with `NotImplemented`.

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CopyObjectInput, CopyObjectOutput, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteBucketInput, DeleteBucketOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, DeleteObjectsInput, DeleteObjectsOutput,
    GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput,
    ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput, PutObjectInput, PutObjectOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result};

use super::store::Store;
use super::{buckets, multipart, objects, tagging};

/// The store behind the protocol.
pub(super) struct Operations {
    store: Store,
}

impl Operations {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }
}

macro_rules! operations {
    ($($name:ident: $module:ident :: $function:ident($input:ident) -> $output:ident $(, $whole:ident)?;)*) => {
        #[async_trait::async_trait]
        impl S3 for Operations {
            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                let output = Box::pin($module::$function(&self.store, operations!(@input request $($whole)?))).await?;
                Ok(S3Response::new(output))
            })*
        }
    };
    (@input $request:ident) => { $request.input };
    (@input $request:ident whole) => { $request };
}

operations! {
    create_bucket: buckets::create(CreateBucketInput) -> CreateBucketOutput;
    delete_bucket: buckets::delete(DeleteBucketInput) -> DeleteBucketOutput;
    head_bucket: buckets::head(HeadBucketInput) -> HeadBucketOutput;
    get_bucket_location: buckets::location(GetBucketLocationInput) -> GetBucketLocationOutput;
    list_buckets: buckets::list(ListBucketsInput) -> ListBucketsOutput;
    list_objects: buckets::list_v1(ListObjectsInput) -> ListObjectsOutput;
    list_objects_v2: buckets::list_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    put_object: objects::put(PutObjectInput) -> PutObjectOutput, whole;
    get_object: objects::get(GetObjectInput) -> GetObjectOutput;
    head_object: objects::head(HeadObjectInput) -> HeadObjectOutput;
    copy_object: objects::copy(CopyObjectInput) -> CopyObjectOutput, whole;
    delete_object: objects::delete(DeleteObjectInput) -> DeleteObjectOutput;
    delete_objects: objects::delete_many(DeleteObjectsInput) -> DeleteObjectsOutput;
    create_multipart_upload: multipart::create(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
    upload_part: multipart::put_part(UploadPartInput) -> UploadPartOutput, whole;
    upload_part_copy: multipart::copy_part(UploadPartCopyInput) -> UploadPartCopyOutput;
    complete_multipart_upload: multipart::complete(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput;
    abort_multipart_upload: multipart::abort(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
    list_parts: multipart::list_parts(ListPartsInput) -> ListPartsOutput;
    list_multipart_uploads: multipart::list_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput;
    put_object_tagging: tagging::put(PutObjectTaggingInput) -> PutObjectTaggingOutput;
    get_object_tagging: tagging::get(GetObjectTaggingInput) -> GetObjectTaggingOutput;
    delete_object_tagging: tagging::delete(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput;
}
