//! What is changed in place, a step at a time.

use aws_sdk_dynamodb::types::{
    AttributeValue, BillingMode, PointInTimeRecoveryStatus, TableDescription, TimeToLiveStatus,
};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::StreamDescriptionSummary;
use penstock_api::plan::{BillingPlan, EncryptionPlan};
use penstock_api::spec::StreamMode;
use penstock_provision::{Clients, has_stored};

use super::account::{account, drift, resources};

const NOTHING: (bool, String) = (false, String::new());

async fn stream(clients: &Clients) -> StreamDescriptionSummary {
    let answer = clients.kinesis.describe_stream_summary().stream_name("events").send().await.unwrap();
    answer.stream_description_summary.unwrap()
}

async fn table(clients: &Clients) -> TableDescription {
    clients.dynamodb.describe_table().table_name("ecommerce-invoices").send().await.unwrap().table.unwrap()
}

#[tokio::test]
async fn a_stream_is_encrypted_with_another_key_and_not_at_all() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    for (wanted, expected) in [
        (Some(EncryptionPlan::Kms("alias/aws/kinesis".to_owned())), Some("alias/aws/kinesis")),
        (Some(EncryptionPlan::Kms("alias/orders".to_owned())), Some("alias/orders")),
        (None, Some("alias/orders")),
        (Some(EncryptionPlan::None), None),
    ] {
        resources.streams[0].encryption = wanted;
        assert_eq!(drift(&resources, &account.clients, 0).await, NOTHING);
        assert_eq!(stream(&account.clients).await.key_id.as_deref(), expected);
    }
}

#[tokio::test]
async fn a_stream_takes_the_records_that_it_is_to_take_from_its_creation_on() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    resources.streams[0].max_record_kib = Some(2048);
    assert_eq!(drift(&resources, &account.clients, 0).await, NOTHING);
    assert_eq!(stream(&account.clients).await.max_record_size_in_kib, Some(2048));
    let large = || Blob::new(vec![7; 3 << 20]);
    let put = || account.clients.kinesis.put_record().stream_name("events").partition_key("a").data(large()).send();
    assert!(put().await.is_err());

    resources.streams[0].max_record_kib = Some(10_240);
    assert_eq!(drift(&resources, &account.clients, 0).await, NOTHING);
    put().await.unwrap();

    resources.streams[0].max_record_kib = Some(1024);
    let (deferred, said) = drift(&resources, &account.clients, 0).await;
    assert!(!deferred && said.contains("not lowered"), "{said}");
    assert_eq!(stream(&account.clients).await.max_record_size_in_kib, Some(10_240));
}

#[tokio::test]
async fn a_retention_becomes_shorter_where_no_sink_misses_a_record() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    resources.streams[0].retention_hours = 72;
    assert_eq!(drift(&resources, &account.clients, 0).await, NOTHING);
    let put = account.clients.kinesis.put_record().stream_name("events").partition_key("a").data(Blob::new("x"));
    put.send().await.unwrap();
    let leases = &resources.streams[0].readers[0];
    assert!(!has_stored("events", leases, None, &account.clients).await.unwrap(), "nobody has stored the record");

    // It is younger than what a shorter retention deletes.
    resources.streams[0].retention_hours = 48;
    resources.streams[0].may_shorten = false;
    let (_, said) = drift(&resources, &account.clients, 0).await;
    assert!(said.contains("keeps records 72 h"), "{said}");
    resources.streams[0].may_shorten = true;
    assert_eq!(drift(&resources, &account.clients, 0).await, NOTHING);
    assert_eq!(stream(&account.clients).await.retention_period_hours, 48);
}

/// What a sink that begins with what comes next has written of a shard before its first record.
async fn begin_at(clients: &Clients, lease_table: &str, shard: &str, millis: i64) {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let row = clients.dynamodb.put_item().table_name(lease_table).item("leaseKey", text(shard));
    let row = row.item("checkpoint", text("AT_TIMESTAMP"));
    row.item("penstockStartAtMillis", AttributeValue::N(millis.to_string())).send().await.unwrap();
}

/// Puts a record; gives its shard.
async fn put(clients: &Clients) -> String {
    let put = clients.kinesis.put_record().stream_name("events").partition_key("a").data(Blob::new("x"));
    put.send().await.unwrap().shard_id
}

#[tokio::test]
async fn a_sink_that_begins_with_what_comes_next_has_not_stored_what_came_since() {
    let account = account().await;
    let resources = resources("ecommerce");
    assert_eq!(drift(&resources, &account.clients, 0).await, NOTHING);
    let leases = &resources.streams[0].readers[0];
    let shard = put(&account.clients).await;
    begin_at(&account.clients, leases, &shard, 0).await;
    assert!(!has_stored("events", leases, None, &account.clients).await.unwrap(), "the record came after the begin");
}

#[tokio::test]
async fn what_was_in_shards_before_a_sink_began_with_their_children_is_not_missing() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    assert_eq!(drift(&resources, &account.clients, 0).await, NOTHING);
    let parent = put(&account.clients).await;
    resources.streams[0].shards = Some(4);
    assert_eq!(drift(&resources, &account.clients, 0).await, NOTHING);
    let leases = &resources.streams[0].readers[0];
    assert!(!has_stored("events", leases, None, &account.clients).await.unwrap(), "nobody has begun");
    let listed = account.clients.kinesis.list_shards().stream_name("events").send().await.unwrap().shards.unwrap();
    for child in listed.iter().filter(|shard| shard.parent_shard_id.is_some()) {
        begin_at(&account.clients, leases, &child.shard_id, 0).await;
    }
    assert!(has_stored("events", leases, None, &account.clients).await.unwrap(), "the record is in {parent}");
}

#[tokio::test]
async fn a_stream_comes_to_its_shards_in_the_steps_that_aws_allows_and_no_further_than_a_day_lets_it() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    for shards in [2, 9, 1] {
        resources.streams[0].shards = Some(shards);
        assert_eq!(drift(&resources, &account.clients, 0).await, NOTHING);
        assert_eq!(stream(&account.clients).await.open_shard_count, i32::try_from(shards).unwrap());
    }
    // 2 to 9 and 9 to 1 took seven steps.
    resources.streams[0].shards = Some(64);
    let (deferred, said) = drift(&resources, &account.clients, 0).await;
    assert!(deferred && said.contains("it has 8 open shards and the Pipeline says 64"), "{said}");
    assert!(said.contains("ten times in 24 hours"), "{said}");
}

#[tokio::test]
async fn a_mode_is_changed_as_often_as_a_day_lets_it() {
    let account = account().await;
    let with = |mode, shards| {
        let mut resources = resources("ecommerce");
        (resources.streams[0].mode, resources.streams[0].shards) = (mode, shards);
        resources
    };
    let (provisioned, on_demand) = (with(StreamMode::Provisioned, Some(4)), with(StreamMode::OnDemand, None));
    for resources in [&provisioned, &on_demand, &provisioned] {
        assert_eq!(drift(resources, &account.clients, 0).await, NOTHING);
    }
    let (deferred, said) = drift(&on_demand, &account.clients, 0).await;
    assert!(deferred && said.contains("its mode is Provisioned and the Pipeline says OnDemand"), "{said}");
    assert!(said.contains("twice in 24 hours"), "{said}");
}

#[tokio::test]
async fn a_table_is_paid_for_in_another_way() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    let provisioned = |read, write| Some(BillingPlan::Provisioned { read, write });
    for (wanted, expected) in [
        (None, None),
        (provisioned(5, 6), Some((5, 6))),
        (provisioned(5, 9), Some((5, 9))),
        (None, Some((5, 9))),
        (Some(BillingPlan::OnDemand), None),
    ] {
        resources.tables[0].billing = wanted;
        assert_eq!(drift(&resources, &account.clients, 1).await, NOTHING);
        let table = table(&account.clients).await;
        let on_demand =
            table.billing_mode_summary.and_then(|summary| summary.billing_mode) == Some(BillingMode::PayPerRequest);
        let capacity = table.provisioned_throughput.unwrap();
        let units = (capacity.read_capacity_units.unwrap(), capacity.write_capacity_units.unwrap());
        assert_eq!((!on_demand).then_some(units), expected, "after {wanted:?}");
    }
}

#[tokio::test]
async fn a_table_is_created_with_a_capacity() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    resources.tables[0].billing = Some(BillingPlan::Provisioned { read: 7, write: 8 });
    assert_eq!(drift(&resources, &account.clients, 1).await, NOTHING);
    assert_eq!(table(&account.clients).await.provisioned_throughput.unwrap().write_capacity_units, Some(8));
}

#[tokio::test]
async fn backups_are_switched_on_and_off() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    for (wanted, expected) in [(Some(true), true), (None, true), (Some(false), false)] {
        resources.tables[0].point_in_time_recovery = wanted;
        assert_eq!(drift(&resources, &account.clients, 1).await, NOTHING);
        let answer = account.clients.dynamodb.describe_continuous_backups().table_name("ecommerce-invoices").send();
        let backups = answer.await.unwrap().continuous_backups_description.unwrap();
        let status = backups.point_in_time_recovery_description.unwrap().point_in_time_recovery_status;
        assert_eq!(status == Some(PointInTimeRecoveryStatus::Enabled), expected, "after {wanted:?}");
    }
}

#[tokio::test]
async fn a_time_to_live_gets_another_attribute_and_is_switched_off() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    for wanted in [Some("expires"), Some("until"), None, Some("until")] {
        resources.tables[0].ttl_attribute = wanted.map(str::to_owned);
        assert_eq!(drift(&resources, &account.clients, 1).await, NOTHING);
        let answer = account.clients.dynamodb.describe_time_to_live().table_name("ecommerce-invoices").send();
        let ttl = answer.await.unwrap().time_to_live_description.unwrap();
        let on = matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
        assert_eq!(on.then_some(ttl.attribute_name).flatten().as_deref(), wanted);
    }
}
