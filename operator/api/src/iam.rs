//! The least IAM policies that a Pipeline works with: one for the operator, one for each stage.
//!
//! They follow from the [`Plan`] that `penstock run` and the operator carry out, so they name its streams, tables and
//! buckets and nothing else. Which calls are made stands in [`actions`]; a test runs stages and operator behind a gate
//! that lets through what these policies grant, and compares what was granted with what was asked for.

pub mod actions;
mod arn;
mod policy;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::{
    ApiStage, BucketPlan, PipelineRef, Plan, SinkStage, SinkTarget, StageConfig, StageKind, TablePurpose, WriteTarget,
};
use crate::spec::{Answer, DeletionPolicy};

use arn::Arns;
pub use arn::{Account, NoAccount};
use policy::Statement;
pub use policy::{Policy, merged};

/// The policies of one Pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policies {
    /// The operator's, or that of whoever runs `penstock run --aws`.
    pub operator: Policy,
    /// Each stage's, by the stage's name.
    pub stages: BTreeMap<String, Policy>,
}

/// The tags by which a resource is known as a Pipeline's, as the code that creates resources writes them.
const NAMESPACE_TAG: &str = "penstock.dev/namespace";
const PIPELINE_TAG: &str = "penstock.dev/pipeline";

/// The policies of the plan of one Pipeline. Pure.
#[must_use]
pub fn policies(plan: &Plan, account: &Account) -> Policies {
    let stages = plan.stages.iter().map(|stage| (stage.name.clone(), of_stage(stage, account)));
    Policies { operator: of_operator(plan, account), stages: stages.collect() }
}

/// What the operator may do in the life of the Pipeline: changes of its spec and draining included, deletion only where
/// the Pipeline asks for it.
fn of_operator(plan: &Plan, account: &Account) -> Policy {
    // All stages of a Pipeline are in one region. Without a stage there is nothing to be allowed.
    let Some(first) = plan.stages.first() else { return Policy::of(Vec::new()) };
    let arns = Arns::new(&first.aws.region, account);
    let resources = &plan.resources;
    let streams: Vec<_> = resources.streams.iter().map(|stream| arns.stream(&stream.name)).collect();
    let tables: Vec<_> = resources.tables.iter().map(|table| arns.table(&table.name)).collect();
    let leases = resources.tables.iter().filter(|table| matches!(table.purpose, TablePurpose::Leases { .. }));
    let data = resources.tables.iter().filter(|table| table.purpose == TablePurpose::Data);
    let recovered = resources.tables.iter().filter(|table| table.point_in_time_recovery.is_some());
    let ours = [(NAMESPACE_TAG, first.pipeline.namespace.as_str()), (PIPELINE_TAG, first.pipeline.name.as_str())];
    let doomed_streams = resources.streams.iter().filter(|stream| stream.deletion_policy == DeletionPolicy::Delete);
    let doomed_tables = resources.tables.iter().filter(|table| table.deletion_policy == DeletionPolicy::Delete);
    Policy::of(vec![
        Statement::new("Streams", actions::KEEP_STREAM, streams.clone()),
        Statement::new("Tables", actions::KEEP_TABLE, tables),
        Statement::new("TimeToLive", actions::KEEP_TTL, data.map(|table| arns.table(&table.name)).collect()),
        Statement::new("Recovery", actions::KEEP_RECOVERY, recovered.map(|table| arns.table(&table.name)).collect()),
        Statement::new("Buckets", actions::LOOK_AT_BUCKET, buckets(&resources.buckets, &arns)),
        Statement::new("DrainStreams", actions::DRAIN_STREAM, streams),
        Statement::new("DrainLeases", actions::DRAIN_LEASES, leases.map(|table| arns.table(&table.name)).collect()),
        Statement::new("Deregister", actions::DEREGISTER_CONSUMER, consumers(plan, &first.pipeline, &arns)),
        Statement::new(
            "DeleteStreams",
            actions::DELETE_STREAM,
            doomed_streams.map(|stream| arns.stream(&stream.name)).collect(),
        )
        .where_tagged(&ours),
        Statement::new(
            "DeleteTables",
            actions::DELETE_TABLE,
            doomed_tables.map(|table| arns.table(&table.name)).collect(),
        )
        .where_tagged(&ours),
    ])
}

/// Those that sinks are registered as, and those that sinks were which the Pipeline has no more: their names all begin so.
fn consumers(plan: &Plan, pipeline: &PipelineRef, arns: &Arns<'_>) -> Vec<String> {
    let ours = format!("{}.{}.", pipeline.namespace, pipeline.name);
    let by_default = plan.resources.streams.iter().map(|stream| arns.consumer(&stream.name, &format!("{ours}*")));
    let named = |stage: &StageConfig| match &stage.kind {
        StageKind::Sink(sink) => {
            let consumer = sink.fan_out_consumer.as_ref().filter(|consumer| !consumer.starts_with(&ours))?;
            Some(arns.consumer(&sink.stream, consumer))
        }
        StageKind::Http(_) | StageKind::Api(_) => None,
    };
    by_default.chain(plan.stages.iter().filter_map(named)).collect()
}

fn buckets(plans: &[BucketPlan], arns: &Arns<'_>) -> Vec<String> {
    plans.iter().map(|bucket| arns.bucket(&bucket.name)).collect()
}

fn of_stage(stage: &StageConfig, account: &Account) -> Policy {
    let arns = Arns::new(&stage.aws.region, account);
    match &stage.kind {
        StageKind::Http(http) => {
            Policy::of(vec![Statement::new("WriteStream", actions::WRITE_STREAM, vec![arns.stream(&http.stream)])])
        }
        StageKind::Sink(sink) => of_sink(sink, &arns),
        StageKind::Api(api) => of_api(api, &arns),
    }
}

fn of_sink(sink: &SinkStage, arns: &Arns<'_>) -> Policy {
    let mut statements = vec![
        Statement::new("ReadStream", actions::READ_STREAM, vec![arns.stream(&sink.stream)]),
        Statement::new("Leases", actions::LEASES, vec![arns.table(&sink.lease_table)]),
    ];
    if let Some(consumer) = &sink.fan_out_consumer {
        let (stream, consumer) = (arns.stream(&sink.stream), arns.consumer(&sink.stream, consumer));
        statements.push(Statement::new("Register", actions::REGISTER_CONSUMER, vec![stream]));
        statements.push(Statement::new("Subscribe", actions::SUBSCRIBE, vec![consumer]));
    }
    match &sink.target {
        SinkTarget::S3(s3) => {
            let objects = arns.objects(&s3.bucket, &fixed_part(&s3.key));
            statements.push(Statement::new("Objects", actions::WRITE_OBJECTS, vec![objects]));
            // Without it S3 says of an object that is missing that it is denied.
            statements.push(Statement::new("Missing", actions::TELL_MISSING, vec![arns.bucket(&s3.bucket)]));
        }
        SinkTarget::DynamoDb(dynamodb) => {
            let written = |puts: bool| {
                let tables = dynamodb.tables.iter().filter(move |table| (table.write == WriteTarget::Put) == puts);
                tables.map(|table| arns.table(&table.name)).collect()
            };
            statements.push(Statement::new("Items", actions::PUT_ITEMS, written(true)));
            statements.push(Statement::new("Sums", actions::ADD_TO_ITEMS, written(false)));
        }
    }
    let dead_letters = arns.objects(&sink.dead_letters_bucket, &sink.dead_letters_prefix);
    statements.push(Statement::new("DeadLetters", actions::WRITE_DEAD_LETTERS, vec![dead_letters]));
    Policy::of(statements)
}

/// Reading, of the tables of its routes only: single items where a route answers one, queries where it answers several.
fn of_api(api: &ApiStage, arns: &Arns<'_>) -> Policy {
    let tables = |one: bool| {
        let routes = api.routes.iter().filter(move |route| (route.answer == Answer::Item) == one);
        routes.map(|route| arns.table(&route.table)).collect()
    };
    Policy::of(vec![
        Statement::new("GetItems", actions::GET_ITEMS, tables(true)),
        Statement::new("QueryItems", actions::QUERY_ITEMS, tables(false)),
    ])
}

/// What all keys of a template begin with: everything before its first placeholder. `{{` stands for a brace.
fn fixed_part(template: &str) -> String {
    let mut fixed = String::new();
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.peek() == Some(&letter) => {
                letters.next();
                fixed.push(letter);
            }
            '{' => break,
            other => fixed.push(other),
        }
    }
    fixed
}

#[cfg(test)]
mod tests;
