//! Objects: measured and forgotten. There never is one already.

use hyper::{Method, StatusCode, Uri};

use super::{Answer, Counts};

const UPLOAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>\
                      <UploadId>upload</UploadId></InitiateMultipartUploadResult>";
const COMPLETE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>\
                        <ETag>\"0\"</ETag></CompleteMultipartUploadResult>";
const NO_KEY: &str =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchKey</Code><Message>not there</Message></Error>";

/// Answers.
pub(crate) fn answer(counts: &Counts, method: &Method, uri: &Uri, body: &[u8]) -> Answer {
    let query = uri.query().unwrap_or_default();
    let (operation, objects, answer) = match *method {
        Method::PUT if query.contains("partNumber=") => ("UploadPart", 0, Answer::xml(StatusCode::OK, "")),
        Method::PUT => ("PutObject", 1, Answer::xml(StatusCode::OK, "")),
        Method::POST if query.contains("uploads") => ("CreateMultipartUpload", 0, Answer::xml(StatusCode::OK, UPLOAD)),
        Method::POST => ("CompleteMultipartUpload", 1, Answer::xml(StatusCode::OK, COMPLETE)),
        Method::DELETE => ("AbortMultipartUpload", 0, Answer::xml(StatusCode::NO_CONTENT, "")),
        Method::HEAD => ("HeadObject", 0, Answer::xml(StatusCode::NOT_FOUND, "")),
        _ => ("GetObject", 0, Answer::xml(StatusCode::NOT_FOUND, NO_KEY)),
    };
    counts.add(operation, objects, body.len());
    answer
}
