#![allow(clippy::unwrap_used, reason = "tests")]

use sha2::{Digest, Sha256};

use super::*;
use crate::totals::totals;

fn sample(rows: u64, seed: u64) -> (Vec<u8>, Totals) {
    let mut text = Vec::new();
    let totals = generate(SampleOptions { rows, seed }, &mut text).unwrap();
    (text, totals)
}

#[test]
fn the_totals_it_gives_are_those_of_the_file() {
    for (rows, seed) in [(0, 1), (1, 1), (7, 2), (1_000, 3), (60_000, 4)] {
        let (text, given) = sample(rows, seed);
        assert_eq!(given.rows, rows);
        assert_eq!(totals(text.as_slice()).unwrap(), given, "{rows} rows");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_ever() {
    let (text, _) = sample(20_000, 42);
    assert_eq!(hex::encode(Sha256::digest(&text)), "19de5c6e19de8014b07403dc8858ab1fb6b1ca5b12c25f76f4a91e78766aabf1");
    assert_ne!(sample(20_000, 43).0, text);
}

#[test]
fn the_file_has_the_shape_of_a_shops() {
    let (text, totals) = sample(60_000, 7);
    let share = |count: u64, of: u64| count * 1_000 / of;
    assert!((150..350).contains(&share(totals.rows_without_customer, totals.rows)), "{totals:?}");
    assert!((8..30).contains(&share(totals.cancellation_rows, totals.rows)), "{totals:?}");
    assert!((5..30).contains(&share(totals.duplicate_rows, totals.rows)), "{totals:?}");
    assert!(
        (5..40).contains(&share(totals.rows - totals.invoice_stock_pairs - totals.duplicate_rows, totals.rows)),
        "{totals:?}"
    );
    assert!((10..40).contains(&(totals.rows / totals.invoices)), "{totals:?}");
    assert!(totals.customers > 1_500 && totals.stock_codes > 3_000 && totals.non_ascii_rows > 100, "{totals:?}");
    assert!(text.starts_with(HEADER) && text.ends_with(b"\r\n"));
    assert_eq!(memchr::memchr_iter(b'\n', &text).count() as u64, totals.rows + 1);
    let (decoded, _, broken) = encoding_rs::WINDOWS_1252.decode(&text);
    assert!(!broken);
    for part in
        ["CAFÉ", "£5", ",\"", "\"\"", ",0,", ",-", "\nC5", ",France\r", "12/1/2010 8:", ",POST,", ",D,Discount,-1,"]
    {
        assert!(decoded.contains(part), "{part}");
    }
    assert!(std::str::from_utf8(&text).is_err(), "it is not UTF-8");
}

#[test]
fn small_samples_also_have_cancellations_and_missing_customers() {
    let (_, totals) = sample(500, 1);
    assert!(
        totals.cancellation_rows > 0 && totals.rows_without_customer > 0 && totals.duplicate_rows > 0,
        "{totals:?}"
    );
    assert!(totals.invoices > 10, "{totals:?}");
}
