//! Resharding, listing, consumers and settings, through the official SDK.

use crate::common::{Local, code, create_stream, until, until_active};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    ConsumerStatus, MetricsName, ScalingType, ShardFilter, ShardFilterType, ShardIteratorType, StartingPosition,
    StreamMode, StreamModeDetails, SubscribeToShardEventStream,
};
use penstock_embedded::Limits;

async fn put(client: &Client, key: &str, data: &str) -> (String, String) {
    let put = client.put_record().stream_name("s").partition_key(key).data(Blob::new(data)).send().await.unwrap();
    (put.shard_id().to_owned(), put.sequence_number().to_owned())
}

/// Reads one shard to where it ends now: records, and the children if it has ended.
async fn drain(client: &Client, shard: &str) -> (Vec<String>, Vec<(String, Vec<String>)>) {
    let iterator = client.get_shard_iterator().stream_name("s").shard_id(shard);
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
    let mut next = iterator.shard_iterator().map(str::to_owned);
    let mut texts = Vec::new();
    while let Some(token) = next {
        let answer = client.get_records().shard_iterator(token).send().await.unwrap();
        texts.extend(answer.records().iter().map(|r| String::from_utf8(r.data().as_ref().to_vec()).unwrap()));
        next = answer.next_shard_iterator().map(str::to_owned);
        if next.is_none() {
            let children = answer.child_shards().iter();
            return (texts, children.map(|c| (c.shard_id().to_owned(), c.parent_shards().to_vec())).collect());
        }
        if answer.millis_behind_latest() == Some(0) {
            break;
        }
    }
    (texts, Vec::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_ends_the_parent_and_its_reader_finds_the_children() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 1).await;
    let (_, before) = put(&client, "k", "before").await;
    let middle = (1_u128 << 127).to_string();
    let split = client.split_shard().stream_name("s").shard_to_split("shardId-000000000000");
    split.new_starting_hash_key(&middle).send().await.unwrap();
    let (shard, after) = put(&client, "k", "after").await;
    assert_ne!(shard, "shardId-000000000000");
    assert!(after > before);
    let (texts, children) = drain(&client, "shardId-000000000000").await;
    assert_eq!(texts, ["before"]);
    let parent = vec!["shardId-000000000000".to_owned()];
    assert_eq!(
        children,
        [("shardId-000000000001".to_owned(), parent.clone()), ("shardId-000000000002".into(), parent)]
    );
    assert_eq!(drain(&client, &shard).await.0, ["after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_has_one_child_with_two_parents() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 2).await;
    let merge = client.merge_shards().stream_name("s").shard_to_merge("shardId-000000000000");
    merge.adjacent_shard_to_merge("shardId-000000000001").send().await.unwrap();
    let (_, children) = drain(&client, "shardId-000000000001").await;
    let parents = vec!["shardId-000000000000".to_owned(), "shardId-000000000001".to_owned()];
    assert_eq!(children, [("shardId-000000000002".to_owned(), parents)]);
    let shards = client.list_shards().stream_name("s").send().await.unwrap();
    let child = shards.shards().last().unwrap();
    assert_eq!(child.parent_shard_id(), Some("shardId-000000000000"));
    assert_eq!(child.adjacent_parent_shard_id(), Some("shardId-000000000001"));
    assert!(shards.shards()[0].sequence_number_range().unwrap().ending_sequence_number().is_some());
    assert!(child.sequence_number_range().unwrap().ending_sequence_number().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_keeps_every_record_readable_by_following_children() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 2).await;
    let mut expected = Vec::new();
    for (round, target) in [3, 5, 4].into_iter().enumerate() {
        for n in 0..30 {
            let text = format!("{round}-{n}");
            put(&client, &format!("key-{n}"), &text).await;
            expected.push(text);
        }
        let update = client.update_shard_count().stream_name("s").target_shard_count(target);
        let update = update.scaling_type(ScalingType::UniformScaling).send().await.unwrap();
        assert_eq!(update.target_shard_count(), Some(target));
        until_active(&client, "s").await;
    }
    let open = client.list_shards().stream_name("s");
    let open = open.shard_filter(ShardFilter::builder().r#type(ShardFilterType::AtLatest).build().unwrap());
    assert_eq!(open.send().await.unwrap().shards().len(), 4);
    let mut found = Vec::new();
    let mut todo = vec!["shardId-000000000000".to_owned(), "shardId-000000000001".to_owned()];
    let mut done = std::collections::BTreeSet::new();
    while let Some(shard) = todo.pop() {
        if done.insert(shard.clone()) {
            let (texts, children) = drain(&client, &shard).await;
            found.extend(texts);
            todo.extend(children.into_iter().map(|(child, _)| child));
        }
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let refused = client.update_shard_count().stream_name("s").target_shard_count(9);
    let refused = refused.scaling_type(ScalingType::UniformScaling).send().await.unwrap_err();
    assert_eq!(code(&refused), "InvalidArgumentException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_have_pages_and_tokens_stand_alone() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    for name in ["a", "b", "c"] {
        client.create_stream().stream_name(name).shard_count(5).send().await.unwrap();
    }
    let page = client.list_streams().limit(2).send().await.unwrap();
    assert_eq!(page.stream_names(), ["a", "b"]);
    assert!(page.has_more_streams());
    let rest = client.list_streams().next_token(page.next_token().unwrap()).send().await.unwrap();
    assert_eq!(rest.stream_names(), ["c"]);
    assert_eq!(rest.stream_summaries()[0].stream_name(), "c");
    assert!(!rest.has_more_streams() && rest.next_token().is_none());

    let mut page = client.list_shards().stream_name("a").max_results(2).send().await.unwrap();
    let both = client.list_shards().stream_name("a").next_token(page.next_token().unwrap()).send().await.unwrap_err();
    assert_eq!(code(&both), "InvalidArgumentException");
    let mut shards: Vec<String> = page.shards().iter().map(|shard| shard.shard_id().to_owned()).collect();
    while let Some(token) = page.next_token() {
        page = client.list_shards().next_token(token).max_results(2).send().await.unwrap();
        shards.extend(page.shards().iter().map(|shard| shard.shard_id().to_owned()));
    }
    assert_eq!(shards, (0..5).map(|n| format!("shardId-{n:012}")).collect::<Vec<_>>());

    let described = client.describe_stream().stream_name("a").limit(3).send().await.unwrap();
    let description = described.stream_description().unwrap();
    assert_eq!(description.shards().len(), 3);
    assert!(description.has_more_shards());
    let rest = client.describe_stream().stream_name("a").exclusive_start_shard_id("shardId-000000000002");
    assert_eq!(rest.send().await.unwrap().stream_description().unwrap().shards().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_and_tags_are_kept_across_a_restart() {
    let mut local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 1).await;
    client.increase_stream_retention_period().stream_name("s").retention_period_hours(48).send().await.unwrap();
    until_active(&client, "s").await;
    client
        .start_stream_encryption()
        .stream_name("s")
        .encryption_type(aws_sdk_kinesis::types::EncryptionType::Kms)
        .key_id("alias/aws/kinesis")
        .send()
        .await
        .unwrap();
    until_active(&client, "s").await;
    client.add_tags_to_stream().stream_name("s").tags("owner", "x").tags("team", "y").send().await.unwrap();
    client.remove_tags_from_stream().stream_name("s").tag_keys("team").send().await.unwrap();
    let monitoring = client.enable_enhanced_monitoring().stream_name("s");
    monitoring.shard_level_metrics(MetricsName::All).send().await.unwrap();
    local.restart().await;
    let client = local.kinesis();
    let summary = client.describe_stream_summary().stream_name("s").send().await.unwrap();
    let summary = summary.stream_description_summary().unwrap();
    assert_eq!(summary.retention_period_hours(), 48);
    assert_eq!(summary.key_id(), Some("alias/aws/kinesis"));
    assert_eq!(summary.enhanced_monitoring()[0].shard_level_metrics().len(), 7);
    let tags = client.list_tags_for_stream().stream_name("s").send().await.unwrap();
    assert_eq!(tags.tags().len(), 1);
    assert_eq!((tags.tags()[0].key(), tags.tags()[0].value()), ("owner", Some("x")));
    let arn = summary.stream_arn().to_owned();
    client.tag_resource().resource_arn(&arn).tags("more", "z").send().await.unwrap();
    let tags = client.list_tags_for_resource().resource_arn(&arn).send().await.unwrap();
    assert_eq!(tags.tags().len(), 2);
    client
        .update_stream_mode()
        .stream_arn(&arn)
        .stream_mode_details(StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap())
        .send()
        .await
        .unwrap();
    until_active(&client, "s").await;
    let split = client.update_shard_count().stream_name("s").target_shard_count(2);
    let split = split.scaling_type(ScalingType::UniformScaling).send().await.unwrap_err();
    assert_eq!(code(&split), "ValidationException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registered_consumer_is_pushed_records_to_the_end_of_the_shard() {
    let local = Local::start(Limits::SizesOnly).await;
    let client = local.kinesis();
    create_stream(&client, "s", 1).await;
    let arn = client.describe_stream_summary().stream_name("s").send().await.unwrap();
    let arn = arn.stream_description_summary().unwrap().stream_arn().to_owned();
    let consumer = client.register_stream_consumer().stream_arn(&arn).consumer_name("fan").send().await.unwrap();
    let consumer = consumer.consumer().unwrap().consumer_arn().to_owned();
    let again = client.register_stream_consumer().stream_arn(&arn).consumer_name("fan").send().await.unwrap_err();
    assert_eq!(code(&again), "ResourceInUseException");
    until("an active consumer", || async {
        let description = client.describe_stream_consumer().consumer_arn(&consumer).send().await.unwrap();
        *description.consumer_description().unwrap().consumer_status() == ConsumerStatus::Active
    })
    .await;
    put(&client, "k", "one").await;
    let subscribe = || {
        client
            .subscribe_to_shard()
            .consumer_arn(&consumer)
            .shard_id("shardId-000000000000")
            .starting_position(StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build().unwrap())
            .send()
    };
    let mut events = subscribe().await.unwrap().event_stream;
    assert_eq!(code(&subscribe().await.unwrap_err()), "ResourceInUseException");
    let mut texts = Vec::new();
    let mut children = Vec::new();
    let mut wrote_more = false;
    while let Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) = events.recv().await.unwrap() {
        texts.extend(event.records().iter().map(|r| String::from_utf8(r.data().as_ref().to_vec()).unwrap()));
        children.extend(event.child_shards().iter().map(|child| child.shard_id().to_owned()));
        if !wrote_more {
            wrote_more = true;
            put(&client, "k", "two").await;
            let split = client.split_shard().stream_name("s").shard_to_split("shardId-000000000000");
            split.new_starting_hash_key((1_u128 << 127).to_string()).send().await.unwrap();
        }
    }
    assert_eq!(texts, ["one", "two"]);
    assert_eq!(children, ["shardId-000000000001", "shardId-000000000002"]);
    let delete = client.delete_stream().stream_name("s").send().await.unwrap_err();
    assert_eq!(code(&delete), "ResourceInUseException");
    client.deregister_stream_consumer().consumer_arn(&consumer).send().await.unwrap();
    client.delete_stream().stream_name("s").send().await.unwrap();
}
