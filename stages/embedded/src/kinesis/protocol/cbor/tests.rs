#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{from_json, to_json};

fn read(cbor: &[u8]) -> Value {
    serde_json::from_slice(&to_json(cbor).unwrap()).unwrap()
}

fn write(json: &Value) -> Vec<u8> {
    from_json(json.to_string().as_bytes()).unwrap()
}

fn refused(cbor: &[u8]) -> String {
    to_json(cbor).unwrap_err().message
}

/// Bytes that the Java SDK 2.41.21 sent.
#[test]
fn a_request_of_the_java_sdk_reads_as_its_json() {
    let iterator = concat!(
        "bf6a53747265616d4e616d656173675368617264496461787153686172644974657261746f7254797065",
        "6c41545f54494d455354414d506954696d657374616d70c11b0000018bcfe56807ff",
    );
    assert_eq!(
        read(&hex::decode(iterator).unwrap()),
        json!({
            "StreamName": "s",
            "ShardId": "x",
            "ShardIteratorType": "AT_TIMESTAMP",
            "Timestamp": 1_700_000_000.007,
        })
    );
    let put = "bf6a53747265616d4e616d6561736444617461430001026c506172746974696f6e4b6579616bff";
    assert_eq!(read(&hex::decode(put).unwrap()), json!({ "StreamName": "s", "Data": "AAEC", "PartitionKey": "k" }));
}

#[test]
fn lists_and_strings_may_have_a_length_or_end_with_a_break() {
    assert_eq!(
        read(b"\xa2\x61a\x82\x01\x20\x64Data\x5f\x42\x01\x02\x41\x03\xff"),
        json!({ "a": [1, -1], "Data": "AQID" })
    );
    assert_eq!(read(b"\xa1\x61a\x7f\x61x\x62yz\xff"), json!({ "a": "xyz" }));
    assert_eq!(read(b"\xa0"), json!({}));
}

#[test]
fn names_below_tags_are_the_users() {
    let tags = json!({ "Tags": { "Data": "x", "MyTimestamp": "y" } });
    assert_eq!(read(&write(&tags)), tags);
}

#[test]
fn an_answer_has_bytes_and_times_as_the_java_sdk_reads_them() {
    let answer = json!({ "Data": "AP8B", "ApproximateArrivalTimestamp": 1_700_000_000.007, "NextShardIterator": null });
    let mut expected = vec![0xbf];
    expected.extend_from_slice(b"\x64Data\x43\x00\xff\x01");
    expected.extend_from_slice(b"\x78\x1bApproximateArrivalTimestamp\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x07");
    expected.extend_from_slice(b"\x71NextShardIterator\xf6\xff");
    assert_eq!(write(&answer), expected);
    assert_eq!(write(&json!({ "StreamCreationTimestamp": 7 })), b"\xbf\x77StreamCreationTimestamp\xc1\x19\x1b\x58\xff");
}

#[test]
fn what_the_protocol_does_not_have_is_refused_with_its_place() {
    for (cbor, why) in [
        (&b""[..], "there is no value at byte 0"),
        (b"\xbf\x61a", "there is no value at byte 3"),
        (b"\xa1\x61a\x01\x00", "something follows the request at byte 4"),
        (b"\xa1\x01\x01", "the name of a member is a text at byte 2"),
        (b"\xa1\x61a\x65xy", "it ends in the middle of a string at byte 4"),
        (b"\xa1\x61a\x5b\xff\xff\xff\xff\xff\xff\xff\xff", "no member of the API has a value of this type"),
        (b"\xa1\x61a\x62\xc3\x28", "a text is not UTF-8"),
        (b"\xa1\x61a\x7f\x41x\xff", "a string has a piece of another type"),
        (b"\xa1\x64Data\x61x", "data is a byte string"),
        (b"\xa1\x61a\x41x", "no member of the API has a value of this type"),
        (b"\xa1\x61a\xc2\x41x", "no member of the API has a value of this type"),
        (b"\xa1\x61a\xf7", "no member of the API has a value of this type"),
        (b"\xa1\x61a\xf9\x7e\x00", "no member of the API has a value of this type"),
        (b"\xa1\x69Timestamp\x01", "a time is an integer of milliseconds with tag 1"),
        (b"\xa1\x69Timestamp\xc1\x20", "a time is an integer of milliseconds since 1970"),
        (&[0x81; 40], "values lie too deep in each other"),
        (&[0x9f; 100_000], "values lie too deep in each other"),
    ] {
        assert!(refused(cbor).contains(why), "{}: {}", hex::encode(&cbor[..cbor.len().min(40)]), refused(cbor));
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,12}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_comes_back(value in any_value(), millis in 0_u64..10_000_000_000_000, data in prop::collection::vec(any::<u8>(), 0..50)) {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(data);
        let seconds = millis as f64 / 1000.0;
        let whole = json!({ "value": value, "Records": [{ "Data": data, "ATimestamp": seconds }] });
        prop_assert_eq!(read(&write(&whole)), whole);
    }

    #[test]
    fn no_bytes_make_the_reading_panic(cbor in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(json) = to_json(&cbor) {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&json).is_ok());
        }
    }
}
