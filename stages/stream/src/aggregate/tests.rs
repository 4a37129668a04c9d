#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};
use proptest::prelude::*;

use super::*;
use crate::{HashKey, PutEntry};

type Input = (String, Option<u128>, Vec<u8>);

fn aggregate(max_bytes: usize, records: &[Input]) -> (Aggregator, usize) {
    let mut aggregator = Aggregator::new(max_bytes);
    let mut taken = 0;
    for (key, hash, data) in records {
        let key: Arc<str> = key.as_str().into();
        match aggregator.push(&key, hash.map(HashKey), Bytes::from(data.clone())) {
            Ok(sub_sequence) => assert_eq!(sub_sequence, taken),
            Err(Full) => break,
        }
        taken += 1;
    }
    (aggregator, taken)
}

fn opened(entry: &PutEntry) -> Vec<Input> {
    match deaggregate(&entry.data) {
        Deaggregated::Raw => {
            vec![(entry.partition_key.to_string(), entry.explicit_hash_key.map(|h| h.0), entry.data.to_vec())]
        }
        Deaggregated::Aggregate(members) => {
            let said = members.len();
            let all: Vec<_> = members
                .map(|m| (m.partition_key.to_string(), m.explicit_hash_key.map(|h| h.0), m.data.to_vec()))
                .collect();
            assert_eq!(all.len(), said);
            all
        }
    }
}

fn wrapped(message: &[u8]) -> Bytes {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(message);
    out.extend_from_slice(&Md5::digest(message));
    out.into()
}

fn is_raw(data: &Bytes) -> bool {
    matches!(deaggregate(data), Deaggregated::Raw)
}

fn records() -> impl Strategy<Value = Vec<Input>> {
    let hash = prop_oneof![3 => Just(None), 1 => any::<u128>().prop_map(Some)];
    prop::collection::vec(("[a-e]{1,2}|.{1,40}", hash, prop::collection::vec(any::<u8>(), 0..300)), 1..40)
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_and_the_size_is_as_announced(records in records(), max_bytes in 64usize..4096) {
        let (aggregator, taken) = aggregate(max_bytes, &records);
        let announced = aggregator.record_len();
        if let Some(aggregate) = aggregator.finish() {
            prop_assert_eq!(aggregate.members, taken);
            prop_assert_eq!(opened(&aggregate.entry), &records[..taken]);
            prop_assert!(aggregate.entry.size() <= max_bytes);
            if taken > 1 {
                prop_assert_eq!(aggregate.entry.size(), announced);
            }
        } else {
            prop_assert_eq!(taken, 0);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(message in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = is_raw(&Bytes::from(message.clone()));
        if let Deaggregated::Aggregate(members) = deaggregate(&wrapped(&message)) {
            let said = members.len();
            prop_assert_eq!(members.count(), said);
        }
    }

    #[test]
    fn a_damaged_message_with_a_right_digest_never_panics(
        records in records(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut records = records;
        records.push(("k".into(), Some(1), vec![1]));
        let data = aggregate(1 << 20, &records).0.finish().unwrap().entry.data;
        let mut message = data[MAGIC.len()..data.len() - DIGEST_LEN].to_vec();
        for (place, byte) in damage {
            let place = place.index(message.len());
            message[place] = byte;
        }
        if let Deaggregated::Aggregate(members) = deaggregate(&wrapped(&message)) {
            let said = members.len();
            prop_assert_eq!(members.count(), said);
        }
    }

    #[test]
    fn a_flipped_bit_makes_it_a_record_as_it_stands(records in records(), place: prop::sample::Index, bit in 0u8..8) {
        let mut records = records;
        records.push(("k".into(), None, vec![1]));
        let entry = aggregate(1 << 20, &records).0.finish().unwrap().entry;
        let mut data = entry.data.to_vec();
        let place = place.index(data.len());
        data[place] ^= 1 << bit;
        prop_assert!(is_raw(&data.into()));
    }
}

#[test]
fn the_bytes_are_those_of_the_producer_library() {
    let records = [("k1".to_owned(), None, b"one".to_vec()), ("k1".to_owned(), Some(7), b"two".to_vec())];
    let entry = aggregate(1000, &records).0.finish().unwrap().entry;
    let message = b"\x0a\x02k1\x12\x017\x1a\x07\x08\x00\x1a\x03one\x1a\x09\x08\x00\x10\x00\x1a\x03two";
    assert_eq!(entry.data, wrapped(message));
    assert_eq!(&*entry.partition_key, "a");
    assert_eq!(entry.explicit_hash_key, Some(HashKey::of_partition_key("k1")));
}

#[test]
fn a_record_alone_goes_as_it_is_unless_it_looks_like_an_aggregate() {
    let entry = aggregate(1000, &[("k".to_owned(), None, b"alone".to_vec())]).0.finish().unwrap().entry;
    assert_eq!((&*entry.partition_key, entry.explicit_hash_key, &entry.data[..]), ("k", None, &b"alone"[..]));

    let inner = wrapped(b"\x0a\x01k\x1a\x05\x08\x00\x1a\x01x");
    let nested = aggregate(1000, &[("k".to_owned(), None, inner.to_vec())]).0.finish().unwrap().entry;
    assert_eq!(opened(&nested), [("k".to_owned(), None, inner.to_vec())]);
}

#[test]
fn a_record_alone_may_fill_the_stream_record_to_the_last_byte() {
    let fits = Aggregator::new(100);
    assert!(fits.would_fit("key", None, &[b'x'; 97]));
    assert!(!fits.would_fit("key", None, &[b'x'; 98]));
}

#[test]
fn a_table_may_stand_after_the_members_and_unknown_fields_are_read_over() {
    let message = b"\x1a\x05\x08\x00\x1a\x01x\x3a\x02??\x0a\x01k";
    let Deaggregated::Aggregate(members) = deaggregate(&wrapped(message)) else { panic!("raw") };
    let all: Vec<_> = members.collect();
    assert_eq!(all.len(), 1);
    assert_eq!((&*all[0].partition_key, &all[0].data[..]), ("k", &b"x"[..]));
}

#[test]
fn a_message_that_is_not_whole_is_a_record_as_it_stands() {
    let broken: [&[u8]; 8] = [
        b"",                                                    // no members
        b"\x0a\x01k",                                           // a table only
        b"\x1a\x05\x08\x00\x1a\x01x",                           // a member whose key is missing
        b"\x0a\x01k\x1a\x05\x08\x01\x1a\x01x",                  // an index behind the table
        b"\x0a\x01k\x1a\x07\x08\x00\x10\x00\x1a\x01x",          // a hash key that is missing
        b"\x0a\x01k\x12\x01z\x1a\x07\x08\x00\x10\x00\x1a\x01x", // a hash key that is no number
        b"\x0a\x01\xff\x1a\x05\x08\x00\x1a\x01x",               // a key that is no UTF-8
        b"\x0a\x01k\x1a\x02\x08\x00",                           // a member without data
    ];
    for message in broken {
        assert!(is_raw(&wrapped(message)), "{message:?}");
    }
}

#[test]
fn data_of_a_member_shares_the_memory_of_the_aggregate() {
    let records = [("k".to_owned(), None, vec![7; 50]), ("k".to_owned(), None, vec![8; 50])];
    let data = aggregate(1000, &records).0.finish().unwrap().entry.data;
    let Deaggregated::Aggregate(members) = deaggregate(&data) else { panic!("raw") };
    let within = data.as_ptr_range();
    for member in members {
        assert!(within.contains(&member.data.as_ptr()));
    }
}
