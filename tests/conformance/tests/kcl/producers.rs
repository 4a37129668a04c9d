//! Records of all kinds: by boto3, one by one; by ours and by the KPL, in aggregates.

use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use penstock_conformance::{python, scripts};
use penstock_contract::Sequence;
use penstock_stream::aggregate::Aggregator;
use penstock_stream::{HashKey, PutEntry, Shard, put_records};
use serde::Deserialize;

use crate::records::{Data, Place};
use crate::world::{STREAM, World, eventually};

/// A record that the stream acknowledged: where it is and what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) place: Place,
    pub(crate) partition_key: String,
    pub(crate) data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    shard: String,
    sequence_number: String,
    partition_key: String,
    data: String,
}

/// Puts raw records into all open shards by boto3.
pub(crate) async fn put_by_boto3(world: &World, label: &str) -> Vec<Acknowledged> {
    let mut command = Command::new(python().unwrap());
    command.arg("-B").arg(scripts().join("kcl_put.py"));
    command.args(["--endpoint", world.endpoint(), "--stream", STREAM, "--label", label]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str::<Line>(line).unwrap().into()).collect()
}

/// Puts records by the Kinesis Producer Library. It does not say where in an aggregate a record is.
pub(crate) async fn put_by_the_kpl(world: &World, label: &str) -> Vec<Acknowledged> {
    let lines = world.produce_by_the_kpl(label).await;
    lines.lines().map(|line| serde_json::from_str::<Line>(line).unwrap().into()).collect()
}

impl From<Line> for Acknowledged {
    fn from(line: Line) -> Self {
        Self {
            place: Place {
                shard: line.shard,
                sequence: Sequence::parse(&line.sequence_number).unwrap(),
                sub_sequence: 0,
            },
            partition_key: line.partition_key,
            data: Data(STANDARD.decode(line.data).unwrap()),
        }
    }
}

/// A user record before it is put.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) hash: Option<HashKey>,
    pub(crate) data: Vec<u8>,
}

/// Puts several aggregates into each open shard, as our ingest writes them.
pub(crate) async fn put_in_aggregates(world: &World, label: &str) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for shard in world.open_shards().await {
        for members in aggregates(&shard, label) {
            acknowledged.extend(put_aggregate(world, &members).await);
        }
    }
    acknowledged
}

fn aggregates(shard: &Shard, label: &str) -> Vec<Vec<Member>> {
    let (first, last) = (shard.hash_range.start, shard.hash_range.end_inclusive);
    let member = |key: String, hash: HashKey, data: Vec<u8>| Member { key, hash: Some(hash), data };
    let many = (0..100).map(|number| {
        let hash = if number % 2 == 0 { first } else { last };
        member(format!("key-{}", number % 7), hash, format!("{label} {} member {number}", shard.id).into_bytes())
    });
    let empty = (0..3).map(|_| member("empty".to_owned(), first, Vec::new()));
    let large = (0..4).map(|number| member("large".to_owned(), last, vec![number; 200 * 1024]));
    let inner =
        aggregate(&[member("inner-1".into(), first, b"1".into()), member("inner-2".into(), first, b"2".into())]);
    let nested = [member("nested".to_owned(), first, inner.data.to_vec())];
    let alone = [member("alone".to_owned(), last, format!("{label} alone").into_bytes())];
    vec![many.collect(), empty.collect(), large.collect(), nested.into(), alone.into()]
}

fn aggregate(members: &[Member]) -> PutEntry {
    let mut aggregator = Aggregator::new(1 << 20);
    for member in members {
        let key: Arc<str> = member.key.as_str().into();
        aggregator.push(&key, member.hash, Bytes::from(member.data.clone())).unwrap();
    }
    aggregator.finish().unwrap().entry
}

/// Puts one aggregate; a shard that takes no more just now is asked again.
pub(crate) async fn put_aggregate(world: &World, members: &[Member]) -> Vec<Acknowledged> {
    let entry = aggregate(members);
    let mut ack = None;
    eventually("an aggregate is taken", async || {
        let outcomes = put_records(&world.clients.kinesis, STREAM, std::slice::from_ref(&entry)).await.unwrap();
        match outcomes.into_iter().next().unwrap() {
            Ok(done) => ack = Some(done),
            Err(refused) => assert!(refused.throttled, "{refused}"),
        }
        ack.is_some()
    })
    .await;
    let ack = ack.unwrap();
    members
        .iter()
        .zip(0..)
        .map(|(member, sub_sequence)| Acknowledged {
            place: Place { shard: ack.shard.to_string(), sequence: ack.sequence.clone(), sub_sequence },
            partition_key: member.key.clone(),
            data: Data(member.data.clone()),
        })
        .collect()
}
