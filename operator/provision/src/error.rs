//! Why a resource could not be made ready.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

/// What kind of thing a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A Kinesis data stream.
    Stream,
    /// A DynamoDB table.
    Table,
    /// An S3 bucket.
    Bucket,
    /// What a sink that reads by enhanced fan-out is registered as with its stream.
    Consumer,
}

impl Kind {
    /// For logs and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Table => "table",
            Self::Bucket => "bucket",
            Self::Consumer => "consumer",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a resource could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// It is there with another shape, and may not or cannot be changed.
    #[error("the {kind} {name:?} differs from the Pipeline: {difference}. {cure}")]
    Mismatch {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: String,
        /// What was found and what the Pipeline says.
        difference: String,
        /// What would mend it.
        cure: String,
    },
    /// It belongs to another Pipeline and cannot be shared.
    #[error(
        "the {kind} {name:?} belongs to the Pipeline {owner}, and leases cannot be shared. Delete the table if \
             that Pipeline is gone"
    )]
    OwnedByAnother {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: String,
        /// Namespace and name of the other Pipeline.
        owner: String,
    },
    /// It is not tagged as this Pipeline's, and may not be touched.
    #[error(
        "the {kind} {name:?} is there already and belongs to {whose}. Write `existing: Use` to use it as it is, \
             `existing: Adopt` to make it this Pipeline's, or another name"
    )]
    Foreign {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: String,
        /// Whose it is.
        whose: String,
    },
    /// It is tagged as this Pipeline's, by an operator that had no name for its cluster.
    #[error(
        "the {kind} {name:?} is tagged as this Pipeline's, but not with a cluster, and the operator was told since that its \
             cluster is {cluster:?}. If it is not another cluster's, tag it: {cure}. Or take the name (`aws.clusterName`, \
             --cluster) away again"
    )]
    OfUnnamedCluster {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: String,
        /// The name of this cluster.
        cluster: String,
        /// The command that tags it.
        cure: String,
    },
    /// It is missing and may not be created.
    #[error(
        "the {kind} {name:?} does not exist, and Penstock creates none in AWS. Create it in the Pipeline's region, \
             or correct its name in the Pipeline"
    )]
    Missing {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// It did not become ready in time.
    #[error("the {kind} {name:?} was not ready after {} s: {state}. Try again; if it stays, see AWS's console", .after.as_secs())]
    NotReady {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: String,
        /// What it was waiting for.
        state: String,
        /// How long it waited.
        after: Duration,
        /// The last failure of a call, where there was one.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// AWS refused a call.
    #[error("{doing} was refused: {answer}. {cure}")]
    Refused {
        /// What was being done to what.
        doing: String,
        /// AWS's code and message.
        answer: String,
        /// What would mend it.
        cure: &'static str,
        /// Whether it is the credentials or their rights that lack.
        denied: bool,
        /// The SDK's error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ProvisionError {
    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Mismatch { .. } => "resource_mismatch",
            Self::OwnedByAnother { .. } => "resource_owned_by_another",
            Self::Foreign { .. } | Self::OfUnnamedCluster { .. } => "resource_is_foreign",
            Self::Missing { .. } => "resource_missing",
            Self::NotReady { .. } => "resource_not_ready",
            Self::Refused { denied: true, .. } => "access_denied",
            Self::Refused { .. } => "call_refused",
        }
    }
}

/// What became of a call.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Waiting helps: throttling, a failing or unreachable service.
    Passing(Box<dyn Error + Send + Sync>),
    /// As `Passing`: it is there already, or is being changed; a race that was lost, or an answer that was.
    InUse(Box<dyn Error + Send + Sync>),
    /// As `Passing`, but for hours perhaps: AWS lets it happen so often in a day, or so many at one time.
    Limited(Box<dyn Error + Send + Sync>),
    /// What was asked for is not there.
    NotFound,
    /// Waiting does not help.
    Lasting(ProvisionError),
}

impl CallError {
    pub(crate) fn from_sdk<E>(doing: String, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let (code, message) = match error.as_service_error() {
            Some(said) => (said.code().map(str::to_owned), said.message().unwrap_or_default().to_owned()),
            None => (None, String::new()),
        };
        match verdict(status, code.as_deref()) {
            Verdict::Passing => Self::Passing(Box::new(error)),
            Verdict::InUse => Self::InUse(Box::new(error)),
            Verdict::Limited => Self::Limited(Box::new(error)),
            Verdict::NotFound => Self::NotFound,
            verdict @ (Verdict::Lasting(cure) | Verdict::Denied(cure)) => {
                let denied = matches!(verdict, Verdict::Denied(_));
                let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
                let answer = format!("{} {message}", code.unwrap_or(status)).trim_end().to_owned();
                Self::Lasting(ProvisionError::Refused { doing, answer, cure, denied, source: Box::new(error) })
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passing,
    InUse,
    Limited,
    NotFound,
    Lasting(&'static str),
    /// As `Lasting`: the credentials are not valid, or have not the right.
    Denied(&'static str),
}

/// By the error's code ("Common Errors" in the API references of Kinesis, DynamoDB and S3), else by the status.
fn verdict(status: Option<u16>, code: Option<&str>) -> Verdict {
    match (code.unwrap_or_default(), status.unwrap_or_default()) {
        ("ResourceInUseException" | "BucketAlreadyOwnedByYou", _) => Verdict::InUse,
        ("LimitExceededException", _) => Verdict::Limited,
        (
            "ThrottlingException"
            | "SlowDown"
            | "OperationAborted"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "KMSThrottlingException"
            // Backups are being switched on for a table that was just made.
            | "ContinuousBackupsUnavailableException",
            _,
        ) => Verdict::Passing,
        ("ResourceNotFoundException" | "TableNotFoundException" | "NoSuchBucket" | "NotFound", _) => Verdict::NotFound,
        (
            "KMSAccessDeniedException" | "KMSDisabledException" | "KMSInvalidStateException" | "KMSNotFoundException"
            | "KMSOptInRequired",
            _,
        ) => Verdict::Lasting(
            "Name a key that is there, is enabled, and that the role may use (kms:GenerateDataKey, kms:Decrypt), in the \
             buffer's `encryption.keyId`",
        ),
        ("AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation", _) => Verdict::Denied(
            "Allow the call to the role that Penstock runs with: `penstock iam-policy` prints the policy",
        ),
        (
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "ExpiredTokenException"
            | "InvalidSignatureException"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken",
            _,
        ) => Verdict::Denied("Give Penstock valid credentials for this account and region"),
        ("BucketAlreadyExists", _) => {
            Verdict::Lasting("Another account has a bucket of this name: choose another name")
        }
        (_, 0 | 429 | 500..=599) => Verdict::Passing,
        (_, 404) => Verdict::NotFound,
        (_, 301 | 307) => Verdict::Lasting("The bucket is in another region: correct `aws.region` in the Pipeline"),
        (_, 403) => Verdict::Denied("Allow the call to the role that Penstock runs with, or see whose the resource is"),
        _ => Verdict::Lasting("Correct the Pipeline as AWS's message says"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_waited_for_and_what_lasts_is_told() {
        assert_eq!(verdict(Some(400), Some("LimitExceededException")), Verdict::Limited);
        assert_eq!(verdict(Some(400), Some("ResourceInUseException")), Verdict::InUse);
        assert_eq!(verdict(Some(400), Some("ThrottlingException")), Verdict::Passing);
        assert_eq!(verdict(Some(503), None), Verdict::Passing);
        assert_eq!(verdict(None, None), Verdict::Passing);
        assert_eq!(verdict(Some(400), Some("ResourceNotFoundException")), Verdict::NotFound);
        assert_eq!(verdict(Some(404), None), Verdict::NotFound);
        let lasting = [(400, "ValidationException"), (409, "BucketAlreadyExists"), (400, "KMSDisabledException")];
        for (status, code) in lasting {
            assert!(matches!(verdict(Some(status), Some(code)), Verdict::Lasting(_)), "{code}");
        }
        for code in ["AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException"] {
            assert!(matches!(verdict(Some(400), Some(code)), Verdict::Denied(_)), "{code}");
        }
    }
}
