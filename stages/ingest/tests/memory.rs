//! Bodies that would fill the memory. A test binary of its own, because it measures the process.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::Write;
use std::process::Command;

use common::{CSV, JSON, NDJSON, row, start};

/// What the `penstock` command runs with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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

/// Has the allocator give pages back at once. As it ships it keeps them for a second, and then what is measured is
/// what several requests held one after the other.
const GIVE_BACK: (&str, &str) = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0");

/// The allocator reads its settings when a process starts, so the measuring is done in another one.
#[test]
fn bombs_are_refused_in_bounded_memory_and_the_stage_goes_on() {
    if std::env::var(GIVE_BACK.0).is_ok_and(|conf| conf == GIVE_BACK.1) {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        return runtime.worker_threads(2).enable_all().build().unwrap().block_on(send_bombs());
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "bombs_are_refused_in_bounded_memory_and_the_stage_goes_on", "--nocapture"]);
    let measured = again.env(GIVE_BACK.0, GIVE_BACK.1).output().unwrap();
    let said = String::from_utf8_lossy(&measured.stdout);
    assert!(said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&measured.stderr));
}

async fn send_bombs() {
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
    // The budget is one compressed and two decompressed bodies of the largest size, 144 MiB. The rest is for the
    // buffers of connections and what the test itself makes; up to 145 MiB were seen in all.
    let grown = status("VmHWM") - before;
    assert!(grown < 192 << 20, "{} MiB", grown >> 20);
    stage.end().await;
}
