//! `penstock run --send`: the client, in the same process, over HTTP all the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use penstock_client::{ApiKey, End, Input, Progress, SendOptions, Summary};
use penstock_runtime::Stop;
use serde::Serialize;

use super::endpoints::SourceEndpoint;
use crate::send::drawing::draw;

/// What the client counted for one file.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sent {
    /// The file.
    pub file: String,
    /// Rows that were read.
    pub read: u64,
    /// Rows that the source accepted.
    pub accepted: u64,
    /// Rows that it refused.
    pub refused: u64,
    /// Rows that could not be read.
    pub unreadable: u64,
    /// How often a row was sent again without knowing whether it had arrived.
    pub doubtful: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Sends the files, one after the other.
pub(super) async fn send_all(
    files: &[PathBuf],
    source: Option<&SourceEndpoint>,
    stop: &Stop,
) -> anyhow::Result<Vec<Sent>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let source = source.context("there is no such HTTP source to send to")?;
    let mut sent = Vec::with_capacity(files.len());
    for file in files {
        sent.push(send(file, source, stop).await?);
    }
    Ok(sent)
}

async fn send(file: &Path, source: &SourceEndpoint, stop: &Stop) -> anyhow::Result<Sent> {
    let mut options = SendOptions::new(Input::File(file.to_owned()), Some(source.url.clone()));
    if let Some(key) = &source.api_key_file {
        let key = std::fs::read_to_string(key).with_context(|| format!("the API key in {key} cannot be read"))?;
        options.api_key = Some(ApiKey::new(key.trim()));
    }
    let progress = Arc::new(Progress::new());
    let drawn = draw(&progress);
    let summary = penstock_client::send(options, progress, stop.drain.child_token()).await;
    drawn.end().await;
    let summary = summary.with_context(|| format!("{} cannot be sent", file.display()))?;
    match summary.end {
        End::Complete | End::AlreadyComplete => Ok(of(file, &summary)),
        _ => bail!("{} was not sent to its end: {}", file.display(), summary.end.error().unwrap_or_default()),
    }
}

fn of(file: &Path, summary: &Summary) -> Sent {
    Sent {
        file: file.display().to_string(),
        read: summary.counts.rows_read,
        accepted: summary.counts.rows_accepted,
        refused: summary.counts.rows_refused,
        unreadable: summary.counts.rows_bad,
        doubtful: summary.counts.rows_doubtful,
        seconds: summary.seconds,
    }
}
