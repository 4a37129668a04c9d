//! Which service a request is for, as AWS tells them apart: by the target header of the JSON services, else by the
//! service in the signature's scope, else S3.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The service that a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Service {
    /// A Kinesis operation.
    Kinesis(String),
    /// A DynamoDB operation, or one of DynamoDB Streams.
    DynamoDb(String),
    /// Everything without a target.
    S3,
    /// A service that is not here.
    Unknown(String),
}

/// Decides from the headers alone.
pub(crate) fn route(headers: &HeaderMap) -> Service {
    if let Some(target) = headers.get("x-amz-target").and_then(|value| value.to_str().ok()) {
        return match target.split_once('.') {
            Some(("Kinesis_20131202", operation)) => Service::Kinesis(operation.to_owned()),
            Some(("DynamoDB_20120810" | "DynamoDBStreams_20120810", operation)) => {
                Service::DynamoDb(operation.to_owned())
            }
            _ => Service::Unknown(target.to_owned()),
        };
    }
    match signed_service(headers) {
        Some("s3" | "s3express") | None => Service::S3,
        // These always come with a target; without one they are answered by the service that they were meant for.
        Some("kinesis") => Service::Kinesis(String::new()),
        Some("dynamodb") => Service::DynamoDb(String::new()),
        Some(other) => Service::Unknown(other.to_owned()),
    }
}

/// The service in `Credential=<key>/<date>/<region>/<service>/aws4_request`.
fn signed_service(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let scope = credential.split([',', ' ']).next()?;
    // The key may itself contain slashes, so the scope is read from its end.
    let mut parts = scope.rsplit('/');
    (parts.next() == Some("aws4_request")).then(|| parts.next())?
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_target_decides() {
        let kinesis = headers(&[("x-amz-target", "Kinesis_20131202.PutRecords")]);
        assert_eq!(route(&kinesis), Service::Kinesis("PutRecords".into()));
        let dynamodb = headers(&[("x-amz-target", "DynamoDB_20120810.PutItem")]);
        assert_eq!(route(&dynamodb), Service::DynamoDb("PutItem".into()));
        let streams = headers(&[("x-amz-target", "DynamoDBStreams_20120810.ListStreams")]);
        assert_eq!(route(&streams), Service::DynamoDb("ListStreams".into()));
        let other = headers(&[("x-amz-target", "AmazonSQS.SendMessage")]);
        assert_eq!(route(&other), Service::Unknown("AmazonSQS.SendMessage".into()));
    }

    #[test]
    fn without_a_target_the_signature_decides_and_then_it_is_s3() {
        let signed = |service: &str| {
            let value = format!(
                "AWS4-HMAC-SHA256 Credential=test/20300101/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
            );
            headers(&[("authorization", value.as_str())])
        };
        assert_eq!(route(&signed("s3")), Service::S3);
        assert_eq!(route(&signed("kinesis")), Service::Kinesis(String::new()));
        assert_eq!(route(&signed("sqs")), Service::Unknown("sqs".into()));
        assert_eq!(route(&HeaderMap::new()), Service::S3);
    }
}
