//! From a record of the stream to the records that its producer meant.

use penstock_contract::{Position, Record, ShardId};

use crate::StreamRecord;
use crate::aggregate::{self, Deaggregated};

/// Opens an aggregate into its members, with sub-sequences from 0; any other record stands for itself.
/// Keys and bytes are shared, not copied.
///
/// A member is kept also when its hash key lies outside the shard's range, which happens when a producer
/// aggregated with an older map of the shards: the KCL drops the whole aggregate then, and with
/// it what the producer was told is stored.
#[must_use]
pub fn user_records(shard: &ShardId, record: StreamRecord) -> Vec<Record> {
    let StreamRecord { sequence, partition_key, arrival, data } = record;
    match aggregate::deaggregate(&data) {
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
