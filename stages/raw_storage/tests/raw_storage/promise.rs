//! The sink's promise: a range may be applied any number of times, at the same time too, and has its effect once.

use crate::support::s3::{Fault, MemoryS3, Op};
use crate::support::{cut, pushed, range, record, setup, shop_records, until};
use penstock_api::spec::Compression;
use penstock_contract::{Batch as _, Record, Sink as _, SinkError};
use penstock_raw_storage::MemoryBudget;

/// Records whose objects are too large for one part, without many of them.
fn large_records(count: u64) -> Vec<Record> {
    (0..count).map(|number| record(number, format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(900_000)))).collect()
}

#[tokio::test]
async fn a_range_that_is_applied_again_changes_nothing() {
    let s3 = MemoryS3::default();
    let sink = setup("raw/{Country}/", Compression::Zstd).sink(s3.client());
    let records = shop_records(0..1000, 7);
    let mut batch = pushed(&sink, &records).await;
    assert!(s3.see(|state| state.objects.is_empty()), "something could be seen before the range was applied");
    assert_eq!(batch.apply(&range(&records)).await.unwrap().records, 1000);
    assert_eq!(batch.apply(&range(&records)).await.unwrap().records, 1000);
    assert_eq!((s3.calls(Op::Put), s3.calls(Op::Head)), (7, 0), "the same batch knows what it did");
    let before = s3.see(|state| state.objects.iter().map(|(k, o)| (k.clone(), o.body.clone())).collect::<Vec<_>>());

    let mut again = pushed(&sink, &records).await;
    assert_eq!(again.apply(&range(&records)).await.unwrap().records, 1000);
    let after = s3.see(|state| state.objects.iter().map(|(k, o)| (k.clone(), o.body.clone())).collect::<Vec<_>>());
    assert!(before == after && after.len() == 7);
    assert_eq!(s3.numbers(), (0..1000).collect::<Vec<_>>());
    let key = "raw/country-0/shop.ecommerce.raw.shardId-000000000000.49000000000000000000000000000000000000000000000000000000.jsonl.zst";
    assert!(after.iter().any(|(k, _)| k == key), "{:?}", after.first().map(|(k, _)| k));
}

#[tokio::test]
async fn two_workers_that_apply_one_range_make_one_object() {
    for records in [shop_records(0..500, 3), large_records(13)] {
        let s3 = MemoryS3::default();
        let sink = setup("raw/", Compression::None).sink(s3.client());
        let (mut one, mut two) = (pushed(&sink, &records).await, pushed(&sink, &records).await);
        let range = range(&records);
        let (one, two) = tokio::join!(one.apply(&range), two.apply(&range));
        assert_eq!(one.unwrap(), two.unwrap());
        assert_eq!(s3.see(|state| state.objects.len()), 1);
        assert_eq!(s3.numbers(), (0..records.len() as u64).collect::<Vec<_>>());
        until("the second upload to be aborted", || s3.see(|state| state.uploads.is_empty())).await;
    }
}

#[tokio::test]
async fn a_crash_at_any_point_leaves_every_record_in_one_object() {
    let records = shop_records(0..300, 20);
    for polls in (0..400).step_by(7) {
        let s3 = MemoryS3::default();
        let sink = setup("raw/{Country}/", Compression::Gzip).sink(s3.client());
        let mut first = pushed(&sink, &records).await;
        let range = range(&records);
        let finished = cut(first.apply(&range), polls).await.is_some();
        drop(first);
        let stored = s3.numbers().len();
        assert!(finished || stored < 300 || polls > 0);
        let mut second = pushed(&sink, &records).await;
        assert_eq!(second.apply(&range).await.unwrap().records, 300);
        assert_eq!(s3.numbers(), (0..300).collect::<Vec<_>>(), "after {polls} polls, {stored} were stored");
    }
}

#[tokio::test]
async fn an_application_that_was_dropped_goes_on_in_the_same_batch() {
    let mut records = shop_records(0..200, 5);
    records.extend(
        (200..212).map(|n| record(n, format!(r#"{{"n":{n},"Country":"big","pad":"{}"}}"#, "y".repeat(900_000)))),
    );
    // A call of the stand-in takes three polls: fewer would never get anything done.
    for polls in [4, 5, 8, 13, 21, 34, 55] {
        let s3 = MemoryS3::default();
        let sink = setup("raw/{Country}/", Compression::None).sink(s3.client());
        let mut batch = pushed(&sink, &records).await;
        let range = range(&records);
        let mut rounds = 0;
        while cut(batch.apply(&range), polls).await.is_none() {
            rounds += 1;
            assert!(rounds < 1000, "no progress with {polls} polls a round");
        }
        assert_eq!(s3.numbers(), (0..212).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn answers_that_are_lost_after_the_effect_do_no_harm() {
    for seed in 0..12 {
        let s3 = MemoryS3::default();
        s3.lose_answers(40, seed);
        let sink = setup("raw/{Country}/", Compression::None).sink(s3.client());
        let mut records = shop_records(0..100, 5);
        records.extend(
            (100..113).map(|n| record(n, format!(r#"{{"n":{n},"Country":"big","pad":"{}"}}"#, "z".repeat(900_000)))),
        );
        // What a consumer does: a push that fails drops the batch, an application that fails is tried again.
        let mut tries = 0;
        'range: loop {
            tries += 1;
            assert!(tries < 100, "no progress");
            let mut batch = sink.open(&crate::support::shard(), &records[0].position);
            for chunk in records.chunks(10) {
                if batch.push(chunk).await.is_err() {
                    continue 'range;
                }
            }
            for _ in 0..20 {
                match batch.apply(&range(&records)).await {
                    Ok(applied) => {
                        assert_eq!(applied.records, 113);
                        break 'range;
                    }
                    Err(SinkError::Service { .. }) => {}
                    Err(failure) => panic!("seed {seed}: {failure}"),
                }
            }
        }
        assert_eq!(s3.numbers(), (0..113).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[tokio::test]
async fn a_failed_application_redoes_only_what_is_missing() {
    let s3 = MemoryS3::default();
    let sink = setup("raw/{Country}/", Compression::None).sink(s3.client());
    let records = shop_records(0..500, 10);
    let mut batch = pushed(&sink, &records).await;
    s3.fail(Op::Put, Fault::Answer(403, "AccessDenied"));
    let failure = batch.apply(&range(&records)).await.unwrap_err();
    assert_eq!(failure.reason(), "access_denied");
    assert_eq!(s3.see(|state| state.objects.len()), 9);
    batch.apply(&range(&records)).await.unwrap();
    assert_eq!((s3.calls(Op::Put), s3.calls(Op::Head)), (11, 0));
}

#[tokio::test]
async fn a_part_that_did_not_arrive_is_sent_again() {
    let s3 = MemoryS3::default();
    let sink = setup("raw/", Compression::None).sink(s3.client());
    let records = large_records(13);
    let mut batch = sink.open(&crate::support::shard(), &records[0].position);
    for record in &records[..12] {
        batch.push(std::slice::from_ref(record)).await.unwrap();
    }
    until("the parts on their way", || s3.calls(Op::Part) == 2).await;
    batch.push(&records[12..]).await.unwrap();
    s3.fail(Op::Part, Fault::Answer(400, "BadDigest"));
    assert_eq!(batch.apply(&range(&records)).await.unwrap_err().reason(), "refused");
    assert!(s3.see(|state| state.objects.is_empty()));
    batch.apply(&range(&records)).await.unwrap();
    assert_eq!(s3.calls(Op::Part), 4, "only the last part was missing");
    assert_eq!(s3.numbers(), (0..13).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_upload_that_was_aborted_by_others_is_reported_and_read_again() {
    let s3 = MemoryS3::default();
    let sink = setup("raw/", Compression::None).sink(s3.client());
    let records = large_records(13);
    let mut batch = pushed(&sink, &records).await;
    s3.see(|state| state.uploads.clear());
    for _ in 0..2 {
        let failure = batch.apply(&range(&records)).await.unwrap_err();
        assert!(matches!(failure, SinkError::Spoiled { reason: "upload_lost", .. }), "{failure}");
    }
    drop(batch);
    pushed(&sink, &records).await.apply(&range(&records)).await.unwrap();
    assert_eq!(s3.numbers(), (0..13).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_that_is_dropped_leaves_no_parts_behind() {
    let s3 = MemoryS3::default();
    let sink = setup("raw/", Compression::None).sink(s3.client());
    let batch = pushed(&sink, &large_records(20)).await;
    assert_eq!(s3.see(|state| state.uploads.len()), 1);
    drop(batch);
    until("the upload to be aborted", || s3.see(|state| state.uploads.is_empty())).await;
}

#[tokio::test]
async fn a_batch_whose_push_was_dropped_is_not_applied() {
    let s3 = MemoryS3::default();
    let sink = setup("raw/", Compression::None).sink(s3.client());
    let records = large_records(13);
    let mut batch = sink.open(&crate::support::shard(), &records[0].position);
    assert!(cut(batch.push(&records), 2).await.is_none());
    let failure = batch.apply(&range(&records)).await.unwrap_err();
    assert!(matches!(failure, SinkError::Spoiled { reason: "incomplete_batch", .. }), "{failure}");
}

#[tokio::test]
async fn what_the_stream_deleted_meanwhile_stays_in_the_object_that_had_it() {
    for records in [shop_records(0..40, 1), large_records(13)] {
        let s3 = MemoryS3::default();
        let sink = setup("raw/", Compression::None).sink(s3.client());
        pushed(&sink, &records).await.apply(&range(&records)).await.unwrap();
        let mut again = sink.open(&crate::support::shard(), &records[0].position);
        again.push(&records[5..]).await.unwrap();
        again.apply(&range(&records)).await.unwrap();
        assert_eq!(s3.numbers(), (0..records.len() as u64).collect::<Vec<_>>());
        assert_eq!(s3.see(|state| state.objects.len()), 1);
    }
}

#[tokio::test]
async fn what_is_left_of_a_range_is_stored_under_the_key_of_the_whole() {
    let s3 = MemoryS3::default();
    let sink = setup("raw/", Compression::None).sink(s3.client());
    let records = shop_records(0..40, 1);
    let mut batch = sink.open(&crate::support::shard(), &records[0].position);
    batch.push(&records[5..]).await.unwrap();
    batch.apply(&range(&records)).await.unwrap();
    assert_eq!(s3.numbers(), (5..40).collect::<Vec<_>>());
    pushed(&sink, &records).await.apply(&range(&records)).await.unwrap_err();
    assert_eq!(s3.see(|state| state.objects.len()), 1);
}

#[tokio::test]
async fn a_foreign_object_at_the_key_is_never_touched() {
    let s3 = MemoryS3::default();
    let records = shop_records(0..10, 1);
    let ours = setup("raw/", Compression::None).sink(s3.client());
    // The same keys from another recipe: a program that changes every record.
    let other = setup("raw/", Compression::None).process(".n = 0").sink(s3.client());
    pushed(&other, &records).await.apply(&range(&records)).await.unwrap();
    let failure = pushed(&ours, &records).await.apply(&range(&records)).await.unwrap_err();
    assert!(matches!(failure, SinkError::Fatal { reason: "foreign_object", .. }), "{failure}");
    let said = failure.to_string();
    assert!(said.contains("s3://acme-lake/raw/shop.ecommerce.raw.") && said.contains("s3.key"), "{said}");
    assert_eq!(s3.numbers(), vec![0; 10]);
}

#[tokio::test]
async fn every_failure_of_the_service_can_be_told_apart() {
    for (fault, reason) in [
        (Fault::Answer(503, "SlowDown"), "throttled"),
        (Fault::Answer(500, "InternalError"), "service_error"),
        (Fault::Answer(403, "AccessDenied"), "access_denied"),
        (Fault::Answer(404, "NoSuchBucket"), "no_such_bucket"),
        (Fault::Answer(409, "ConditionalRequestConflict"), "conflict"),
        (Fault::Unreachable, "unreachable"),
    ] {
        let s3 = MemoryS3::default();
        let sink = setup("raw/", Compression::None).sink(s3.client());
        let records = shop_records(0..10, 1);
        let mut batch = pushed(&sink, &records).await;
        for _ in 0..3 {
            // The SDK tries up to three times by itself.
            s3.fail(Op::Put, fault);
        }
        let failure = batch.apply(&range(&records)).await.unwrap_err();
        assert!(matches!(failure, SinkError::Service { .. }), "{failure}");
        assert_eq!(failure.reason(), reason);
        assert!(std::error::Error::source(&failure).is_some());
        s3.see(|state| *state = crate::support::s3::State::default());
        batch.apply(&range(&records)).await.unwrap();
        assert_eq!(s3.numbers(), (0..10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_pinned_recipe_gives_the_objects_that_it_gave() {
    let s3 = MemoryS3::default();
    let before = setup("raw/{Country}/", Compression::Gzip).process(".n = .n").sink(s3.client());
    let pinned = before.recipe();
    let mut edited = setup("other/", Compression::Zstd);
    edited.target.bucket = "elsewhere".to_owned();
    edited.budget = MemoryBudget::default();
    let restored = edited.sink(s3.client()).with_recipe(&pinned).unwrap();
    assert_eq!(restored.recipe(), pinned);
    let records = shop_records(0..100, 4);
    pushed(&before, &records).await.apply(&range(&records)).await.unwrap();
    pushed(&restored, &records).await.apply(&range(&records)).await.unwrap();
    assert_eq!(s3.see(|state| state.objects.len()), 4);
    assert_eq!(s3.numbers(), (0..100).collect::<Vec<_>>());
    let unreadable = before.with_recipe(&penstock_contract::Recipe("{}".into())).err().unwrap();
    assert_eq!(unreadable.reason(), "recipe_unreadable");
}

#[tokio::test]
async fn records_that_cannot_be_stored_are_rejected_and_the_rest_is_stored() {
    let s3 = MemoryS3::default();
    let sink = setup("raw/{Country}/", Compression::None).sink(s3.client());
    let mut records = shop_records(0..5, 1);
    records[0].data = "no json".into();
    records[3].data = r#"{"n":3}"#.into();
    let mut batch = sink.open(&crate::support::shard(), &records[0].position);
    let pushed = batch.push(&records).await.unwrap();
    let reasons: Vec<_> = pushed.rejected.iter().map(|(index, why)| (*index, why.reason.as_ref())).collect();
    assert_eq!(reasons, [(0, "not_json"), (3, "template_field_missing")]);
    assert_eq!(batch.apply(&range(&records)).await.unwrap().records, 3);
    assert_eq!(s3.numbers(), [1, 2, 4]);
}

#[tokio::test]
async fn a_range_without_records_to_store_writes_nothing() {
    let s3 = MemoryS3::default();
    let sink = setup("raw/", Compression::None).sink(s3.client());
    let records = vec![record(1, "no json".to_owned())];
    let mut batch = pushed(&sink, &records).await;
    assert_eq!(batch.apply(&range(&records)).await.unwrap().records, 0);
    assert!(s3.see(|state| state.objects.is_empty()));
}

#[tokio::test]
async fn records_of_another_range_are_not_applied() {
    let s3 = MemoryS3::default();
    let sink = setup("raw/", Compression::None).sink(s3.client());
    let records = shop_records(10..20, 1);
    let mut batch = pushed(&sink, &records).await;
    let failure = batch.apply(&range(&records[1..])).await.unwrap_err();
    assert_eq!(failure.reason(), "range_mismatch");
}
