//! The same range, records and recipe give the same keys and the same bytes, however the records come in.

use std::collections::BTreeMap;

use crate::support::s3::MemoryS3;
use crate::support::{range, record, setup, shard};
use penstock_api::spec::Compression;
use penstock_contract::{Batch as _, Record, Sink as _};
use proptest::prelude::*;

/// The objects that come of the records, pushed in slices of the given sizes.
fn objects(records: &[Record], slices: &[usize], compression: Compression) -> BTreeMap<String, Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let s3 = MemoryS3::default();
        // Some applications see less memory than others.
        let budget = 1 << (16 + slices.len() % 8);
        let sink = setup("{$arrival:%Y/%m/%d/%H}/{Country}/", compression).budget(budget).sink(s3.client());
        let mut batch = sink.open(&shard(), &records[0].position);
        let mut left = records;
        let mut sizes = slices.iter().cycle();
        while !left.is_empty() {
            let (now, later) = left.split_at((*sizes.next().unwrap()).min(left.len()));
            batch.push(now).await.unwrap();
            left = later;
        }
        let applied = batch.apply(&range(records)).await.unwrap();
        assert!(applied.records <= records.len() as u64);
        s3.see(|state| state.objects.iter().map(|(key, object)| (key.clone(), object.body.clone())).collect())
    })
}

/// Rows of which a few are no rows, and some are large enough for a stream encoder.
fn rows() -> impl Strategy<Value = Vec<Record>> {
    let row = prop_oneof![
        20 => ("[a-d]", 0_usize..300).prop_map(|(country, pad)| format!(
            r#"{{"Country":"{country}","pad":"{}"}}"#, "p".repeat(pad)
        )),
        1 => "[a-b]".prop_map(|country| format!(r#"{{"Country":"{country}","pad":"{}"}}"#, "q".repeat(700_000))),
        1 => Just("no row".to_owned()),
        1 => Just(r#"{"Country":null}"#.to_owned()),
    ];
    (1_u64..1_000_000, prop::collection::vec(row, 1..60))
        .prop_map(|(first, rows)| (first..).zip(rows).map(|(number, row)| record(number, row)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_and_bytes_follow_from_the_range_alone(
        records in rows(),
        one in prop::collection::vec(1_usize..20, 1..8),
        two in prop::collection::vec(1_usize..20, 1..8),
        compression in prop::sample::select(vec![Compression::None, Compression::Gzip, Compression::Zstd]),
    ) {
        prop_assert!(objects(&records, &one, compression) == objects(&records, &two, compression));
    }
}

/// Two ranges, two pipelines, two shards: everything that may share a bucket and a prefix.
#[tokio::test]
async fn keys_of_different_ranges_never_collide() {
    let s3 = MemoryS3::default();
    let mut expected = 0;
    for name in ["ecommerce", "ecommerce-2"] {
        let mut setup = setup("raw/", Compression::None);
        setup.pipeline.name = name.to_owned();
        let sink = setup.sink(s3.client());
        for shard in ["shardId-000000000000", "shardId-000000000001"] {
            let shard = penstock_contract::ShardId::new(shard);
            for first in [0, 10, 20] {
                let records = crate::support::shop_records(first..first + 10, 1);
                let mut batch = sink.open(&shard, &records[0].position);
                batch.push(&records).await.unwrap();
                let range = penstock_contract::Range { shard: shard.clone(), ..range(&records) };
                batch.apply(&range).await.unwrap();
                expected += 1;
                assert_eq!(s3.see(|state| state.objects.len()), expected);
            }
        }
    }
}
