//! What the endpoint's answer says about each row of a request. Pure: from bytes to fates.

use serde::Deserialize;

/// The body of a 200, 207 or 422.
#[derive(Debug, Deserialize)]
struct Answer {
    accepted: u64,
    refused: u64,
    #[serde(default)]
    rows: Vec<RowAnswer>,
}

#[derive(Debug, Deserialize)]
struct RowAnswer {
    /// Which row it is about, in an answer that holds only the refused ones.
    index: Option<usize>,
    status: Status,
    #[serde(default)]
    code: String,
    field: Option<String>,
    #[serde(default)]
    reason: String,
    /// The row may be taken when it comes again.
    #[serde(default)]
    retry: bool,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Accepted,
    Refused,
}

/// Codes of rows and requests that certainly were not taken. With any other one, the stream may have taken them
/// without saying so in time.
const NOT_TAKEN: [&str; 4] = ["stream_throttled", "queue_full", "overloaded", "too_many_connections"];

/// What became of the rows of a request. Rows are numbered as in the request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fates {
    pub(crate) accepted: Vec<usize>,
    pub(crate) refused: Vec<RefusedRow>,
    /// Rows to send again, in their order, and why.
    pub(crate) retry: Vec<usize>,
    pub(crate) retry_reason: Option<String>,
    /// How many of those the stream may have taken all the same, without saying so in time.
    pub(crate) retry_doubtful: u64,
}

impl Fates {
    /// The same for rows of a batch, when the request held those `rows` of it: an answer counts from 0 in each
    /// request, and a request may hold only a part of a batch.
    pub(crate) fn of(self, rows: &[usize]) -> Self {
        let in_batch = |row: usize| rows[row];
        let refused = self.refused.into_iter().map(|refused| RefusedRow { row: in_batch(refused.row), ..refused });
        Self {
            accepted: self.accepted.into_iter().map(in_batch).collect(),
            refused: refused.collect(),
            retry: self.retry.into_iter().map(in_batch).collect(),
            ..self
        }
    }
}

/// A row that the endpoint will never take.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RefusedRow {
    pub(crate) row: usize,
    pub(crate) code: String,
    pub(crate) field: Option<String>,
    pub(crate) reason: String,
}

/// Reads the answer to a request of `sent` rows. The error says what makes no sense about it.
pub(crate) fn read_answer(body: &[u8], sent: usize) -> Result<Fates, String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| format!("it is no answer about rows: {error}"))?;
    if answer.accepted + answer.refused != sent as u64 {
        return Err(format!(
            "it speaks of {} accepted and {} refused rows, {sent} were sent",
            answer.accepted, answer.refused
        ));
    }
    let complete = answer.rows.iter().all(|row| row.index.is_none());
    if complete && answer.rows.len() != sent && !(answer.rows.is_empty() && answer.refused == 0) {
        return Err(format!("it lists {} rows without their index, {sent} were sent", answer.rows.len()));
    }
    let mut settled = vec![false; sent];
    let mut fates = Fates::default();
    let mut not_accepted = 0;
    for (place, row) in answer.rows.into_iter().enumerate() {
        let index = row.index.unwrap_or(place);
        match settled.get_mut(index) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(format!("it speaks of row {index} twice, or of one that was not sent")),
        }
        match row.status {
            Status::Accepted => fates.accepted.push(index),
            Status::Refused => {
                not_accepted += 1;
                if row.retry {
                    fates.retry_doubtful += u64::from(!NOT_TAKEN.contains(&row.code.as_str()));
                    fates.retry_reason.get_or_insert(row.reason);
                    fates.retry.push(index);
                } else {
                    fates.refused.push(RefusedRow { row: index, code: row.code, field: row.field, reason: row.reason });
                }
            }
        }
    }
    if not_accepted != answer.refused {
        return Err(format!("it counts {} refused rows and lists {not_accepted}", answer.refused));
    }
    // What an answer does not list was taken.
    fates.accepted.extend(settled.iter().enumerate().filter(|(_, settled)| !**settled).map(|(index, _)| index));
    fates.accepted.sort_unstable();
    fates.retry.sort_unstable();
    Ok(fates)
}

/// An `application/problem+json` body (RFC 9457).
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Problem {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
    /// What to do about it.
    pub(crate) cure: Option<String>,
}

/// The longest text that is shown of an answer that is no problem.
const SHOWN_CHARS: usize = 200;

impl Problem {
    /// From any body: one that is no problem document is shown as far as it is text.
    pub(crate) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| {
            let text: String = String::from_utf8_lossy(body).trim().chars().take(SHOWN_CHARS).collect();
            Self { detail: (!text.is_empty()).then_some(text), ..Self::default() }
        })
    }

    /// Whether the request may have been carried out all the same.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.code.as_deref().is_none_or(|code| !NOT_TAKEN.contains(&code))
    }

    /// What went wrong, in the endpoint's words.
    pub(crate) fn detail(&self) -> String {
        self.detail.clone().or_else(|| self.title.clone()).unwrap_or_else(|| "without a reason".to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn refused(row: usize, code: &str) -> RefusedRow {
        RefusedRow { row, code: code.to_owned(), field: None, reason: "why".to_owned() }
    }

    #[test]
    fn an_answer_that_lists_only_refused_rows_is_understood() {
        let body = br#"{"accepted":2,"refused":2,"rows":[
            {"index":3,"status":"refused","code":"stream_throttled","reason":"later","retry":true},
            {"index":1,"status":"refused","code":"schema_type","reason":"why"}]}"#;
        let fates = read_answer(body, 4).unwrap();
        assert_eq!(fates.accepted, [0, 2]);
        assert_eq!(fates.refused, [refused(1, "schema_type")]);
        assert_eq!((fates.retry, fates.retry_reason.as_deref(), fates.retry_doubtful), (vec![3], Some("later"), 0));
    }

    #[test]
    fn an_answer_that_lists_all_rows_in_order_is_understood() {
        let body = br#"{"accepted":1,"refused":1,"rows":[
            {"status":"accepted","shard":"shardId-000000000000","sequence":"49","subSequence":3},
            {"status":"refused","code":"schema_type","reason":"why"}]}"#;
        let fates = read_answer(body, 2).unwrap();
        assert_eq!((fates.accepted, fates.refused), (vec![0], vec![refused(1, "schema_type")]));
        assert_eq!(read_answer(br#"{"accepted":3,"refused":0}"#, 3).unwrap().accepted, [0, 1, 2]);
    }

    #[test]
    fn answers_that_do_not_add_up_are_refused() {
        for (body, sent) in [
            (&br#"<html>"#[..], 1),
            (br#"{"accepted":1,"refused":0}"#, 2),
            (br#"{"accepted":0,"refused":1}"#, 1),
            (br#"{"accepted":1,"refused":1,"rows":[{"status":"accepted"}]}"#, 2),
            (br#"{"accepted":1,"refused":1,"rows":[{"index":2,"status":"refused"}]}"#, 2),
            (
                br#"{"accepted":0,"refused":2,"rows":[{"index":1,"status":"refused"},{"index":1,"status":"refused"}]}"#,
                2,
            ),
            (br#"{"accepted":1,"refused":0,"rows":[{"index":0,"status":"refused"}]}"#, 1),
        ] {
            assert!(read_answer(body, sent).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_the_stream_did_not_acknowledge_may_be_taken_and_what_was_turned_away_is_not() {
        let body = br#"{"accepted":0,"refused":1,"rows":[
            {"index":0,"status":"refused","code":"stream_unavailable","reason":"no answer","retry":true}]}"#;
        assert_eq!(read_answer(body, 1).unwrap().retry_doubtful, 1);
        for (code, doubtful) in [("stream_unavailable", true), ("queue_full", false), ("overloaded", false)] {
            assert_eq!(Problem::read(format!("{{\"code\":{code:?}}}").as_bytes()).is_doubtful(), doubtful, "{code}");
        }
        assert!(Problem::read(b"bad gateway").is_doubtful());
    }

    #[test]
    fn a_problem_is_told_in_the_endpoints_words() {
        let problem =
            Problem::read(br#"{"type":"about:blank","title":"Unauthorized","detail":"no such key","cure":"ask"}"#);
        assert_eq!((problem.detail().as_str(), problem.cure.as_deref()), ("no such key", Some("ask")));
        assert_eq!(Problem::read(b"<h1>Bad gateway</h1>").detail(), "<h1>Bad gateway</h1>");
        assert_eq!(Problem::read(b"").detail(), "without a reason");
    }
}
