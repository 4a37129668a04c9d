//! Memory is bounded whatever the rotation size, the number of objects and the number of shards.

use crate::support::s3::{MemoryS3, Op};
use crate::support::{position, range, setup, shard, shop_records};
use penstock_api::spec::Compression;
use penstock_contract::{Batch as _, Record, Sink as _};

const MIB: usize = 1 << 20;

fn bytes(records: &[Record]) -> usize {
    records.iter().map(|record| record.data.len() + 1).sum()
}

#[tokio::test]
async fn a_range_of_100_mib_becomes_one_object_within_the_budget() {
    for compression in [Compression::None, Compression::Zstd] {
        let s3 = MemoryS3::default();
        let setup = setup("raw/", compression).rotate_bytes(100 << 20);
        let sink = setup.sink(s3.client());
        let mut batch = sink.open(&shard(), &position(0));
        let (mut total, mut next) = (0, 0);
        // Made as they are pushed: the test should not hold more than the sink may.
        loop {
            let records = shop_records(next..next + 500, 30);
            next += 500;
            total += bytes(&records);
            if batch.push(&records).await.unwrap().full {
                break;
            }
        }
        assert!(total >= 100 * MIB, "{compression:?}: closed after {total} bytes");
        let ends = [shop_records(0..1, 1), shop_records(next - 1..next, 1)].concat();
        let range = range(&ends);
        assert_eq!(batch.apply(&range).await.unwrap().records, next);
        let peak = setup.budget.peak();
        assert!(peak < 48 * MIB, "{compression:?}: held {peak} bytes");
        assert_eq!(setup.budget.used(), 0, "{compression:?}");
        assert_eq!((s3.see(|state| state.objects.len()), s3.calls(Op::Create)), (1, 1), "{compression:?}");
        assert!(s3.numbers() == (0..next).collect::<Vec<_>>(), "{compression:?}");
    }
}

#[tokio::test]
async fn five_hundred_objects_of_one_range_stay_within_the_budget() {
    let s3 = MemoryS3::default();
    let setup = setup("raw/{Country}/", Compression::Gzip).budget(8 * MIB);
    let sink = setup.sink(s3.client());
    let mut next = 0;
    let mut ranges = 0;
    while next < 60_000 {
        let begin = next;
        let mut batch = sink.open(&shard(), &position(begin));
        loop {
            let records = shop_records(next..next + 100, 500);
            next += 100;
            if batch.push(&records).await.unwrap().full || next == 60_000 {
                break;
            }
        }
        let ends = [shop_records(begin..begin + 1, 1), shop_records(next - 1..next, 1)].concat();
        assert_eq!(batch.apply(&range(&ends)).await.unwrap().records, next - begin);
        ranges += 1;
    }
    assert!(ranges > 1, "the budget never closed a range");
    assert!(setup.budget.peak() < 9 * MIB, "held {}", setup.budget.peak());
    assert_eq!(setup.budget.used(), 0);
    assert!(s3.see(|state| state.objects.len()) <= 500 * ranges);
    assert!(s3.numbers() == (0..60_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_key_of_too_many_values_closes_the_range() {
    let sink = setup("raw/{n}/", Compression::None).sink(MemoryS3::default().client());
    let mut batch = sink.open(&shard(), &position(0));
    assert!(!batch.push(&shop_records(0..9_999, 1)).await.unwrap().full);
    assert!(batch.push(&shop_records(9_999..10_000, 1)).await.unwrap().full);
}

#[tokio::test]
async fn an_object_is_closed_at_its_rotation_size() {
    let sink = setup("raw/{Country}/", Compression::Zstd).rotate_bytes(10_000).sink(MemoryS3::default().client());
    let mut batch = sink.open(&shard(), &position(0));
    let mut pushed = Vec::new();
    loop {
        let records = shop_records(pushed.len() as u64..pushed.len() as u64 + 1, 1);
        pushed.extend(records.clone());
        if batch.push(&records).await.unwrap().full {
            break;
        }
    }
    let size = bytes(&pushed);
    assert!((10_000..11_000).contains(&size), "{size}");
}

#[tokio::test]
async fn shards_share_the_budget_and_the_large_ones_close_first() {
    let setup = setup("raw/", Compression::None).budget(4 * MIB);
    let sink = setup.sink(MemoryS3::default().client());
    let (mut large, mut small) = (sink.open(&shard(), &position(0)), sink.open(&shard(), &position(0)));
    small.push(&shop_records(0..1000, 1)).await.unwrap();
    let mut next = 0;
    while !large.push(&shop_records(next..next + 100, 1)).await.unwrap().full {
        next += 100;
    }
    assert!(setup.budget.used() < 4 * MIB, "held {}", setup.budget.used());
    assert!(!small.push(&shop_records(1000..1100, 1)).await.unwrap().full, "a small batch was closed as well");
    drop(large);
    drop(small);
    assert_eq!(setup.budget.used(), 0);
}
