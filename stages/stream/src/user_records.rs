//! From a record of the stream to the records that its producer meant.

use penstock_contract::{Position, Record, ShardId};

use crate::aggregate::{self, Deaggregated, Members};
use crate::{HashRange, StreamRecord};

/// Opens an aggregate into its members, with sub-sequences from 0; any other record stands for itself.
/// Keys and bytes are shared, not copied.
///
/// A producer that aggregated with an older map of the shards puts members into a shard that does not take their
/// keys. Where the producer says which shard it made the aggregate for ([`aggregate::Aggregator::made_for`]), such
/// an aggregate is **astray** and holds nothing, so there are no records: its producer sees from the answer where it went, and puts all
/// of it again. So every record is in the lineage of shards that take its key, and a repeat of it is recognised
/// there. Of any other aggregate all members are kept, wherever their keys belong, since their producers were told that they are
/// stored. (The KCL drops every aggregate with such a member.)
#[must_use]
pub fn user_records(shard: &ShardId, takes: &HashRange, record: StreamRecord) -> Vec<Record> {
    let StreamRecord { sequence, partition_key, arrival, data, may_be_aggregate } = record;
    let opened = if may_be_aggregate { aggregate::open(&data) } else { Deaggregated::Raw };
    match opened {
        Deaggregated::Aggregate(members) if is_astray(&members, &partition_key, shard, takes) => Vec::new(),
        Deaggregated::Aggregate(members) => members
            .zip(0..)
            .map(|(member, sub_sequence)| Record {
                position: Position::new(sequence.clone(), sub_sequence),
                partition_key: member.partition_key,
                arrival,
                data: member.data,
            })
            .collect(),
        Deaggregated::Raw => {
            if aggregate::begins_like_one(&data) {
                tracing::warn!(
                    %shard, %sequence, bytes = data.len(),
                    "a record begins like an aggregate but does not hold one; it is taken as it is"
                );
            }
            vec![Record { position: Position::new(sequence, 0), partition_key, arrival, data }]
        }
    }
}

/// Whether the aggregate was made for another shard and has members that this one does not take.
fn is_astray(members: &Members, outer_key: &str, shard: &ShardId, takes: &HashRange) -> bool {
    aggregate::made_for(outer_key).is_some_and(|made_for| made_for != shard.as_str()) && !members.all_within(takes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use penstock_contract::{ArrivalMillis, Sequence};

    use super::*;
    use crate::HashKey;
    use crate::aggregate::Aggregator;

    const MIDDLE: u128 = 1 << 127;
    const LEFT: HashRange = HashRange { start: HashKey::MIN, end_inclusive: HashKey(MIDDLE - 1) };

    /// "a" belongs to the left half of the hash keys, "b" to the right one.
    fn read_in_left_half(aggregator: Aggregator, keys: &[&str], shard: &str) -> Vec<String> {
        let mut aggregator = aggregator;
        for key in keys {
            aggregator.push(&Arc::from(*key), None, Bytes::from_static(b"data")).unwrap();
        }
        let entry = aggregator.finish().unwrap().entry;
        let sequence = Sequence::parse("7").unwrap();
        let record = StreamRecord::new(sequence, entry.partition_key, ArrivalMillis(0), entry.data);
        let records = user_records(&ShardId::new(shard), &LEFT, record);
        records.iter().map(|record| record.partition_key.to_string()).collect()
    }

    #[test]
    fn an_aggregate_for_a_shard_that_was_split_holds_nothing_where_a_member_does_not_belong() {
        assert!(LEFT.holds(HashKey::of_partition_key("a")) && !LEFT.holds(HashKey::of_partition_key("b")));
        let parent = ShardId::new("parent");
        let of_parent = || Aggregator::made_for(1000, &parent);
        assert!(read_in_left_half(of_parent(), &["a", "b", "a"], "left").is_empty());
        assert_eq!(read_in_left_half(of_parent(), &["a", "a"], "left"), ["a", "a"]);
    }

    #[test]
    fn an_aggregate_that_reached_its_shard_is_taken_as_it_is() {
        let left = ShardId::new("left");
        assert_eq!(read_in_left_half(Aggregator::made_for(1000, &left), &["a", "b"], "left"), ["a", "b"]);
    }

    #[test]
    fn members_of_others_aggregates_are_kept_wherever_they_belong() {
        assert_eq!(read_in_left_half(Aggregator::new(1000), &["a", "b"], "left"), ["a", "b"]);
    }
}
