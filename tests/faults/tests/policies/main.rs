//! The policies that `penstock iam-policy` prints are enough to work with, and not more: stages and operator run behind
//! gates that let through what they grant and nothing else.
#![allow(clippy::unwrap_used, reason = "tests")]

mod asked;
mod gate;
mod operator;
mod policy;
mod stages;

use std::path::Path;
use std::process::Command;

use penstock_conformance::{LocalAws, LocalAwsOptions};
use penstock_provision::Clients;
use penstock_runtime::Aws;
use serde_json::Value;

use asked::{ACCOUNT, REGION};
use policy::Policy;

/// An account of a test's own.
struct Account {
    engines: LocalAws,
    folder: tempfile::TempDir,
}

impl Account {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engines = LocalAws::start(&LocalAwsOptions::new(&folder.path().join("engines"))).unwrap();
        Self { engines, folder }
    }

    /// Clients that may do everything.
    async fn clients(&self) -> Clients {
        clients(self.engines.endpoint()).await
    }
}

async fn clients(endpoint: &str) -> Clients {
    let aws = Aws::local(REGION, endpoint).await;
    let s3 = aws_sdk_s3::config::Builder::from(&aws.config).force_path_style(aws.path_style).build();
    Clients {
        kinesis: aws_sdk_kinesis::Client::new(&aws.config),
        dynamodb: aws_sdk_dynamodb::Client::new(&aws.config),
        s3: aws_sdk_s3::Client::from_conf(s3),
    }
}

/// What `penstock` prints.
fn penstock(arguments: &[&str]) -> Value {
    let output = Command::new(penstock_conformance::penstock().unwrap()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn policy_of(file: &Path, role: &str) -> Policy {
    let file = file.to_str().unwrap();
    serde_json::from_value(penstock(&["iam-policy", file, "--account", ACCOUNT, "--for", role])).unwrap()
}

fn plan_of(file: &Path) -> Value {
    penstock(&["render", file.to_str().unwrap(), "--output", "json"])
}
