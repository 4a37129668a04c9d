//! What is deleted, and what is not.

use std::time::Duration;

use penstock_api::plan::Resources;
use penstock_provision::{Clients, Doomed, Kind, Options, Removal, Removed, provision, remove};
use tokio::time::{Instant, sleep};

use super::account::{account, drift, engines, operators, pipeline, resources};

fn everything(resources: &Resources) -> Vec<Doomed> {
    let streams = resources.streams.iter().map(|plan| Doomed::new(Kind::Stream, &plan.name));
    let tables = resources.tables.iter().map(|plan| Doomed::new(Kind::Table, &plan.name));
    streams.chain(tables).collect()
}

/// A step at a time until nothing moves.
async fn removed(doomed: &[Doomed], of: &str, clients: &Clients) -> Vec<Removed> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let removed = remove(doomed, &pipeline(of), clients, &operators()).await;
        if removed.iter().all(|one| !matches!(one.state, Removal::Waiting(_) | Removal::Failing(_))) {
            return removed;
        }
        assert!(Instant::now() < deadline, "it does not settle: {removed:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn names(clients: &Clients) -> Vec<String> {
    let streams = clients.kinesis.list_streams().send().await.unwrap().stream_names;
    let tables = clients.dynamodb.list_tables().send().await.unwrap().table_names.unwrap();
    streams.into_iter().chain(tables).collect()
}

#[tokio::test]
async fn what_is_tagged_as_ours_goes_with_its_registered_consumers_and_is_gone_when_asked_again() {
    let account = account().await;
    let resources = resources("ecommerce");
    provision(&resources, &account.clients, &engines()).await.unwrap();
    let stream = account.clients.kinesis.describe_stream_summary().stream_name("events").send().await.unwrap();
    let arn = stream.stream_description_summary.unwrap().stream_arn;
    account.clients.kinesis.register_stream_consumer().stream_arn(arn).consumer_name("fan-out").send().await.unwrap();
    for _ in 0..2 {
        let removed = removed(&everything(&resources), "ecommerce", &account.clients).await;
        assert!(removed.iter().all(|one| matches!(one.state, Removal::Gone)), "{removed:?}");
        assert!(names(&account.clients).await.is_empty());
    }
}

#[tokio::test]
async fn what_is_another_pipelines_or_anothers_cluster_stays() {
    let account = account().await;
    let resources = resources("ecommerce");
    provision(&resources, &account.clients, &engines()).await.unwrap();
    let before = names(&account.clients).await;
    let doomed = everything(&resources);
    for removed in [
        removed(&doomed, "copy", &account.clients).await,
        remove(
            &doomed,
            &pipeline("ecommerce"),
            &account.clients,
            &Options { cluster: Some("east".to_owned()), ..operators() },
        )
        .await,
    ] {
        assert!(removed.iter().all(|one| matches!(one.state, Removal::NotOurs)), "{removed:?}");
    }
    assert_eq!(names(&account.clients).await, before);
}

#[tokio::test]
async fn a_consumer_is_deregistered_and_its_stream_and_other_consumers_stay() {
    let account = account().await;
    let resources = resources("ecommerce");
    provision(&resources, &account.clients, &engines()).await.unwrap();
    let kinesis = &account.clients.kinesis;
    let stream = kinesis.describe_stream_summary().stream_name("events").send().await.unwrap();
    let arn = stream.stream_description_summary.unwrap().stream_arn;
    let (ours, another) = ("shop.ecommerce.raw", "shop.ecommerce-2.raw");
    for consumer in [ours, another] {
        kinesis.register_stream_consumer().stream_arn(&arn).consumer_name(consumer).send().await.unwrap();
    }
    let doomed = [Doomed { stream: Some("events".to_owned()), ..Doomed::new(Kind::Consumer, ours) }];
    for _ in 0..2 {
        let removed = removed(&doomed, "ecommerce", &account.clients).await;
        assert!(matches!(removed[0].state, Removal::Gone), "{removed:?}");
        let left = kinesis.list_stream_consumers().stream_arn(&arn).send().await.unwrap().consumers.unwrap();
        assert_eq!(left.iter().map(|consumer| &*consumer.consumer_name).collect::<Vec<_>>(), [another]);
    }
    let not_ours = [Doomed { stream: Some("events".to_owned()), ..Doomed::new(Kind::Consumer, another) }];
    assert!(matches!(removed(&not_ours, "ecommerce", &account.clients).await[0].state, Removal::NotOurs));
    let gone = [Doomed { stream: Some("not-there".to_owned()), ..doomed[0].clone() }];
    assert!(matches!(removed(&gone, "ecommerce", &account.clients).await[0].state, Removal::Gone));
}

#[tokio::test]
async fn a_protected_table_is_not_deleted_and_says_why() {
    let account = account().await;
    let mut resources = resources("ecommerce");
    resources.tables[0].deletion_protection = Some(true);
    drift(&resources, &account.clients, 1).await;
    let doomed = [Doomed::new(Kind::Table, &resources.tables[0].name)];
    let refused = removed(&doomed, "ecommerce", &account.clients).await;
    let Removal::Failed(error) = &refused[0].state else { panic!("{refused:?}") };
    assert!(error.to_string().contains("protect"), "{error}");

    resources.tables[0].deletion_protection = Some(false);
    drift(&resources, &account.clients, 1).await;
    let gone = removed(&doomed, "ecommerce", &account.clients).await;
    assert!(matches!(gone[0].state, Removal::Gone), "{gone:?}");
}
