//! The embedded engines and our consumer, judged by the Kinesis Client Library: what it reads is what ours reads, and
//! either goes on where the other stopped.
#![allow(clippy::unwrap_used, reason = "tests")]

mod producers;
mod records;
mod sink;
mod world;

use std::collections::BTreeSet;

use penstock_conformance::{Kcl, KclEvent, KclOptions, Retrieval, RunningKcl, may_skip};
use penstock_stream::HashKey;

use crate::producers::{Acknowledged, Member, put_aggregate, put_by_boto3, put_by_the_kpl, put_in_aggregates};
use crate::records::{Content, Reading, assert_in_order, kcl_records, of_ours};
use crate::sink::{Memory, Ours};
use crate::world::{DEADLINE, World};

/// The application, or `None` where it cannot be had.
fn kcl() -> Option<Kcl> {
    Kcl::build()
        .inspect_err(|error| {
            may_skip("judging the engines by the KCL", error).unwrap();
            eprintln!("skipped: judging the engines by the KCL, since {error:#}");
        })
        .ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kcl_reads_through_splits_and_merges_what_ours_reads() {
    let Some(kcl) = kcl() else { return };
    let world = World::start(kcl, 3).await;
    let mut readers = [Retrieval::Polling, Retrieval::FanOut].map(|retrieval| {
        let application = format!("kcl-{retrieval:?}").to_lowercase();
        world.start_kcl(&world.kcl_options(&application, "worker", retrieval))
    });
    let mut put = put_everything(&world, "before").await;
    wait_for_records(&mut readers, put.len());
    world.split(&world.open_shards().await[0]).await;
    put.extend(put_everything(&world, "after the split").await);
    let open = world.open_shards().await;
    world.merge(&open[1], &open[2]).await;
    put.extend(put_everything(&world, "after the merge").await);
    let put_by_kpl = put_by_the_kpl(&world, "by the KPL").await;
    wait_for_records(&mut readers, put.len() + put_by_kpl.len());
    let closed: BTreeSet<_> =
        world.shards().await.into_iter().filter(|shard| !shard.is_open()).map(|shard| shard.id.to_string()).collect();
    assert_eq!(closed.len(), 3);
    let [polling, fan_out] = readers.map(|mut reader| {
        reader.wait_for("end of every closed shard", DEADLINE, |events| ended(events).is_superset(&closed)).unwrap();
        reader.stop().unwrap()
    });
    let ours = world.read_by_ours().await;
    for (name, events) in [("the KCL by polling", &polling), ("the KCL by fan-out", &fan_out)] {
        assert_in_order(events);
        ours.assert_same("ours", &Reading::of_kcl(events), name);
    }
    assert_eq!(ours.len(), put.len() + put_by_kpl.len());
    for acknowledged in &put {
        let content = ours.get(&acknowledged.place).unwrap();
        assert_eq!((&content.partition_key, &content.data), (&acknowledged.partition_key, &acknowledged.data));
    }
    for Acknowledged { place, partition_key, data } in &put_by_kpl {
        let same = |content: &&Content| (&content.partition_key, &content.data) == (partition_key, data);
        assert!(ours.within(&place.shard, &place.sequence).any(|content| same(&content)), "{place:?} {data:?}");
    }
    let in_aggregates =
        put_by_kpl.iter().filter(|record| ours.within(&record.place.shard, &record.place.sequence).count() > 1);
    assert!(in_aggregates.count() > 100, "the KPL aggregates");
}

/// The one thing that is read otherwise on purpose. A producer whose map of the shards is out of date aggregates
/// records of several shards, and is told that they are stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_with_a_member_of_another_shard_is_dropped_by_the_kcl_and_kept_by_ours() {
    let Some(kcl) = kcl() else { return };
    let world = World::start(kcl, 2).await;
    let member = |hash: HashKey, text: &str| Member { key: "k".to_owned(), hash: Some(hash), data: text.into() };
    let open = world.open_shards().await;
    let (left, right) = (open[0].hash_range.start, open[1].hash_range.start);
    put_aggregate(&world, &[member(left, "of the left"), member(right, "of the right")]).await;
    put_aggregate(&world, &[member(left, "last"), member(left, "last of all")]).await;
    let mut reader = [world.start_kcl(&world.kcl_options("strays", "worker", Retrieval::Polling))];
    wait_for_records(&mut reader, 2);
    let [reader] = reader;
    let theirs = Reading::of_kcl(&reader.stop().unwrap());
    let ours = world.read_by_ours().await;
    assert_eq!((theirs.len(), ours.len()), (2, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_and_the_kcl_take_over_from_each_other_in_the_middle_and_lose_and_double_nothing() {
    const TABLE: &str = "orders";
    let Some(kcl) = kcl() else { return };
    let world = World::start(kcl, 2).await;
    let mut put = put_in_aggregates(&world, "first").await;
    put.extend(put_in_aggregates(&world, "second").await);
    let mut reading = Reading::default();

    // The KCL stops inside an aggregate of 100.
    let options = KclOptions { stop_after: Some(57), ..world.kcl_options(TABLE, "kcl-1", Retrieval::Polling) };
    let events = world.start_kcl(&options).ended().unwrap();
    assert_eq!(kcl_records(&events).count(), 57);
    reading.add_kcl(&events);
    world.assert_table_has_what_the_kcl_asks_for(TABLE).await;

    // Ours goes on, and crashes with a range pinned in each shard.
    let memory = Memory::held_up_after(1);
    let ours = Ours::start(&world, TABLE, "ours-1", &memory);
    memory.until_held_up(2).await;
    ours.crash().await;
    add_ours(&mut reading, &memory);
    let so_far = reading.len();
    assert!(57 < so_far && so_far < put.len(), "{so_far} of {}", put.len());

    // The KCL goes on from what ours left, through a split.
    world.split(&world.open_shards().await[0]).await;
    put.extend(put_in_aggregates(&world, "after the split").await);
    let mut reader = [world.start_kcl(&world.kcl_options(TABLE, "kcl-2", Retrieval::FanOut))];
    wait_for_records(&mut reader, put.len() - so_far);
    let [reader] = reader;
    let events = reader.stop().unwrap();
    assert_eq!(ended(&events).len(), 1);
    reading.add_kcl(&events);

    // And ours from what the KCL left, to the tip.
    put.extend(put_in_aggregates(&world, "last").await);
    let memory = Memory::default();
    Ours::start(&world, TABLE, "ours-2", &memory).at_tip().await;
    add_ours(&mut reading, &memory);

    world.read_by_ours().await.assert_same("the stream", &reading, "all readers together");
    assert_eq!(reading.len(), put.len());
}

async fn put_everything(world: &World, label: &str) -> Vec<Acknowledged> {
    let mut put = put_by_boto3(world, label).await;
    put.extend(put_in_aggregates(world, label).await);
    put
}

fn wait_for_records(readers: &mut [RunningKcl], count: usize) {
    for reader in readers {
        let what = format!("reading of {count} records");
        reader.wait_for(&what, DEADLINE, |events| kcl_records(events).count() >= count).unwrap();
    }
}

fn ended(events: &[KclEvent]) -> BTreeSet<String> {
    let ended = |event: &KclEvent| match event {
        KclEvent::ShardEnded { shard } => Some(shard.clone()),
        _ => None,
    };
    events.iter().filter_map(ended).collect()
}

fn add_ours(reading: &mut Reading, memory: &Memory) {
    for (shard, record) in memory.applied() {
        let (place, content) = of_ours(shard.as_str(), &record);
        reading.add(place, content);
    }
}
