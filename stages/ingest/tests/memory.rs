//! Bodies that would fill the memory. A test binary of its own, because it measures the process.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::Write;

use common::{CSV, JSON, NDJSON, row, start};

const TEN_GIB: usize = 10 << 30;

/// Many members that each decompress to so many zeros: together more than 10 GiB in at most 10 MB.
fn bomb(member: Vec<u8>, zeros: usize) -> Vec<u8> {
    let bomb = member.repeat(TEN_GIB.div_ceil(zeros));
    assert!(bomb.len() < 11_000_000, "{}", bomb.len());
    bomb
}

fn gzip_bomb() -> Vec<u8> {
    let zeros = 32 << 20;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; zeros]).unwrap();
    bomb(encoder.finish().unwrap(), zeros)
}

fn zstd_bomb() -> Vec<u8> {
    let zeros = 32 << 20;
    bomb(zstd::encode_all(&vec![0; zeros][..], 3).unwrap(), zeros)
}

fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_in_bounded_memory_and_the_stage_goes_on() {
    let (stage, _stream) = start().await;
    let (gzip, zstd) = (gzip_bomb(), zstd_bomb());
    // Columns with long names make much JSON of little CSV.
    let names: Vec<_> = (0..1000).map(|n| format!("{}{n}", "n".repeat(900))).collect();
    let wide = format!("InvoiceNo,{}\n{}", names.join(","), format!("a{}\n", ",b".repeat(1000)).repeat(5000));
    let before = status("VmRSS");
    for _ in 0..3 {
        let (gzip, zstd, wide, plain) = tokio::join!(
            stage.post(&[NDJSON, ("content-encoding", "gzip")], &gzip),
            stage.post(&[JSON, ("content-encoding", "zstd")], &zstd),
            stage.post(&[CSV], &wide),
            stage.post(&[JSON], row("a", 1).to_string()),
        );
        // With several at once, there may not be memory for all of them.
        for (bomb, code) in
            [(gzip, "decompressed_too_large"), (zstd, "decompressed_too_large"), (wide, "decompressed_too_large")]
        {
            let (_, found) = bomb.problem();
            assert!(found == code || found == "overloaded", "{found}");
        }
        assert_eq!(plain.status, 200);
    }
    let alone = stage.post(&[NDJSON, ("content-encoding", "gzip")], &gzip).await;
    assert_eq!(alone.problem(), (413, "decompressed_too_large".to_owned()));
    // The budget is one compressed and two decompressed bodies of the largest size, 144 MiB; on top come the
    // buffers of connections, copies that the test itself makes, and what the allocator keeps.
    let grown = status("VmHWM") - before;
    assert!(grown < 384 << 20, "{} MiB", grown >> 20);
    stage.end().await;
}
