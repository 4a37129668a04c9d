//! The same load on functions: API Gateway, Lambda, Kinesis, Lambda into DynamoDB, Firehose into S3.
//!
//! Where there is a choice it is the cheaper one that is in use: HTTP APIs, no logs, records in batches.

use super::load::{GB, KB, Load, MONTH_HOURS};
use super::puts::unaggregated;
use super::shape::{Flow, Items, Objects, Table, Target};
use super::stream;
use super::tables::Writes;
use super::usage::{Meter, Usage};

/// Memory of a function in GB.
const SOURCE_GB: f64 = 0.25;
const SINK_GB: f64 = 0.5;
/// What a function runs for besides its calls: for an invocation, and for each row, in seconds.
const INVOCATION_SECONDS: f64 = 0.005;
const ROW_SECONDS: f64 = 0.000_1;
/// Records that a function is given at most, and how long the event source waits for them, in seconds.
const BATCH: f64 = 500.0;
const WINDOW_SECONDS: f64 = 1.0;
/// Items in a `BatchWriteItem`, and updates in flight at one time.
const ITEMS: f64 = 25.0;
const IN_FLIGHT: f64 = 8.0;
/// Firehose counts each record in steps of so much, and closes an object at this size.
const STEP: f64 = 5.0 * KB;
const OBJECT: f64 = 128.0 * 1_048_576.0;

/// How the functions and the KCL application write sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Sums {
    /// An update for each row: how it is commonly written.
    ByRow,
    /// An update for each key of a batch, added up before. A batch that is repeated after a failure counts twice.
    ByBatch,
}

/// What it takes to carry the load.
pub(super) fn usage(flows: &[Flow], load: &Load, sums: Sums) -> Usage {
    let mut usage = Usage::default();
    for flow in flows {
        carry(&mut usage, flow, load, sums);
    }
    usage
}

/// The flow with as many shards as rows take that are records each.
pub(super) fn widened(flow: &Flow, load: &Load) -> Flow {
    let needed = stream::shards_for(&unaggregated(flow.rows(), load));
    let mut flow = flow.clone();
    flow.shards = flow.shards.max(needed);
    for sink in &mut flow.sinks {
        sink.fan_out = false;
    }
    flow
}

fn carry(usage: &mut Usage, flow: &Flow, load: &Load, sums: Sums) {
    let flow = &widened(flow, load);
    let rows = flow.rows();
    let mut put = unaggregated(rows, load);
    put.calls = rows / load.rows_per_request;
    let shards = stream::shards(flow, &put);
    stream::pay(usage, flow, shards, &put, load);
    let requests = put.calls * load.busy_seconds();
    usage.pay(Meter::GatewayRequest, requests);
    let seconds = load.call_seconds + INVOCATION_SECONDS + ROW_SECONDS * load.rows_per_request;
    invoke(usage, requests, seconds, SOURCE_GB);
    for sink in &flow.sinks {
        match &sink.target {
            Target::Objects(objects) => deliver(usage, objects, rows, load),
            Target::Tables(tables) => store(usage, tables, rows, shards, load, sums),
        }
    }
}

fn invoke(usage: &mut Usage, times: f64, seconds: f64, gb: f64) {
    usage.pay(Meter::LambdaRequest, times);
    usage.pay(Meter::LambdaGbSecond, times * seconds * gb);
    usage.call("Lambda.Invoke", times);
}

/// Firehose reads the stream and writes objects.
fn deliver(usage: &mut Usage, objects: &Objects, rows: f64, load: &Load) {
    let busy = load.busy_seconds();
    let gb = rows * (load.row_bytes / STEP).ceil() * STEP * busy / GB;
    usage.pay(Meter::FirehoseGb, gb);
    let lines = rows * (load.row_bytes + 1.0);
    let each = lines / objects.prefixes;
    let count = objects.prefixes * (1.0 / objects.rotate_seconds).max(each / OBJECT.min(objects.rotate_bytes)) * busy;
    usage.pay(Meter::ObjectWrite, count);
    if objects.partitioned {
        usage.pay(Meter::FirehosePartitionedGb, lines * busy / GB);
        usage.pay(Meter::FirehoseObject, count);
    }
    let stored = objects.stored(lines, load);
    usage.pay(Meter::ObjectGbMonth, load.kept_gb(stored, load.keep_hours));
}

/// A function reads the stream and writes items.
fn store(usage: &mut Usage, tables: &[Table], rows: f64, shards: f64, load: &Load, sums: Sums) {
    let batch = (rows / shards * WINDOW_SECONDS).clamp(1.0, BATCH);
    let invocations = rows / batch;
    let mut seconds = INVOCATION_SECONDS + ROW_SECONDS * batch;
    for table in tables {
        let table = table.unmarked();
        let writes = written(&table, batch, shards, load, sums);
        table.pay(usage, writes.units * invocations, load);
        table.pay_storage(usage, rows, shards, load);
        super::penstock::count(usage, writes.times(invocations), load);
        let items = batch * table.share;
        let calls = if table.items == Items::OwnOfEachRow {
            (items / ITEMS).ceil()
        } else {
            ((writes.puts + writes.updates) / IN_FLIGHT).ceil()
        };
        seconds += calls * load.call_seconds;
    }
    invoke(usage, invocations * load.busy_seconds(), seconds, SINK_GB);
}

/// The writes of a batch of a shard.
pub(super) fn written(table: &Table, batch: f64, shards: f64, load: &Load, sums: Sums) -> Writes {
    match (sums, table.items) {
        (Sums::ByRow, Items::SumOfKey { .. } | Items::LatestOfKey) => table.writes_by_row(batch, shards, load),
        _ => table.writes(batch, shards, load),
    }
}

/// What is taken for granted.
pub(super) fn assumptions(flows: &[Flow], load: &Load, sums: Sums) -> Vec<String> {
    let shards: f64 = flows.iter().map(|flow| widened(flow, load).shards).sum();
    [
        "An HTTP API, the cheaper kind; no authorizer, nothing logged, nothing started cold, no provisioned concurrency."
            .to_owned(),
        format!(
            "The function of the source has {:.0} MB, and runs for one call and {:.0} ms more.",
            SOURCE_GB * 1_024.0,
            INVOCATION_SECONDS * 1_000.0
        ),
        format!("Rows are records of the stream each, so it has {shards} shards: 1,000 records a second each."),
        format!("The function of the tables has {:.0} MB and takes up to {BATCH:.0} records, those of a second.", SINK_GB * 1_024.0),
        of_sums(sums),
        format!("Firehose reads the stream and counts each row as {:.0} KB or more.", STEP / KB),
        format!("Retention and number of tables are those of the Pipeline, {MONTH_HOURS:.0} hours a month."),
    ]
    .into()
}

/// How sums are written, and what that promises.
pub(super) fn of_sums(sums: Sums) -> String {
    match sums {
        Sums::ByRow => "Sums are an update for each row, unguarded: a batch that is repeated counts twice.".to_owned(),
        Sums::ByBatch => {
            "Sums are added up by key in each batch, unguarded: a batch that is repeated counts twice.".to_owned()
        }
    }
}
