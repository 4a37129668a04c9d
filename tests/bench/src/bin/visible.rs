//! From the post of a row until it stands in its table, at low load: `cargo xtask bench -- visible`.
//!
//! `penstock run` with all engines; a row at a time, at moments by chance, so that they fall anywhere between two readings.
//! The answer of the source is part of the time.
#![allow(clippy::print_stdout, reason = "what was asked for")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use clap::Parser;
use penstock_bench::load::{Connection, Seen, post};
use penstock_faults::{Server, ServerOptions, penstock, root};
use penstock_runtime::Aws;

/// The tables, with how their sinks read.
const TABLES: [(&str, &str); 2] = [("polling", "visible-polled"), ("fan-out", "visible-pushed")];
/// How long a row may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a table.
const LOOK: Duration = Duration::from_millis(1);

/// Measures the time from the post of a row until it can be read from its table.
#[derive(Debug, Parser)]
struct Args {
    /// How many rows are posted, after ten that are not counted.
    #[arg(long, default_value_t = 300)]
    rows: u32,
    /// The longest pause between a row and the next, in milliseconds.
    #[arg(long, default_value_t = 400)]
    pause_millis: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let pipeline = root().join("tests/bench/pipelines/visible.yaml");
    let options = ServerOptions::new(&penstock()?, &pipeline, &folder.path().join("data"))?;
    let server = Server::start(&options)?;
    let times = times(&server, &args).await?;
    println!("reading      rows    p50 ms    p99 ms   most ms");
    for ((name, _), seen) in TABLES.iter().zip(times) {
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| seen.quantile(share));
        println!("{name:<9} {:>7} {p50:>9.0} {p99:>9.0} {most:>9.0}", seen.answered);
    }
    Ok(())
}

/// For each table, the times of all rows.
async fn times(server: &Server, args: &Args) -> anyhow::Result<[Seen; 2]> {
    let aws = Aws::local(&server.ready.region, &server.ready.aws_endpoint_url).await;
    let client = Client::new(&aws.config);
    let source = server.ready.sources.first().context("there is no source")?;
    let mut connection = Connection::open(address(&source.url)?).await?;
    let mut all = [Seen::default(), Seen::default()];
    for number in 0..args.rows + 10 {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=args.pause_millis))).await;
        let invoice = number.to_string();
        let began = Instant::now();
        connection.send(&post("/orders", "application/json", &format!(r#"{{"InvoiceNo":"{invoice}"}}"#))).await?;
        let both = TABLES.map(|(_, table)| until_visible(&client, table, &invoice, began));
        let [polled, pushed] = both;
        let (polled, pushed) = tokio::try_join!(polled, pushed)?;
        // The first ones wait for sinks that only begin to read.
        if number >= 10 {
            for (seen, time) in all.iter_mut().zip([polled, pushed]) {
                seen.answered += 1;
                seen.micros.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
            }
        }
    }
    all.iter_mut().for_each(|seen| seen.micros.sort_unstable());
    Ok(all)
}

async fn until_visible(client: &Client, table: &str, invoice: &str, began: Instant) -> anyhow::Result<Duration> {
    loop {
        let key = AttributeValue::S(invoice.to_owned());
        let found = client.get_item().table_name(table).key("InvoiceNo", key).consistent_read(true).send().await?;
        if found.item.is_some() {
            return Ok(began.elapsed());
        }
        ensure!(began.elapsed() < PATIENCE, "the row {invoice} is not in {table} after {PATIENCE:?}");
        tokio::time::sleep(LOOK).await;
    }
}

fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let host = url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    host.context("the source's URL is not http")?.parse().context("the source's URL has no address")
}
