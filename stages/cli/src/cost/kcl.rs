//! The same load on a fleet of the Kinesis Client Library: a service that puts records, an application for each sink.

use super::lambda::{Sums, of_sums, widened, written};
use super::load::{Load, MONTH_HOURS};
use super::objects;
use super::penstock::{self, SECONDS_A_LINE, SECONDS_A_REQUEST, SECONDS_A_ROW, SECONDS_AN_ITEM};
use super::pods::{self, Pod};
use super::puts::unaggregated;
use super::reads::Reads;
use super::shape::{Flow, Sink, Target};
use super::stream;
use super::usage::{Meter, Usage};

/// Renewals of a lease a second: failover of 10 s, a third of it, less 25 ms.
const RENEWALS: f64 = 0.302;
/// Each application writes its checkpoints once a minute.
const CHECKPOINT_SECONDS: f64 = 60.0;
/// A worker's own row: its metrics.
const REPORT_SECONDS: f64 = 30.0;
/// The leader reads the lease table, and each worker looks for what is assigned to it.
const ASSIGNMENT_SECONDS: f64 = 20.0;
const DISCOVERY_SECONDS: f64 = 10.0;
/// From one read to the next.
const READ_SECONDS: f64 = 1.5;
/// The least that a JVM with the library is given.
const TASK: Pod = Pod { cpu: 0.5, memory_gb: 1.0 };
/// What Base64 makes of a byte.
const ON_THE_WIRE: f64 = 4.0 / 3.0;

/// What it takes to carry the load.
pub(super) fn usage(flows: &[Flow], load: &Load, sums: Sums) -> Usage {
    let mut usage = Usage::default();
    for flow in flows {
        carry(&mut usage, &widened(flow, load), load, sums);
    }
    usage
}

fn carry(usage: &mut Usage, flow: &Flow, load: &Load, sums: Sums) {
    let mut put = unaggregated(flow.rows(), load);
    // Rows of several requests share a call.
    put.calls = flow.rows() / load.rows_per_request;
    let shards = stream::shards(flow, &put);
    stream::pay(usage, flow, shards, &put, load);
    for source in &flow.sources {
        let work = source.rows * (SECONDS_A_REQUEST / load.rows_per_request + SECONDS_A_ROW);
        pods::run(usage, TASK, source.replicas, work, 0.0);
    }
    penstock::front_door(usage, flow, load);
    penstock::endpoint(usage, put.bytes * (1.0 + flow.sinks.len() as f64) * ON_THE_WIRE, load);
    for sink in &flow.sinks {
        serve(usage, flow, sink, shards, load, sums);
    }
}

fn serve(usage: &mut Usage, flow: &Flow, sink: &Sink, shards: f64, load: &Load, sums: Sums) {
    let (rows, busy) = (flow.rows(), load.busy_seconds());
    usage.call("Kinesis.GetRecords", shards / READ_SECONDS * MONTH_HOURS * 3_600.0);
    let work = match &sink.target {
        Target::Objects(objects) => {
            let every = Reads::new(rows / shards, READ_SECONDS);
            let written = objects::written(objects, rows, shards, sink.replicas, Some(&every), load);
            usage.pay(Meter::ObjectWrite, written.requests * busy);
            let stored = objects.stored(rows * (load.row_bytes + 1.0), load);
            usage.pay(Meter::ObjectGbMonth, load.kept_gb(stored, load.keep_hours));
            rows * SECONDS_A_LINE
        }
        Target::Tables(tables) => {
            let batch = (rows / shards * READ_SECONDS).max(1.0);
            let mut items = 0.0;
            for table in tables {
                let table = table.unmarked();
                let writes = written(&table, batch, shards, load, sums).times(rows / batch);
                table.pay(usage, writes.units, load);
                table.pay_storage(usage, rows, shards, load);
                penstock::count(usage, writes, load);
                items += rows * table.share;
            }
            items * SECONDS_AN_ITEM
        }
    };
    leases(usage, sink.replicas, shards);
    pods::run(usage, TASK, sink.replicas, work, 0.0);
}

fn leases(usage: &mut Usage, workers: f64, shards: f64) {
    let month = MONTH_HOURS * 3_600.0;
    let writes = (shards * (RENEWALS + 1.0 / CHECKPOINT_SECONDS) + workers / REPORT_SECONDS) * month;
    usage.pay(Meter::ItemWrite, writes);
    usage.call("DynamoDB.UpdateItem", writes);
    // Half a unit each, for they need not be consistent; small tables.
    let reads = (1.0 / ASSIGNMENT_SECONDS + workers / DISCOVERY_SECONDS) * month;
    usage.pay(Meter::ItemRead, reads / 2.0);
}

/// What is taken for granted.
pub(super) fn assumptions(flows: &[Flow], load: &Load, sums: Sums) -> Vec<String> {
    let shards: f64 = flows.iter().map(|flow| widened(flow, load).shards).sum();
    [
        format!("Rows are records of the stream each (no KPL), so it has {shards} shards."),
        format!(
            "Each lease is renewed {RENEWALS} times a second (the library's defaults) and checkpointed every {CHECKPOINT_SECONDS:.0} s; \
             the library's CloudWatch metrics are off."
        ),
        format!(
            "As many tasks as Penstock has pods, on Fargate without Kubernetes, of {} vCPU and {} GB or more, with the same work a row.",
            TASK.cpu, TASK.memory_gb
        ),
        "Load balancer and endpoint are those of Penstock.".to_owned(),
        of_sums(sums),
        "Objects are as many as Penstock's, though nothing makes a repeated one the same.".to_owned(),
    ]
    .into()
}
