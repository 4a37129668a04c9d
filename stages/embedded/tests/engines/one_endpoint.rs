//! All three services answer on one endpoint, to the official SDKs.

use crate::common::{Local, create_stream, options};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType;
use penstock_embedded::{Engines, Limits};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_items_and_objects_are_kept_across_a_restart() {
    let mut local = Local::start(Limits::Enforced).await;
    let kinesis = local.kinesis();
    create_stream(&kinesis, "orders", 1).await;
    kinesis.put_record().stream_name("orders").partition_key("k").data(Blob::new("hello")).send().await.unwrap();
    create_table(&local.dynamodb()).await;
    let item = |n: &str| AttributeValue::S(n.into());
    local.dynamodb().put_item().table_name("items").item("id", item("1")).item("v", item("x")).send().await.unwrap();
    local.s3().create_bucket().bucket("lake").send().await.unwrap();
    local.s3().put_object().bucket("lake").key("a/b").body("body".as_bytes().to_vec().into()).send().await.unwrap();

    local.restart().await;

    let kinesis = local.kinesis();
    let iterator = kinesis
        .get_shard_iterator()
        .stream_name("orders")
        .shard_id("shardId-000000000000")
        .shard_iterator_type(ShardIteratorType::TrimHorizon)
        .send()
        .await
        .unwrap();
    let records = kinesis.get_records().shard_iterator(iterator.shard_iterator().unwrap()).send().await.unwrap();
    assert_eq!(records.records().len(), 1);
    assert_eq!(records.records()[0].data().as_ref(), b"hello");
    assert_eq!(records.millis_behind_latest(), Some(0));
    let read = local.dynamodb().get_item().table_name("items").key("id", item("1")).send().await.unwrap();
    assert_eq!(read.item().unwrap()["v"], item("x"));
    let object = local.s3().get_object().bucket("lake").key("a/b").send().await.unwrap();
    assert_eq!(object.body.collect().await.unwrap().into_bytes().as_ref(), b"body");
    local.engines.take().unwrap().stop().await;
}

async fn create_table(client: &aws_sdk_dynamodb::Client) {
    client
        .create_table()
        .table_name("items")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(
            AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S).build().unwrap(),
        )
        .key_schema(KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap())
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_second_engine_on_the_same_folder_is_refused_with_the_cure() {
    let local = Local::start(Limits::SizesOnly).await;
    let error = Engines::start(options(local.dir.path(), Limits::SizesOnly)).await.unwrap_err();
    assert_eq!(error.reason(), "data_folder_held");
    let text = error.to_string();
    assert!(text.contains(&local.dir.path().display().to_string()), "{text}");
    assert!(text.contains("choose another folder"), "{text}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let local = Local::start(Limits::SizesOnly).await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), Limits::SizesOnly);
    options.listen = local.engines.as_ref().unwrap().addr();
    let error = Engines::start(options).await.unwrap_err();
    assert_eq!(error.reason(), "address_in_use");
    assert!(error.to_string().contains("Choose another port"));
}
