//! Compares the stores with the file, by boto3; and with the stream, by `penstock audit`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{Ready, ServerOptions};

/// What boto3 found in the stores.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Rows of the file.
    pub rows: u64,
    /// The sum of quantity times price over the file.
    pub revenue: String,
    /// Records in the stream.
    pub buffered: u64,
    /// Records of the stream that repeat the id of another.
    pub repeats: u64,
    /// Objects in S3.
    pub objects: u64,
    /// Items in the invoices' table.
    pub invoice_items: u64,
    /// Items in the customers' table.
    pub customer_items: u64,
    /// What is not as it must be.
    pub problems: Vec<String>,
}

/// Compares the stores of the `ecommerce` example with the file that was sent.
///
/// # Errors
/// When boto3 cannot be had or the script does not run.
pub fn verify(ready: &Ready, file: &Path, repeats_allowed: bool) -> anyhow::Result<Verdict> {
    let python = penstock_conformance::python()?;
    let stream = ready.streams.first().context("the Pipeline has no stream")?;
    let mut check = Command::new(python);
    check
        .arg(penstock_conformance::scripts().join("main_job_check.py"))
        .args(["--endpoint", &ready.aws_endpoint_url, "--region", &ready.region, "--stream", stream, "--csv"])
        .arg(file);
    if repeats_allowed {
        check.arg("--repeats");
    }
    let output = check.output().context("Python cannot be started")?;
    match serde_json::from_slice(&output.stdout) {
        Ok(verdict) => Ok(verdict),
        Err(_) => bail!("the check did not run: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// What `penstock audit --deep` finds wrong, or cannot find out.
///
/// # Errors
/// When it does not run.
pub fn audit(options: &ServerOptions, ready: &Ready) -> anyhow::Result<Vec<String>> {
    let output = Command::new(&options.penstock)
        .arg("audit")
        .arg(&options.pipeline)
        .args(["--engines", &ready.aws_endpoint_url, "--deep", "--output", "json"])
        .output()
        .context("penstock cannot be started")?;
    let Ok(report) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else {
        bail!("the audit did not run: {}", String::from_utf8_lossy(&output.stderr));
    };
    let findings = report["findings"].as_array().into_iter().flatten();
    let amiss = findings.filter(|finding| finding["verdict"] != "fine");
    Ok(amiss.map(|finding| format!("the audit says: {finding}")).collect())
}
