//! A row together with the record that carried it.

use std::borrow::Cow;

use penstock_contract::{Record, ShardId};

use crate::RowView;

/// What a template may see of a record.
#[derive(Debug, Clone, Copy)]
pub struct RecordContext<'a> {
    /// The fields, as they are after the program.
    pub row: RowView<'a>,
    /// Where it stands and when it arrived.
    pub record: &'a Record,
    /// The shard that it was read from.
    pub shard: &'a ShardId,
    /// The field that holds a record's own id, where the Pipeline names one.
    pub id_field: Option<&'a str>,
}

impl<'a> RecordContext<'a> {
    /// The record's id: its own, else `<shard>:<sequence>:<sub-sequence>`.
    #[must_use]
    pub fn id(&self) -> Cow<'a, str> {
        self.own_id().unwrap_or_else(|| Cow::Owned(format!("{}:{}", self.shard, self.record.position)))
    }

    /// The id that the record brought along: a string that is not empty, or a number.
    #[must_use]
    pub fn own_id(&self) -> Option<Cow<'a, str>> {
        self.row.own_id(self.id_field?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use penstock_contract::{ArrivalMillis, Position, Sequence};

    use super::*;
    use crate::parse_row;

    pub(crate) fn record(data: &str) -> Record {
        Record {
            position: Position::new(Sequence::parse("4967").unwrap(), 3),
            partition_key: Arc::from("key"),
            // 2010-12-01T08:26:00.007Z
            arrival: ArrivalMillis(1_291_191_960_007),
            data: Bytes::copy_from_slice(data.as_bytes()),
        }
    }

    fn id(data: &str, id_field: Option<&str>) -> String {
        let record = record(data);
        let row = parse_row(&record.data).unwrap();
        let shard = ShardId::new("shardId-000000000001");
        RecordContext { row: RowView::Parsed(&row), record: &record, shard: &shard, id_field }.id().into_owned()
    }

    #[test]
    fn a_record_without_an_id_of_its_own_is_known_by_its_position() {
        let by_position = "shardId-000000000001:4967:3";
        assert_eq!(id(r#"{"_id":"a"}"#, None), by_position);
        for data in ["{}", r#"{"_id":null}"#, r#"{"_id":""}"#, r#"{"_id":[1]}"#] {
            assert_eq!(id(data, Some("_id")), by_position, "{data}");
        }
    }

    #[test]
    fn an_id_is_a_string_or_a_number() {
        assert_eq!(id(r#"{"_id":"f-1"}"#, Some("_id")), "f-1");
        assert_eq!(id(r#"{"_id":17}"#, Some("_id")), "17");
    }
}
