//! The DynamoDB engine, through the official SDK: what the stages rely on.

use std::collections::HashMap;

use crate::common::{Local, code, until};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
    PutRequest, ScalarAttributeType, TimeToLiveSpecification, WriteRequest,
};
use penstock_embedded::Limits;

async fn create(client: &Client) {
    let attribute = |name: &str| {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        attribute.build().unwrap()
    };
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    client
        .create_table()
        .table_name("items")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("p"))
        .attribute_definitions(attribute("s"))
        .key_schema(key("p", KeyType::Hash))
        .key_schema(key("s", KeyType::Range))
        .send()
        .await
        .unwrap();
}

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_sums_and_batches_behave() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.dynamodb();
    create(&client).await;
    let add = |guard: u32| {
        client
            .update_item()
            .table_name("items")
            .key("p", s("a"))
            .key("s", s("b"))
            .update_expression("SET #g = :g ADD Amount :x")
            .condition_expression("attribute_not_exists(#g) OR #g < :g")
            .expression_attribute_names("#g", "guard")
            .expression_attribute_values(":g", s(format!("{guard:05}")))
            .expression_attribute_values(":x", n("0.1"))
            .send()
    };
    add(1).await.unwrap();
    add(2).await.unwrap();
    assert_eq!(code(&add(2).await.unwrap_err()), "ConditionalCheckFailedException");
    let item = client.get_item().table_name("items").key("p", s("a")).key("s", s("b")).send().await.unwrap();
    assert_eq!(item.item().unwrap()["Amount"], n("0.2"));
    let writes: Vec<WriteRequest> = (0..25)
        .map(|i| {
            let item = HashMap::from([("p".to_owned(), s("batch")), ("s".to_owned(), s(format!("{i:03}")))]);
            let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        })
        .collect();
    let batch = client.batch_write_item().request_items("items", writes).send().await.unwrap();
    assert!(batch.unprocessed_items().is_none_or(HashMap::is_empty));
    let query = client.query().table_name("items").key_condition_expression("p = :p");
    let query = query.expression_attribute_values(":p", s("batch")).send().await.unwrap();
    assert_eq!(query.count(), 25);
    let large = client.put_item().table_name("items").item("p", s("l")).item("s", s("l"));
    let large = large.item("x", s("x".repeat(400 * 1024))).send().await.unwrap_err();
    assert_eq!(code(&large), "ValidationException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_whose_time_is_over_are_removed() {
    let mut local = Local::start(Limits::SizesOnly).await;
    let client = local.dynamodb();
    create(&client).await;
    let specification = TimeToLiveSpecification::builder().attribute_name("ttl").enabled(true).build().unwrap();
    client.update_time_to_live().table_name("items").time_to_live_specification(specification).send().await.unwrap();
    for (key, ttl) in [("old", 1_000_000), ("new", 4_000_000_000_u64)] {
        let put = client.put_item().table_name("items").item("p", s(key)).item("s", s(key)).item("ttl", n(ttl));
        put.send().await.unwrap();
    }
    // Each start looks for such items at once.
    local.restart().await;
    let client = local.dynamodb();
    until("the removal of the expired item", || async {
        client.scan().table_name("items").send().await.unwrap().count() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_and_limits_are_answered() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.dynamodb();
    create(&client).await;
    let status = async || {
        let backups = client.describe_continuous_backups().table_name("items").send().await.unwrap();
        let backups = backups.continuous_backups_description().unwrap().clone();
        let status = backups.point_in_time_recovery_description().unwrap().point_in_time_recovery_status();
        status.unwrap().as_str().to_owned()
    };
    assert_eq!(status().await, "DISABLED");
    let specification = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true);
    let update = client.update_continuous_backups().table_name("items");
    update.point_in_time_recovery_specification(specification.build().unwrap()).send().await.unwrap();
    assert_eq!(status().await, "ENABLED");
    let missing = client.describe_continuous_backups().table_name("missing").send().await.unwrap_err();
    assert_eq!(code(&missing), "TableNotFoundException");
    let limits = client.describe_limits().send().await.unwrap();
    assert_eq!(limits.table_max_read_capacity_units(), Some(40_000));
}
