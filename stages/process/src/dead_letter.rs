//! How a record is written that could not be handled: one line of JSON with everything that is needed to
//! understand it, mend it and send it again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use penstock_contract::{ArrivalMillis, Record, Rejection, ShardId};
use serde::Serialize;

/// Who could not handle the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The Pipeline's namespace.
    pub namespace: String,
    /// The Pipeline's name.
    pub pipeline: String,
    /// The sink's name.
    pub sink: String,
}

/// The line, field by field. Fields are only ever added.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    namespace: &'a str,
    pipeline: &'a str,
    sink: &'a str,
    shard: &'a str,
    sequence: &'a str,
    sub_sequence: u64,
    /// RFC 3339 in UTC with milliseconds; absent when the buffer's time is beyond the calendar.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrival: Option<String>,
    arrival_millis: i64,
    partition_key: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    message: &'a str,
    /// The record's bytes, where they are UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    /// The record's bytes, where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

/// Writes the line, with its newline. The same record and rejection give the same bytes.
pub fn write_line(out: &mut Vec<u8>, origin: &Origin, shard: &ShardId, record: &Record, rejection: &Rejection) {
    let text = std::str::from_utf8(&record.data).ok();
    let line = Line {
        namespace: &origin.namespace,
        pipeline: &origin.pipeline,
        sink: &origin.sink,
        shard: shard.as_str(),
        sequence: record.position.sequence.as_str(),
        sub_sequence: record.position.sub_sequence,
        arrival: rfc3339(record.arrival),
        arrival_millis: record.arrival.0,
        partition_key: &record.partition_key,
        reason: &rejection.reason,
        field: rejection.field.as_deref(),
        message: &rejection.message,
        data: text,
        data_base64: text.is_none().then(|| STANDARD.encode(&record.data)),
    };
    // Strings and numbers into memory: there is nothing in it that could fail to serialise.
    let written = serde_json::to_writer(&mut *out, &line);
    debug_assert!(written.is_ok(), "{written:?}");
    out.push(b'\n');
}

fn rfc3339(arrival: ArrivalMillis) -> Option<String> {
    let moment = DateTime::<Utc>::from_timestamp_millis(arrival.0)?;
    Some(moment.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use super::*;
    use crate::context::tests::record;

    fn line(record: &Record, rejection: &Rejection) -> String {
        let origin = Origin { namespace: "shop".into(), pipeline: "ecommerce".into(), sink: "tables".into() };
        let mut out = b"before\n".to_vec();
        write_line(&mut out, &origin, &ShardId::new("shardId-000000000001"), record, rejection);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_tells_who_what_where_and_why() {
        let rejection = Rejection::new("key_missing", "CustomerID is null").at("CustomerID");
        let line = line(&record("{\"a\":\n1}"), &rejection);
        assert_eq!(
            line,
            concat!(
                "before\n",
                r#"{"namespace":"shop","pipeline":"ecommerce","sink":"tables","shard":"shardId-000000000001","#,
                r#""sequence":"4967","subSequence":3,"arrival":"2010-12-01T08:26:00.007Z","arrivalMillis":1291191960007,"#,
                r#""partitionKey":"key","reason":"key_missing","field":"CustomerID","message":"CustomerID is null","#,
                r#""data":"{\"a\":\n1}"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn bytes_that_are_no_text_come_back_whole() {
        let mut broken = record("");
        broken.data = Bytes::from_static(b"{\"a\":\"\xff\x00\"}");
        broken.arrival = ArrivalMillis(i64::MAX);
        let line = line(&broken, &Rejection::new("not_utf8", "no"));
        let value: Value = serde_json::from_str(line.lines().nth(1).unwrap()).unwrap();
        assert_eq!(STANDARD.decode(value["dataBase64"].as_str().unwrap()).unwrap(), broken.data);
        assert!(value.get("data").is_none() && value.get("field").is_none() && value.get("arrival").is_none());
    }
}
