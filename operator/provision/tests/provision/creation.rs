//! What is created, found, refused, and left alone.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType as KeyRole, ScalarAttributeType, TimeToLiveStatus,
};
use penstock_provision::{Options, Origin, Report, provision};

use super::account::{account, engines, resources};

fn origins(report: &Report) -> Vec<Origin> {
    report.resources.iter().map(|resource| resource.origin).collect()
}

#[tokio::test]
async fn everything_is_created_once_and_found_after_that() {
    let account = account().await;
    let clients = &account.clients;
    let report = provision(&resources("ecommerce"), clients, &engines()).await.unwrap();
    assert_eq!(origins(&report), [Origin::Created; 4]);
    let names: Vec<_> = report.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["events", "ecommerce-invoices", "shop.ecommerce.tables.leases", "acme-lake"]);

    let summary = clients.kinesis.describe_stream_summary().stream_name("events").send().await.unwrap();
    let summary = summary.stream_description_summary.unwrap();
    assert_eq!((summary.open_shard_count, summary.retention_period_hours), (2, 48));
    let ttl = clients.dynamodb.describe_time_to_live().table_name("ecommerce-invoices").send().await.unwrap();
    let ttl = ttl.time_to_live_description.unwrap();
    assert_eq!(ttl.attribute_name.as_deref(), Some("expires"));
    assert!(matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)));
    let leases = clients.dynamodb.describe_table().table_name("shop.ecommerce.tables.leases").send().await.unwrap();
    let index = &leases.table.unwrap().global_secondary_indexes.unwrap()[0];
    assert_eq!(index.index_name.as_deref(), Some("LeaseOwnerToLeaseKeyIndex"));

    let report = provision(&resources("ecommerce"), clients, &Options::default()).await.unwrap();
    assert_eq!(origins(&report), [Origin::Owned, Origin::Owned, Origin::Owned, Origin::Foreign]);
    assert!(report.resources.iter().all(|resource| resource.drift.is_empty()));
}

#[tokio::test]
async fn two_that_create_at_the_same_time_both_succeed() {
    let account = account().await;
    let resources = resources("ecommerce");
    let options = engines();
    let one = provision(&resources, &account.clients, &options);
    let two = provision(&resources, &account.clients, &options);
    let (one, two) = tokio::join!(one, two);
    assert_eq!((one.unwrap().resources.len(), two.unwrap().resources.len()), (4, 4));
}

#[tokio::test]
async fn our_own_stream_gets_a_longer_retention_and_keeps_its_shards() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    provision(&resources, &account.clients, &engines()).await.unwrap();
    resources.streams[0].retention_hours = 72;
    resources.streams[0].shards = Some(4);
    let report = provision(&resources, &account.clients, &engines()).await.unwrap();
    assert_eq!(report.resources[0].origin, Origin::Owned);
    assert_eq!(report.resources[0].drift, ["it has 2 open shards and the Pipeline says 4"]);
    let summary = account.clients.kinesis.describe_stream_summary().stream_name("events").send().await.unwrap();
    assert_eq!(summary.stream_description_summary.unwrap().retention_period_hours, 72);
}

#[tokio::test]
async fn what_another_pipeline_made_is_used_when_it_fits() {
    let account = account().await;
    provision(&resources("ecommerce"), &account.clients, &engines()).await.unwrap();
    let report = provision(&resources("copy"), &account.clients, &engines()).await.unwrap();
    assert_eq!(origins(&report), [Origin::Foreign, Origin::Foreign, Origin::Created, Origin::Foreign]);

    let mut other_shape = resources("copy");
    other_shape.streams[0].shards = Some(8);
    let error = provision(&other_shape, &account.clients, &engines()).await.unwrap_err();
    assert_eq!(error.reason(), "resource_mismatch");
    assert!(error.to_string().contains("shop/ecommerce"), "{error}");
    let mut leases = resources("copy");
    leases.tables[1].name = "shop.ecommerce.tables.leases".to_owned();
    let error = provision(&leases, &account.clients, &engines()).await.unwrap_err();
    assert_eq!(error.reason(), "resource_owned_by_another");
}

#[tokio::test]
async fn a_table_with_another_key_is_refused_and_left_alone() {
    let account = account().await;
    let string = |name: &str| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build().unwrap()
    };
    account
        .clients
        .dynamodb
        .create_table()
        .table_name("ecommerce-invoices")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(string("id"))
        .key_schema(KeySchemaElement::builder().attribute_name("id").key_type(KeyRole::Hash).build().unwrap())
        .send()
        .await
        .unwrap();
    let error = provision(&resources("ecommerce"), &account.clients, &engines()).await.unwrap_err();
    assert_eq!(error.reason(), "resource_mismatch");
    let said = error.to_string();
    assert!(said.contains("ecommerce-invoices") && said.contains("\"InvoiceNo\" of type S"), "{said}");
}

#[tokio::test]
async fn a_bucket_is_not_created_where_that_is_not_allowed() {
    let account = account().await;
    let error = provision(&resources("ecommerce"), &account.clients, &Options::default()).await.unwrap_err();
    assert_eq!(error.reason(), "resource_missing");
    assert!(error.to_string().contains("acme-lake"), "{error}");
}
