//! Bodies that are too much, and bodies that are too little.

use std::io::Write;

use crate::http::{CSV, JSON, NDJSON, answer, connect};
use crate::shop::{Shop, ndjson, order};

const TEN_GIB: usize = 10 << 30;
const MEMBER: usize = 32 << 20;
/// The largest block of a zstd frame.
const BLOCK: usize = 128 << 10;

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Members that each decompress to 32 MiB of zeros, as `cat` would put them together: a thousandth of what comes out.
pub(crate) fn gzip_bomb(bytes: usize) -> Vec<u8> {
    let bomb = gzip(&vec![0; MEMBER]).repeat(bytes / MEMBER);
    assert!(bomb.len() < bytes / 1000, "{}", bomb.len());
    bomb
}

/// One frame of blocks that each say "this byte, 128 Ki times" (RFC 8878, 3.1.1): 10 GiB in a third of a megabyte.
fn zstd_bomb() -> Vec<u8> {
    let mut bomb = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 13 << 3];
    let blocks = TEN_GIB / BLOCK;
    for block in 1..=blocks {
        let header = BLOCK << 3 | 1 << 1 | usize::from(block == blocks);
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(b' ');
    }
    bomb
}

#[test]
fn ten_gigabytes_in_ten_megabytes_are_refused() {
    let shop = Shop::open();
    let (gzip, zstd) = (gzip_bomb(TEN_GIB), zstd_bomb());
    let too_large = (413, "decompressed_too_large".to_owned());
    for content_type in [NDJSON, JSON, CSV] {
        for (coding, bomb) in [("gzip", &gzip), ("zstd", &zstd)] {
            let answer = shop.post_as(&[("content-type", content_type), ("content-encoding", coding)], bomb);
            assert_eq!(answer.problem(), too_large, "{content_type} {coding}");
        }
    }
    // With several at once there may not be memory for all of them, which is no reason to take it.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let answer = shop.post_as(&[("content-type", NDJSON), ("content-encoding", "gzip")], &gzip);
                let problem = answer.problem();
                assert!(problem == too_large || problem == (503, "overloaded".to_owned()), "{problem:?}");
            });
        }
    });
    shop.closes_well();
}

#[test]
fn bodies_that_grow_only_when_they_are_taken_apart_are_refused() {
    let shop = Shop::open();
    // 20 million rows in 60 kB.
    let rows = gzip(&b"{}\n".repeat(20 << 20));
    let answer = shop.post_as(&[("content-type", NDJSON), ("content-encoding", "gzip")], rows);
    assert_eq!(answer.problem(), (413, "too_many_rows".to_owned()));
    // Long names over short cells: much JSON of little CSV.
    let names: Vec<_> = (0..1000).map(|number| format!("{}{number}", "n".repeat(900))).collect();
    let wide = format!("InvoiceNo,{}\n{}", names.join(","), format!("a{}\n", ",b".repeat(1000)).repeat(5000));
    let answer = shop.post(CSV, wide);
    assert!(answer.status == 413 || answer.status == 422, "{answer:?}");
    let answer = shop.post(NDJSON, vec![b' '; 17 << 20]);
    assert_eq!(answer.problem(), (413, "body_too_large".to_owned()));
    shop.closes_well();
}

#[test]
fn a_body_that_stops_halfway_leaves_nothing_behind() {
    let mut shop = Shop::open();
    let rows: Vec<_> = (0..1000).map(|number| order(&number.to_string()).to_string()).collect();
    let whole = ndjson(&rows);
    let half = &whole[..whole.len() / 2];
    let chunk = [format!("{:x}\r\n", half.len()).as_bytes(), half, b"\r\n"].concat();
    for (body, framing) in [
        (half, format!("content-length: {}", whole.len())),
        (&chunk, "transfer-encoding: chunked".to_owned()),
        (&chunk[..chunk.len() - 100], "transfer-encoding: chunked".to_owned()),
    ] {
        let mut connection = connect(shop.addr());
        let head = format!("{}{framing}\r\n\r\n", shop.head(&[("content-type", NDJSON)]));
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(body).unwrap();
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = answer(&mut connection).expect("an answer to a client that still reads");
        assert_eq!(answer.problem(), (400, "incomplete_body".to_owned()));
        // A client that is gone altogether.
        let mut connection = connect(shop.addr());
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(body).unwrap();
    }
    for (coding, compressed) in [("gzip", gzip(&whole)), ("zstd", zstd::encode_all(&whole[..], 3).unwrap())] {
        let headers = [("content-type", NDJSON), ("content-encoding", coding)];
        let answer = shop.post_as(&headers, &compressed[..compressed.len() / 2]);
        assert_eq!(answer.problem(), (400, "incomplete_body".to_owned()), "{coding}");
    }
    let answer = shop.post(JSON, [b"[", half].concat());
    assert_eq!(answer.problem(), (400, "malformed_body".to_owned()));
    let answer = shop.post(CSV, b"InvoiceNo,StockCode\n1,\"and the cell does not en");
    assert_eq!(answer.problem(), (400, "malformed_body".to_owned()));
    shop.sells("one between");
    shop.closes_well();
}
