//! Conditional requests. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html>

use std::time::{Duration, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Error, s3_error};

use super::index::{Condition, Object};

/// The conditions of a read.
pub(super) struct ReadConditions<'a> {
    pub(super) if_match: Option<&'a ETagCondition>,
    pub(super) if_none_match: Option<&'a ETagCondition>,
    pub(super) if_modified_since: Option<&'a Timestamp>,
    pub(super) if_unmodified_since: Option<&'a Timestamp>,
}

fn matches(condition: &ETagCondition, object: &Object) -> bool {
    condition.as_etag().is_none_or(|etag| etag.value() == object.etag)
}

/// HTTP dates have seconds only.
fn modified_after(object: &Object, time: &Timestamp) -> bool {
    Timestamp::from(UNIX_EPOCH + Duration::from_secs(object.modified_at / 1000)) > *time
}

/// Whether a read may go on. An ETag condition that is given decides over the time condition beside it.
pub(super) fn check_read(conditions: &ReadConditions<'_>, object: &Object) -> Result<(), S3Error> {
    let refused = match (conditions.if_match, conditions.if_unmodified_since) {
        (Some(etag), _) => !matches(etag, object),
        (None, Some(time)) => modified_after(object, time),
        (None, None) => false,
    };
    if refused {
        return Err(precondition_failed());
    }
    let unchanged = match (conditions.if_none_match, conditions.if_modified_since) {
        (Some(etag), _) => matches(etag, object),
        (None, Some(time)) => !modified_after(object, time),
        (None, None) => false,
    };
    if unchanged { Err(s3_error!(NotModified)) } else { Ok(()) }
}

/// The condition of a write.
pub(super) fn of_write(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> Result<Condition, S3Error> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::None),
        (None, Some(condition)) if condition.is_any() => Ok(Condition::Absent),
        (Some(condition), None) => Ok(Condition::Match(condition.as_etag().map(|etag| etag.value().to_owned()))),
        // The service knows no other If-None-Match on writes, and not both at once.
        _ => Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented: use \
             either If-None-Match: * or If-Match."
        )),
    }
}

/// The condition of a copy, which `s3s` does not read.
pub(super) fn of_headers(headers: &HeaderMap) -> Result<Condition, S3Error> {
    let condition = |name| {
        let text = headers.get(name).map(HeaderValue::to_str).transpose();
        let text = text.map_err(|_| s3_error!(InvalidArgument, "A condition cannot be read."))?;
        text.map(|text| text.parse().map_err(|_| s3_error!(InvalidArgument, "A condition is no ETag."))).transpose()
    };
    let (if_match, if_none_match) = (condition(IF_MATCH)?, condition(IF_NONE_MATCH)?);
    of_write(if_match.as_ref(), if_none_match.as_ref())
}

/// 412.
pub(super) fn precondition_failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}
