//! The operator's side: everything is created, changed, adopted and deleted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use penstock_api::plan::{BillingPlan, EncryptionPlan, Resources};
use penstock_api::spec::{DeletionPolicy, Existing, StreamMode};
use penstock_provision::{Clients, Doomed, Kind, Options, provision, remove};

use super::gate::Gate;
use super::policy::Policy;
use super::{Account, clients, plan_of, policy_of};

const PIPELINE: &str = r#"
apiVersion: penstock.dev/v1alpha1
kind: Pipeline
metadata: { name: orders, namespace: shop }
spec:
  aws: { region: eu-west-1 }
  sources:
    - { name: web, to: events, http: { path: /orders }, partitionKey: "{InvoiceNo}" }
    - { name: desk, to: older, http: { path: /desk }, partitionKey: "{InvoiceNo}" }
  buffers:
    - { name: events, kinesis: { mode: Provisioned, shards: 1, deletionPolicy: Delete } }
    - name: older
      kinesis: { streamName: was-there, mode: Provisioned, shards: 1, existing: Adopt, deletionPolicy: Delete }
  sinks:
    - { name: raw, from: older, s3: { bucket: lake, key: "raw/" } }
    - name: tables
      from: events
      dynamodb:
        tables:
          - { name: bought, partition: { field: InvoiceNo, type: S }, write: put, ttl: { field: until }, pointInTimeRecovery: false, deletionPolicy: Delete }
          - { name: was-there, partition: { field: Id, type: S }, write: put, existing: Adopt, deletionPolicy: Delete }
      deadLetters: { bucket: bin }
"#;

/// What a sink was registered as that the Pipeline has no more.
const CONSUMER: &str = "shop.orders.gone";

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_works_with_what_its_policy_grants_and_asks_for_all_of_it() {
    let account = Account::start();
    let file = account.folder.path().join("pipeline.yaml");
    std::fs::write(&file, PIPELINE).unwrap();
    let mut resources: Resources = serde_json::from_value(plan_of(&file)["resources"].clone()).unwrap();
    let policy = policy_of(&file, "operator");
    let gate = Gate::open(account.engines.endpoint(), policy.clone()).await.unwrap();
    let (free, behind) = (account.clients().await, clients(gate.endpoint()).await);
    let options = Options { reshape: true, existing: Existing::Refuse, ..Options::default() };

    bring_what_was_there(&free).await;
    provision(&resources, &behind, &options).await.unwrap();
    assert_tags_are_those_of_the_conditions(&policy, &free).await;

    resources.streams[0].shards = Some(2);
    resources.streams[0].retention_hours = 48;
    resources.streams[1].mode = StreamMode::OnDemand;
    resources.streams[1].shards = None;
    resources.streams[0].max_record_kib = Some(2048);
    resources.streams[0].encryption = Some(EncryptionPlan::Kms("alias/aws/kinesis".to_owned()));
    let bought = resources.tables.iter_mut().find(|table| table.name == "bought").unwrap();
    bought.billing = Some(BillingPlan::Provisioned { read: 5, write: 5 });
    bought.point_in_time_recovery = Some(true);
    provision(&resources, &behind, &options).await.unwrap();
    resources.streams[0].retention_hours = 24;
    resources.streams[0].may_shorten = true;
    resources.streams[0].encryption = Some(EncryptionPlan::None);
    provision(&resources, &behind, &options).await.unwrap();
    register_consumer(&resources.streams[0].name, &free).await;
    delete(&resources, &behind, &options).await;
    assert!(free.kinesis.list_streams().send().await.unwrap().stream_names.is_empty());

    let asked = gate.asked();
    assert!(asked.denied.is_empty(), "denied: {:#?}", asked.denied);
    let unused: BTreeSet<_> = policy.grants_at_all().difference(&asked.used).cloned().collect();
    assert_eq!(unused, BTreeSet::new());
}

/// What nobody tagged, and what the operator never creates.
async fn bring_what_was_there(free: &Clients) {
    for bucket in ["lake", "bin"] {
        let region = aws_sdk_s3::types::BucketLocationConstraint::from(super::REGION);
        let configuration = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(region).build();
        free.s3.create_bucket().bucket(bucket).create_bucket_configuration(configuration).send().await.unwrap();
    }
    free.kinesis.create_stream().stream_name("was-there").shard_count(1).send().await.unwrap();
    let key = AttributeDefinition::builder().attribute_name("Id").attribute_type(ScalarAttributeType::S).build();
    let hash = KeySchemaElement::builder().attribute_name("Id").key_type(KeyType::Hash).build();
    free.dynamodb
        .create_table()
        .table_name("was-there")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(key.unwrap())
        .key_schema(hash.unwrap())
        .send()
        .await
        .unwrap();
}

/// What may be deleted only where it is tagged carries the tags.
async fn assert_tags_are_those_of_the_conditions(policy: &Policy, free: &Clients) {
    let mut seen = 0;
    for statement in policy.statement.iter().filter(|statement| statement.sid.starts_with("Delete")) {
        let condition = statement.condition.as_ref().expect("a condition");
        for arn in &statement.resource {
            let name = arn.rsplit('/').next().unwrap();
            let tags = tags_of(name, arn.contains(":kinesis:"), free).await;
            for (key, value) in &condition.string_equals {
                let key = key.strip_prefix("aws:ResourceTag/").expect("a condition on a tag");
                assert!(tags.contains(&(key.to_owned(), value.clone())), "{name} has {tags:?}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 12, "two tags on two streams and four tables, and there are {seen}");
}

async fn tags_of(name: &str, is_stream: bool, free: &Clients) -> Vec<(String, String)> {
    if is_stream {
        let answer = free.kinesis.list_tags_for_stream().stream_name(name).send().await.unwrap();
        return answer.tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect();
    }
    let table = free.dynamodb.describe_table().table_name(name).send().await.unwrap().table.unwrap();
    let arn = table.table_arn.unwrap();
    let answer = free.dynamodb.list_tags_of_resource().resource_arn(arn).send().await.unwrap();
    answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect()
}

async fn register_consumer(stream: &str, free: &Clients) {
    let described = free.kinesis.describe_stream_summary().stream_name(stream).send().await.unwrap();
    let arn = described.stream_description_summary.unwrap().stream_arn;
    free.kinesis.register_stream_consumer().stream_arn(arn).consumer_name(CONSUMER).send().await.unwrap();
}

async fn delete(resources: &Resources, behind: &Clients, options: &Options) {
    let streams = resources.streams.iter().map(|plan| (Kind::Stream, &plan.name, plan.deletion_policy));
    let tables = resources.tables.iter().map(|plan| (Kind::Table, &plan.name, plan.deletion_policy));
    let named = streams
        .chain(tables)
        .filter(|(_, _, policy)| *policy == DeletionPolicy::Delete)
        .map(|(kind, name, _)| Doomed::new(kind, name));
    let stream = Some(resources.streams[0].name.clone());
    let consumer = Doomed { stream, ..Doomed::new(Kind::Consumer, CONSUMER) };
    let doomed: Vec<_> = [consumer].into_iter().chain(named).collect();
    let owner = &resources.streams[0].owner;
    let began = Instant::now();
    loop {
        let removed = remove(&doomed, owner, behind, options).await;
        if removed.iter().all(|resource| resource.state.is_done()) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{removed:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
