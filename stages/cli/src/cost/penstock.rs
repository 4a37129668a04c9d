//! What Penstock uses: its calls as its parts make them, and what they cost.

use super::load::{DAY_HOURS, GB, Load, MONTH_HOURS};
use super::objects;
use super::pods;
use super::puts::{Puts, puts};
use super::reads::Reads;
use super::shape::{Flow, Misfit, Sink, Table, Target};
use super::stream;
use super::tables::Writes;
use super::usage::{Meter, Usage};

/// A table's range is closed at this age (`penstock_dynamodb::MAX_AGE`).
const RANGE_SECONDS: f64 = 0.5;
/// So long a table's range waits to be committed with the pin of the next, whose first record may come so much later; and
/// an object's at most so long (`stages/consumer/src/commit.rs`).
const NEXT_RECORD_SECONDS: f64 = 1.0;
const LONGEST_WAIT_SECONDS: f64 = 5.0;
/// From one heartbeat of a worker to the next, and from one look at the lease table to the next (docs/leases.md).
const HEARTBEAT_SECONDS: f64 = 10.0 / 6.0;
const LOOK_SECONDS: f64 = 0.95 * HEARTBEAT_SECONDS;
/// What a row of the lease table has, and what a worker's, and the recipe.
const LEASE_BYTES: f64 = 700.0;
const WORKER_BYTES: f64 = 200.0;
const RECIPE_BYTES: f64 = 1_500.0;
/// What a read request unit reads consistently.
const READ_UNIT: f64 = 4.0 * 1_024.0;

/// Seconds of processor for a request, and for each row of it: above what was seen of the whole (docs/measurements.md).
pub(super) const SECONDS_A_REQUEST: f64 = 20e-6;
pub(super) const SECONDS_A_ROW: f64 = 5e-6;
/// For a row that is stored in an object, and for an item that is written.
pub(super) const SECONDS_A_LINE: f64 = 5e-6;
pub(super) const SECONDS_AN_ITEM: f64 = 20e-6;
/// What a pod on Fargate needs besides what it asks for (Amazon EKS User Guide, "Fargate pod configuration").
const KUBELET_GB: f64 = 0.25;
/// The operator, where the cluster is for this Pipeline alone.
const OPERATOR: pods::Pod = pods::Pod { cpu: 0.25, memory_gb: 0.25 };

/// Bytes that a request and its answer have besides the rows.
const HTTP_BYTES: f64 = 600.0;
/// What Base64 makes of a byte on the way to and from Kinesis.
const ON_THE_WIRE: f64 = 4.0 / 3.0;
/// Zones in which the endpoint is.
const ZONES: f64 = 2.0;

/// What it takes to carry the load. `own_cluster`: no other application uses the Kubernetes cluster.
pub(super) fn usage(flows: &[Flow], load: &Load, own_cluster: bool) -> Result<Usage, Misfit> {
    let mut usage = Usage::default();
    for flow in flows {
        carry(&mut usage, flow, load)?;
    }
    if own_cluster {
        usage.pay(Meter::ClusterHour, MONTH_HOURS);
        pods::run(&mut usage, OPERATOR, 1.0, 0.0, KUBELET_GB);
    }
    Ok(usage)
}

fn carry(usage: &mut Usage, flow: &Flow, load: &Load) -> Result<(), Misfit> {
    // On demand the number of shards follows from the puts, which follow from it; it changes little.
    let guess = if flow.on_demand { 4.0 } else { flow.shards };
    let shards = stream::shards(flow, &all_puts(flow, guess, load));
    let put = all_puts(flow, shards, load);
    stream::check(flow, &put)?;
    stream::pay(usage, flow, shards, &put, load);
    for source in &flow.sources {
        let work = source.rows * (SECONDS_A_REQUEST / load.rows_per_request + SECONDS_A_ROW);
        pods::run(usage, source.pod, source.replicas, work, KUBELET_GB);
    }
    front_door(usage, flow, load);
    let read = flow.sinks.len() as f64 * put.bytes;
    endpoint(usage, (put.bytes + read) * ON_THE_WIRE, load);
    for sink in &flow.sinks {
        serve(usage, flow, sink, &put, shards, load)?;
    }
    Ok(())
}

fn all_puts(flow: &Flow, shards: f64, load: &Load) -> Puts {
    let mut all = Puts::default();
    for source in &flow.sources {
        all += puts(source.rows, source.replicas, source.aggregated, shards, load);
    }
    all
}

/// A load balancer before the sources.
pub(super) fn front_door(usage: &mut Usage, flow: &Flow, load: &Load) {
    let rows = flow.rows();
    let bytes = rows * load.row_bytes + rows / load.rows_per_request * HTTP_BYTES;
    // A capacity unit is a GB an hour; connections stay open.
    usage.pay(Meter::BalancerHour, MONTH_HOURS);
    usage.pay(Meter::BalancerCapacityHour, bytes * load.busy_seconds() / GB);
}

/// The interface endpoint by which pods reach Kinesis. Those of S3 and DynamoDB cost nothing.
pub(super) fn endpoint(usage: &mut Usage, bytes_per_second: f64, load: &Load) {
    usage.pay(Meter::EndpointHour, ZONES * MONTH_HOURS);
    usage.pay(Meter::EndpointGb, bytes_per_second * load.busy_seconds() / GB);
}

fn serve(usage: &mut Usage, flow: &Flow, sink: &Sink, put: &Puts, shards: f64, load: &Load) -> Result<(), Misfit> {
    let (rows, busy) = (flow.rows(), load.busy_seconds());
    let records = put.records / shards;
    let reads = (!sink.fan_out).then(|| Reads::new(records, load.call_seconds));
    if let Some(reads) = &reads {
        usage.call("Kinesis.GetRecords", shards * reads.per_second() * busy);
        usage
            .call("Kinesis.GetRecords", shards * Reads::new(0.0, load.call_seconds).per_second() * load.idle_seconds());
    }
    let (ranges, followed, work) = match &sink.target {
        Target::Objects(objects) => {
            let written = objects::written(objects, rows, shards, sink.replicas, reads.as_ref(), load);
            usage.pay(Meter::ObjectWrite, written.requests * busy);
            usage.call("S3.PUT", written.requests * busy);
            let stored = objects.stored(rows * (load.row_bytes + 1.0), load);
            usage.pay(Meter::ObjectGbMonth, load.kept_gb(stored, load.keep_hours));
            let followed = f64::from(shards / written.ranges <= LONGEST_WAIT_SECONDS);
            (written.ranges, followed, rows * SECONDS_A_LINE)
        }
        Target::Tables(tables) => {
            let ranges = shards / range_seconds(records, rows / shards, tables, reads.as_ref(), load);
            let mut items = 0.0;
            for table in tables {
                let writes = table.writes(rows / ranges, shards, load).times(ranges);
                table.check(writes.units)?;
                table.pay(usage, writes.units, load);
                table.pay_storage(usage, rows, shards, load);
                count(usage, writes, load);
                items += rows * table.share;
            }
            // How likely it is that the next record comes in that time.
            let followed = 1.0 - (-records * NEXT_RECORD_SECONDS).exp();
            (ranges, followed, items * SECONDS_AN_ITEM)
        }
    };
    leases(usage, sink.replicas, shards, ranges * lease_writes(followed), load);
    pods::run(usage, sink.pod, sink.replicas, work, KUBELET_GB);
    Ok(())
}

/// The calls of so many writes a second.
pub(super) fn count(usage: &mut Usage, writes: Writes, load: &Load) {
    let busy = load.busy_seconds();
    usage.call("DynamoDB.BatchWriteItem", writes.batches * busy);
    usage.call("DynamoDB.PutItem", writes.puts * busy);
    usage.call("DynamoDB.UpdateItem", writes.updates * busy);
}

/// From one range of a shard to the next: as old as it may be, or as large as it may be.
fn range_seconds(records: f64, rows: f64, tables: &[Table], reads: Option<&Reads>, load: &Load) -> f64 {
    let by_age = reads.map_or(RANGE_SECONDS + 1.0 / records, |reads| reads.range_seconds(RANGE_SECONDS));
    let most_rows = penstock_dynamodb::MAX_BATCH_RECORDS as f64;
    // An entry takes 200 bytes besides its item.
    let bytes = tables.iter().map(|table| table.share * (load.row_bytes + 200.0)).sum::<f64>().max(1.0);
    let most = most_rows.min(penstock_dynamodb::MAX_BATCH_BYTES as f64 / bytes).max(1.0);
    by_age.min(most / rows)
}

/// Writes of the lease row for a range: its commit, which is the next one's pin where that follows in time; else two.
fn lease_writes(followed: f64) -> f64 {
    2.0 - followed
}

/// The lease table of a sink: so many writes of leases a second, a heartbeat a worker, and each worker's looks at all of it.
fn leases(usage: &mut Usage, workers: f64, shards: f64, lease_writes: f64, load: &Load) {
    let month = MONTH_HOURS * 3_600.0;
    let writes = lease_writes * load.busy_seconds() + workers * month / (HEARTBEAT_SECONDS + load.call_seconds);
    usage.pay(Meter::ItemWrite, writes);
    usage.call("DynamoDB.UpdateItem", writes);
    let looks = workers * month / LOOK_SECONDS;
    let bytes = shards * LEASE_BYTES + workers * WORKER_BYTES + RECIPE_BYTES;
    usage.call("DynamoDB.Scan", looks);
    usage.pay(Meter::ItemRead, looks * (bytes / READ_UNIT).ceil());
}

/// What is taken for granted.
pub(super) fn assumptions(load: &Load) -> Vec<String> {
    let call = load.call_seconds * 1_000.0;
    [
        format!("A call to a service takes {call:.0} ms; rows that come meanwhile share the next aggregate of their shard."),
        format!(
            "A range of a table's sink is closed {RANGE_SECONDS} s after it began and costs a write of its lease, two where the next record \
             comes more than {NEXT_RECORD_SECONDS} s later; a worker writes a heartbeat every {HEARTBEAT_SECONDS:.1} s and reads its lease table as often."
        ),
        format!(
            "Pods are as many as the Pipeline says, on Fargate, in the least size that fits; {:.0} µs of processor a request, \
             {:.0} a row, {:.0} a line of an object, {:.0} an item.",
            SECONDS_A_REQUEST * 1e6,
            SECONDS_A_ROW * 1e6,
            SECONDS_A_LINE * 1e6,
            SECONDS_AN_ITEM * 1e6
        ),
        "A network load balancer is before the sources; pods reach Kinesis by an interface endpoint in two zones.".to_owned(),
        "The Kubernetes cluster is there already, unless --own-cluster says otherwise.".to_owned(),
        format!("Objects and items are kept for {:.0} days.", load.keep_hours / DAY_HOURS),
    ]
    .into()
}
