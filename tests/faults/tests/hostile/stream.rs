//! Records that somebody puts into the stream past the endpoint, with the AWS SDK.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::Blob;
use serde_json::{Value, json};

use crate::shop::{Shop, order, order_with};
use crate::stores::{Letter, aws, block_on};

const MIB: usize = 1 << 20;

struct Stream {
    client: Client,
    name: String,
}

impl Stream {
    async fn of(shop: &Shop) -> Self {
        let ready = &shop.server.ready;
        Self { client: Client::new(&aws(ready).await.config), name: ready.streams[0].clone() }
    }

    /// Puts a record; where it is, or the service's error code.
    async fn put(&self, key: &str, data: &[u8]) -> Result<String, String> {
        let put = self.client.put_record().stream_name(&self.name).partition_key(key).data(Blob::new(data));
        match put.send().await {
            Ok(done) => Ok(format!("{}:{}:0", done.shard_id(), done.sequence_number())),
            Err(error) => Err(error.code().unwrap_or("no code").to_owned()),
        }
    }

    /// Lets records have up to 10 MiB.
    async fn allow_large_records(&self) {
        let described = self.client.describe_stream_summary().stream_name(&self.name).send().await.unwrap();
        let arn = described.stream_description_summary().unwrap().stream_arn().to_owned();
        self.client.update_max_record_size().stream_arn(arn).max_record_size_in_kib(10_240).send().await.unwrap();
    }
}

/// A row of so many bytes.
fn row_of(article: &str, bytes: usize) -> Value {
    let empty = order_with(article, "Note", json!("")).to_string().len();
    order_with(article, "Note", json!("x".repeat(bytes - empty)))
}

#[test]
fn records_that_are_no_rows_go_to_dead_letters_of_each_sink_with_their_bytes() {
    let mut shop = Shop::open();
    let records: [(&[u8], &str, &str); 8] = [
        (b"", "not_json", "not_json"),
        (b"{\"StockCode\":\"caf\xe9\"}", "not_utf8", "not_utf8"),
        (b"\x00\x01\x02\xff", "not_utf8", "not_utf8"),
        (b"{\"StockCode\":\"a\0b\"}", "not_json", "not_json"),
        (b"{\"StockCode\":", "not_json", "not_json"),
        (b"InvoiceNo,StockCode\n1,2\n", "not_json", "not_json"),
        // What looks like an aggregate and is none.
        (b"\xf3\x89\x9a\xc2\x0a\x01k0123456789abcdef", "not_utf8", "not_utf8"),
        (b"{} {}", "not_json", "not_json"),
    ];
    let put = block_on(async {
        let stream = Stream::of(&shop).await;
        let mut put = Vec::new();
        for (data, ..) in records {
            put.push(stream.put("a", data).await);
        }
        put
    });
    for ((data, raw, tables), position) in records.into_iter().zip(put) {
        match position {
            Ok(position) => {
                shop.expect_letter(Letter::new("raw", data, &position, raw, None));
                shop.expect_letter(Letter::new("tables", data, &position, tables, None));
            }
            Err(code) => panic!("{code}: {data:?}"),
        }
    }
    shop.sells("behind them");
    shop.closes_well();
}

#[test]
fn rows_that_the_endpoint_would_have_refused_are_kept_raw_and_go_to_dead_letters() {
    let mut shop = Shop::open();
    let without = |article: &str, field: &str| {
        let mut row = order(article);
        row.as_object_mut().unwrap().remove(field);
        row
    };
    let rows = [
        (order_with("null customer", "CustomerID", json!(null)), "key_missing", Some("CustomerID")),
        (order_with("customer is a number", "CustomerID", json!(17850)), "key_type", Some("CustomerID")),
        (order_with("no customer's name", "CustomerID", json!("")), "key_empty", Some("CustomerID")),
        (order_with("key above 2048 bytes", "InvoiceNo", json!("k".repeat(2049))), "key_too_long", Some("InvoiceNo")),
        (without("no invoice", "InvoiceNo"), "key_missing", Some("InvoiceNo")),
        (order_with("no number", "UnitPrice", json!("free")), "process_failed", None),
    ];
    let put = block_on(async {
        let stream = Stream::of(&shop).await;
        let mut put = Vec::new();
        for (row, ..) in &rows {
            put.push(stream.put("a", row.to_string().as_bytes()).await.unwrap());
        }
        put
    });
    for ((row, reason, field), position) in rows.into_iter().zip(put) {
        let data = row.to_string();
        shop.expect_no_item(row, Letter::new("tables", data.as_bytes(), &position, reason, field));
    }
    shop.sells("behind them");
    shop.closes_well();
}

#[test]
fn a_record_above_the_streams_limit_is_refused_and_one_of_ten_mebibytes_is_carried() {
    let mut shop = Shop::open();
    let invalid = || Err("ValidationException".to_owned());
    let too_large = || Err("InvalidArgumentException".to_owned());
    let (whole, large) = (row_of("1 MiB", MIB - 1), row_of("10 MiB", 10 * MIB - 1));
    let put = block_on(async {
        let stream = Stream::of(&shop).await;
        assert_eq!(stream.put("k", &vec![b'x'; MIB]).await, too_large(), "the key counts too");
        assert_eq!(stream.put("k", &vec![b'x'; 2 * MIB]).await, too_large());
        assert_eq!(stream.put(&"k".repeat(257), b"{}").await, invalid());
        assert_eq!(stream.put("", b"{}").await, invalid());
        let whole = stream.put("k", whole.to_string().as_bytes()).await.unwrap();
        stream.allow_large_records().await;
        assert_eq!(stream.put("k", &vec![b'x'; 10 * MIB]).await, too_large());
        [whole, stream.put("k", large.to_string().as_bytes()).await.unwrap()]
    });
    for (row, position) in [whole, large].into_iter().zip(put) {
        let data = row.to_string();
        shop.expect_no_item(row, Letter::new("tables", data.as_bytes(), &position, "item_too_large", None));
    }
    shop.sells("behind them");
    shop.closes_well();
}
