//! What a stream costs, whoever puts into it and reads it.

use super::load::{DAY_HOURS, GB, KB, Load, MONTH_HOURS};
use super::puts::{PUT_UNIT, Puts};
use super::shape::{Flow, Misfit};
use super::usage::{Meter, Usage};

/// What a shard takes a second (Kinesis Data Streams Developer Guide, "Quotas and limits").
pub(super) const SHARD_BYTES: f64 = 1_048_576.0;
pub(super) const SHARD_RECORDS: f64 = 1_000.0;
/// What a shard gives a second to all that poll it.
const SHARD_BYTES_OUT: f64 = 2.0 * 1_048_576.0;
/// Beyond this many hours retention is long-term, and paid for by what is kept.
const EXTENDED_HOURS: f64 = 168.0;
/// A stream on demand begins with so many shards.
const ON_DEMAND_SHARDS: f64 = 4.0;

/// How many shards take such puts.
pub(super) fn shards_for(puts: &Puts) -> f64 {
    (puts.bytes / SHARD_BYTES).max(puts.records / SHARD_RECORDS).ceil().max(1.0)
}

/// The shards of the flow: those of the Pipeline, or on demand as many as there will be.
pub(super) fn shards(flow: &Flow, puts: &Puts) -> f64 {
    if flow.on_demand { (2.0 * shards_for(puts)).max(ON_DEMAND_SHARDS) } else { flow.shards }
}

/// Refuses a load that the stream's shards do not take, or do not give to all who read them.
pub(super) fn check(flow: &Flow, puts: &Puts) -> Result<(), Misfit> {
    if flow.on_demand {
        return Ok(());
    }
    let polling = flow.sinks.iter().filter(|sink| !sink.fan_out).count() as f64;
    let needed = shards_for(puts).max((puts.bytes * polling / SHARD_BYTES_OUT).ceil());
    if needed <= flow.shards {
        return Ok(());
    }
    Err(Misfit {
        place: format!("{}.kinesis.shards", flow.place),
        what: format!(
            "{} shards are too few for {:.2} MB/s in {:.0} records/s that {polling} sinks poll: a shard takes 1 MB and 1,000 \
             records a second, and gives 2 MB",
            flow.shards,
            puts.bytes / SHARD_BYTES,
            puts.records,
        ),
        cure: format!("write {needed}, or ask what it would cost: --shards {needed}"),
    })
}

/// The stream with such puts a second, while there is load, and so many that poll and that have fan-out.
pub(super) fn pay(usage: &mut Usage, flow: &Flow, shards: f64, puts: &Puts, load: &Load) {
    let busy = load.busy_seconds();
    let (fan_out, polling): (Vec<_>, Vec<_>) = flow.sinks.iter().partition(|sink| sink.fan_out);
    let (fan_out, polling) = (fan_out.len() as f64, polling.len() as f64);
    let gb = puts.bytes * busy / GB;
    usage.call("Kinesis.PutRecords", puts.calls * busy);
    if flow.on_demand {
        // Each record counts in whole KB.
        let mean_kb = (puts.bytes / puts.records / KB).ceil();
        let counted = puts.records * mean_kb * KB * busy / GB;
        usage.pay(Meter::OnDemandStreamHour, MONTH_HOURS);
        usage.pay(Meter::OnDemandGbIn, counted);
        usage.pay(Meter::OnDemandGbOut, gb * polling);
        usage.pay(Meter::OnDemandFanOutGb, gb * fan_out);
        let extended = flow.retention_hours.min(EXTENDED_HOURS) - DAY_HOURS;
        usage.pay(Meter::OnDemandExtendedRetention, load.kept_gb(puts.bytes, extended.max(0.0)));
    } else {
        usage.pay(Meter::ShardHour, shards * MONTH_HOURS);
        usage.pay(Meter::PutUnit, puts.units * busy);
        usage.pay(Meter::FanOutGb, gb * fan_out);
        usage.pay(Meter::FanOutShardHour, shards * fan_out * MONTH_HOURS);
        if flow.retention_hours > DAY_HOURS {
            usage.pay(Meter::ExtendedRetention, shards * MONTH_HOURS);
        }
    }
    let long_term = (flow.retention_hours - EXTENDED_HOURS).max(0.0);
    usage.pay(Meter::LongTermRetention, load.kept_gb(puts.bytes, long_term));
}

/// Full units: nobody can put such bytes with fewer.
pub(super) fn full_units(bytes: f64) -> f64 {
    bytes / PUT_UNIT
}
