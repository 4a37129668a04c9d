//! The functions that such pipelines have in Lambda, in Python with boto3: `peers/lambda`.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use penstock_bench::used_by;
use penstock_faults::root;
use serde::Deserialize;
use tokio::process::Command;

use crate::cores::on_the_first;
use crate::figure::{Figure, System};
use crate::subject::World;

/// What an instance prints at its end.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    rows: f64,
    seconds: f64,
    cpu_seconds: f64,
    peak_rss_mib: f64,
}

/// One instance of a function, which gets its next event when it is done with the last.
pub(crate) async fn measure(
    world: &World,
    function: &str,
    rows: &[(String, String)],
    time: Duration,
) -> anyhow::Result<Figure> {
    let file = world.folder.path().join("rows.jsonl");
    fs::write(&file, rows.iter().map(|(_, row)| format!("{row}\n")).collect::<String>())?;
    let folder = root().join("tests/bench/peers/lambda");
    let mut command = on_the_first(penstock_conformance::python()?);
    command
        .arg(folder.join("instance.py"))
        .arg(function)
        .arg("--rows")
        .arg(&file)
        .args(["--seconds", &time.as_secs().to_string()])
        .env("AWS_ENDPOINT_URL", world.stand_in.endpoint())
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("STREAM", world.stream()?)
        .env("TABLE", "bench-items")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(std::process::Stdio::null());
    let before = world.stand_in.counts().all();
    let (own_before, _) = used_by(std::process::id())?;
    let output = Command::from(command).kill_on_drop(true).output().await.context("starting Python")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Said = serde_json::from_slice(&output.stdout)?;
    let (own, _) = used_by(std::process::id())?;
    Ok(Figure {
        path: "",
        system: System::Lambda,
        run: 0,
        seconds: said.seconds,
        rows_per_second: said.rows / said.seconds,
        cpu_seconds_per_million: said.cpu_seconds / said.rows * 1e6,
        peak_rss_mib: said.peak_rss_mib,
        busy: said.cpu_seconds / said.seconds,
        // The warm-up is in it; it has the same load.
        stand_in_busy: (own - own_before) / (said.seconds + 3.0),
        latency: None,
        calls: world.stand_in.counts().since(&before),
    })
}
