//! What a request is told about its rows.

use std::fmt::Write;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use penstock_contract::Rejection;

use crate::check::RefusedRow;
use crate::problem::{Problem, ProblemKind};
use crate::put::{Outcome, Trouble};

/// RFC 7240.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

impl Trouble {
    /// The code of a row that the stream did not take.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Throttled => "stream_throttled",
            Self::Unavailable => "stream_unavailable",
            Self::Invalid => "stream_refused",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Throttled => "the stream takes no more at this rate; send the row again",
            Self::Unavailable => "the stream did not acknowledge the row in time; send it again",
            Self::Invalid => "the stream does not take the row, for example because its records may not be so large",
        }
    }

    fn may_succeed_later(self) -> bool {
        self != Self::Invalid
    }
}

/// How many rows came to which end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) throttled: u64,
    pub(crate) unavailable: u64,
    pub(crate) invalid: u64,
    pub(crate) refused: u64,
}

impl Counts {
    pub(crate) fn of(refused: &[RefusedRow], outcomes: &[Outcome]) -> Self {
        let mut counts = Self { refused: refused.len() as u64, ..Self::default() };
        for outcome in outcomes {
            *match outcome {
                Outcome::Stored { .. } => &mut counts.accepted,
                Outcome::Failed(Trouble::Throttled) => &mut counts.throttled,
                Outcome::Failed(Trouble::Unavailable) => &mut counts.unavailable,
                Outcome::Failed(Trouble::Invalid) => &mut counts.invalid,
            } += 1;
        }
        counts
    }

    fn not_accepted(&self) -> u64 {
        self.refused + self.throttled + self.unavailable + self.invalid
    }

    /// All, some or none; none of no rows is all.
    fn status(&self) -> StatusCode {
        match (self.accepted, self.not_accepted()) {
            (_, 0) => StatusCode::OK,
            (0, _) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::MULTI_STATUS,
        }
    }

    /// When the stream took nothing at all, sending the whole request again is the cure.
    fn stream_took_nothing(&self) -> Option<Problem> {
        let kind = match self {
            Self { accepted: 0, throttled: 1.., .. } => ProblemKind::Throttled,
            Self { accepted: 0, unavailable: 1.., .. } => ProblemKind::StreamUnavailable,
            _ => return None,
        };
        let detail = "the stream did not acknowledge any of the rows in time; send the request again after the time in \
                      Retry-After";
        Some(Problem::new(kind, detail))
    }
}

/// Writes the answer. `outcomes` are those of the rows that are not refused, in order.
pub(crate) fn answer(
    counts: Counts,
    refused: &[RefusedRow],
    outcomes: &[Outcome],
    minimal: bool,
) -> Result<Response<Full<Bytes>>, Problem> {
    if let Some(problem) = counts.stream_took_nothing() {
        return Err(problem);
    }
    let mut body = String::with_capacity(if minimal { 128 } else { 64 + 140 * outcomes.len() });
    // Writing into a string cannot fail.
    let _ = write!(body, "{{\"accepted\":{},\"refused\":{},\"rows\":[", counts.accepted, counts.not_accepted());
    let mut rows = Rows { body, minimal, first: true };
    let (mut refused, mut outcomes) = (refused.iter().peekable(), outcomes.iter());
    for index in 0_u32.. {
        if let Some(row) = refused.next_if(|row| row.index == index) {
            rows.refused(index, &row.rejection, false);
        } else {
            match outcomes.next() {
                Some(Outcome::Stored { shard, sequence, sub_sequence }) => {
                    rows.accepted(shard.as_str(), sequence.as_str(), *sub_sequence);
                }
                Some(Outcome::Failed(trouble)) => {
                    let rejection = Rejection::new(trouble.code(), trouble.reason());
                    rows.refused(index, &rejection, trouble.may_succeed_later());
                }
                None => break,
            }
        }
    }
    rows.body.push_str("]}");
    let mut response = Response::new(Full::new(rows.body.into()));
    *response.status_mut() = counts.status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if minimal {
        response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("return=minimal"));
    }
    Ok(response)
}

struct Rows {
    body: String,
    minimal: bool,
    first: bool,
}

impl Rows {
    fn accepted(&mut self, shard: &str, sequence: &str, sub_sequence: u32) {
        if self.minimal {
            return;
        }
        self.separate();
        // A shard's name has letters, digits and hyphens, and a sequence number digits: nothing to escape.
        let _ = write!(
            self.body,
            r#"{{"status":"accepted","shard":"{shard}","sequence":"{sequence}","subSequence":{sub_sequence}}}"#
        );
    }

    fn refused(&mut self, index: u32, rejection: &Rejection, retry: bool) {
        self.separate();
        self.body.push_str("{\"status\":\"refused\",");
        if self.minimal {
            let _ = write!(self.body, "\"index\":{index},");
        }
        let _ = write!(self.body, "\"code\":\"{}\"", rejection.reason);
        if let Some(field) = &rejection.field {
            self.text("field", field);
        }
        self.text("reason", &rejection.message);
        if retry {
            self.body.push_str(",\"retry\":true");
        }
        self.body.push('}');
    }

    fn text(&mut self, name: &str, value: &str) {
        // A text is always JSON.
        let value = serde_json::to_string(value).unwrap_or_default();
        let _ = write!(self.body, ",\"{name}\":{value}");
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.body.push(',');
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http_body_util::BodyExt;
    use penstock_contract::{Sequence, ShardId};
    use serde_json::{Value, json};

    use super::*;

    fn stored(sub_sequence: u32) -> Outcome {
        Outcome::Stored { shard: ShardId::new("shard-1"), sequence: Sequence::parse("49").unwrap(), sub_sequence }
    }

    fn refused(index: u32) -> RefusedRow {
        RefusedRow { index, rejection: Rejection::new("schema_type", "expected \"a\"").at("Qty") }
    }

    async fn answered(refused: &[RefusedRow], outcomes: &[Outcome], minimal: bool) -> (u16, Value) {
        let counts = Counts::of(refused, outcomes);
        let response = answer(counts, refused, outcomes, minimal).unwrap_or_else(Problem::into_response);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn rows_stand_in_the_order_of_the_request() {
        let (status, body) =
            answered(&[refused(0), refused(2)], &[stored(0), Outcome::Failed(Trouble::Throttled)], false).await;
        assert_eq!(status, 207);
        let bad = json!({"status": "refused", "code": "schema_type", "field": "Qty", "reason": "expected \"a\""});
        let throttled = json!({"status": "refused", "code": "stream_throttled", "reason": Trouble::Throttled.reason(), "retry": true});
        let good = json!({"status": "accepted", "shard": "shard-1", "sequence": "49", "subSequence": 0});
        assert_eq!(body, json!({"accepted": 1, "refused": 3, "rows": [bad, good, bad, throttled]}));
    }

    #[tokio::test]
    async fn the_short_answer_holds_refused_rows_with_their_index() {
        let (status, body) = answered(&[refused(1)], &[stored(0), stored(1)], true).await;
        let bad =
            json!({"status": "refused", "index": 1, "code": "schema_type", "field": "Qty", "reason": "expected \"a\""});
        assert_eq!((status, body), (207, json!({"accepted": 2, "refused": 1, "rows": [bad]})));
    }

    #[tokio::test]
    async fn all_some_and_none_are_told_apart_by_status() {
        assert_eq!(answered(&[], &[stored(0)], false).await.0, 200);
        assert_eq!(answered(&[], &[], false).await.0, 200);
        assert_eq!(answered(&[refused(0)], &[stored(0)], false).await.0, 207);
        assert_eq!(answered(&[refused(0)], &[], false).await.0, 422);
        assert_eq!(answered(&[], &[Outcome::Failed(Trouble::Invalid)], false).await.0, 422);
        let (throttled, unavailable) = (Outcome::Failed(Trouble::Throttled), Outcome::Failed(Trouble::Unavailable));
        assert_eq!(answered(&[refused(0)], &[unavailable.clone(), throttled], false).await.0, 429);
        assert_eq!(answered(&[], std::slice::from_ref(&unavailable), false).await.0, 503);
        assert_eq!(answered(&[], &[unavailable, stored(0)], false).await.0, 207);
    }
}
