//! What S3's answers mean: which of them name a state of the object, and what would mend the others.

use std::error::Error;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use penstock_contract::SinkError;

/// A call of S3 that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// S3 refused, failed or could not be reached.
    #[error("{answer}; {cure}")]
    Call {
        /// A stable code, `lower_snake_case`.
        reason: &'static str,
        /// What S3 said, in short.
        answer: String,
        /// What would mend it.
        cure: &'static str,
        /// The SDK's error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// There was no answer in time.
    #[error("there was no answer within {} s; see whether the endpoint can be reached", .limit.as_secs())]
    Timeout {
        /// The time limit of the call.
        limit: Duration,
    },
    /// The uploaded parts of an object are gone.
    #[error("the multipart upload is gone; a lifecycle rule may have aborted it. The range is read again")]
    UploadLost,
}

impl StoreError {
    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Call { reason, .. } => reason,
            Self::Timeout { .. } => "timeout",
            Self::UploadLost => UPLOAD_LOST,
        }
    }

    pub(crate) fn from_sdk<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
        let meaning = match &error {
            SdkError::TimeoutError(_) => TIMEOUT,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => TIMEOUT,
            SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => UNREACHABLE,
            SdkError::ConstructionFailure(_) => CREDENTIALS,
            _ => meaning(status, code.as_deref()),
        };
        let answer = match (status, &code) {
            (Some(status), Some(code)) => format!("S3 answered {status} {code}"),
            (Some(status), None) => format!("S3 answered {status}"),
            (None, _) => "S3 did not answer".to_owned(),
        };
        Self::Call { reason: meaning.reason, answer, cure: meaning.cure, source: Box::new(error) }
    }

    /// As the contract has it: doing nothing but waiting helps, once the cure has been applied.
    pub(crate) fn while_doing(self, doing: String) -> SinkError {
        SinkError::Service { reason: self.reason(), doing, source: Box::new(self) }
    }
}

pub(crate) const UPLOAD_LOST: &str = "upload_lost";

/// Somebody wrote the key between this call and another.
pub(crate) const CONFLICT: &str = "conflict";

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meaning {
    reason: &'static str,
    cure: &'static str,
}

const TIMEOUT: Meaning =
    Meaning { reason: "timeout", cure: "see whether the endpoint can be reached and whether S3 is slow" };
const UNREACHABLE: Meaning = Meaning {
    reason: "unreachable",
    cure: "see whether the endpoint, DNS and the network are in order, and whether credentials can be found",
};
const CREDENTIALS: Meaning = Meaning {
    reason: "credentials",
    cure: "give the pod's service account a role, or the process other credentials: these are not accepted",
};

/// By the error's code (Amazon S3 API Reference, "Error responses"), else by the status.
fn meaning(status: Option<u16>, code: Option<&str>) -> Meaning {
    let of = |reason, cure| Meaning { reason, cure };
    match (code.unwrap_or_default(), status.unwrap_or_default()) {
        ("SlowDown" | "ServiceUnavailable" | "RequestLimitExceeded" | "TooManyRequests", _) | (_, 429 | 503) => of(
            "throttled",
            "nothing to do if it passes; if it stays, spread the keys over more prefixes or rotate later",
        ),
        ("NoSuchBucket", _) => of("no_such_bucket", "create the bucket, or correct `s3.bucket` in the Pipeline"),
        ("NoSuchUpload" | "InvalidPart" | "InvalidPartOrder", _) => of(UPLOAD_LOST, "the range is read again"),
        ("ConditionalRequestConflict" | "OperationAborted", _) | (_, 409) => {
            of(CONFLICT, "nothing to do: another writer is at the same key, and one of the two will win")
        }
        (
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired",
            _,
        ) => CREDENTIALS,
        ("RequestTimeTooSkewed", _) => of("clock_skew", "set this machine's clock right"),
        ("PermanentRedirect" | "AuthorizationHeaderMalformed", _) | (_, 301 | 307) => {
            of("wrong_region", "the bucket is in another region: correct `aws.region` in the Pipeline")
        }
        ("AccessDenied" | "AllAccessDisabled" | "KMS.AccessDeniedException", _) | (_, 401 | 403) => of(
            "access_denied",
            "allow s3:PutObject, s3:GetObject, s3:ListBucket and s3:AbortMultipartUpload on the bucket and the prefix \
             (`penstock iam-policy` prints it), and the bucket's KMS key if it has one",
        ),
        ("RequestTimeout", _) => TIMEOUT,
        (_, 500..=599) => of("service_error", "nothing to do if it passes; if it stays, see AWS's health page"),
        _ => of("refused", "see S3's own words below"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_a_stable_reason() {
        for (status, code, reason) in [
            (503, Some("SlowDown"), "throttled"),
            (503, None, "throttled"),
            (500, Some("InternalError"), "service_error"),
            (502, None, "service_error"),
            (403, Some("AccessDenied"), "access_denied"),
            (403, None, "access_denied"),
            (403, Some("SignatureDoesNotMatch"), "credentials"),
            (400, Some("ExpiredToken"), "credentials"),
            (403, Some("RequestTimeTooSkewed"), "clock_skew"),
            (404, Some("NoSuchBucket"), "no_such_bucket"),
            (404, Some("NoSuchUpload"), "upload_lost"),
            (409, Some("ConditionalRequestConflict"), "conflict"),
            (301, Some("PermanentRedirect"), "wrong_region"),
            (400, Some("EntityTooLarge"), "refused"),
        ] {
            assert_eq!(meaning(Some(status), code).reason, reason, "{status} {code:?}");
        }
    }
}
