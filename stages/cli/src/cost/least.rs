//! What nobody can avoid: the least that AWS counts for the load, with every unit full and every item written once.

use super::load::{DAY_HOURS, GB, Load, MONTH_HOURS};
use super::shape::{Flow, Target};
use super::stream;
use super::usage::{Meter, Usage};

/// Streams as they are declared, rows and sums once, objects as large as they may be. No machine, no endpoint.
pub(super) fn usage(flows: &[Flow], load: &Load) -> Usage {
    let mut usage = Usage::default();
    for flow in flows {
        let (rows, busy) = (flow.rows(), load.busy_seconds());
        let bytes = rows * load.row_bytes;
        if flow.on_demand {
            usage.pay(Meter::OnDemandStreamHour, MONTH_HOURS);
            usage.pay(Meter::OnDemandGbIn, bytes * busy / GB);
        } else {
            usage.pay(Meter::ShardHour, flow.shards * MONTH_HOURS);
            usage.pay(Meter::PutUnit, stream::full_units(bytes) * busy);
            if flow.retention_hours > DAY_HOURS {
                usage.pay(Meter::ExtendedRetention, flow.shards * MONTH_HOURS);
            }
        }
        for sink in &flow.sinks {
            match &sink.target {
                Target::Objects(objects) => {
                    let stored = objects.stored(rows * (load.row_bytes + 1.0), load);
                    usage.pay(Meter::ObjectWrite, bytes / objects.rotate_bytes * busy);
                    usage.pay(Meter::ObjectGbMonth, load.kept_gb(stored, load.keep_hours));
                }
                Target::Tables(tables) => {
                    for table in tables {
                        table.pay(&mut usage, table.least_units(rows, load), load);
                        table.unmarked().pay_storage(&mut usage, rows, flow.shards, load);
                    }
                }
            }
        }
    }
    usage
}
