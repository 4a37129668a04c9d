//! A month of a shop: made, sent and read back by an independent client.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use penstock_conformance::{may_skip, penstock, python, scripts};
use serde_json::Value;

use crate::setting::Setting;

pub(crate) const KEY: &str = "a-key-of-the-tests-0123456789abcdef";

/// Makes the file.
pub(crate) fn sample(rows: u64, folder: &Path) -> PathBuf {
    let file = folder.join("shop.csv");
    let mut sample = Command::new(penstock().unwrap());
    sample.args(["sample", "--seed", "5", "--rows", &rows.to_string(), "--out"]).arg(&file);
    assert!(sample.stderr(Stdio::null()).status().unwrap().success());
    file
}

/// A client that sends the file. Killed when dropped.
pub(crate) struct Sending {
    client: Child,
    log: PathBuf,
}

impl Sending {
    /// Begins, at most so many rows a second.
    pub(crate) fn start(setting: &Setting, file: &Path, rate: u64) -> Self {
        Self::with(setting, file, &["--batch-rows", "50", "--rate", &rate.to_string()])
    }

    /// Goes on where an earlier one was interrupted, as fast as it can.
    pub(crate) fn resume(setting: &Setting, file: &Path) -> Self {
        Self::with(setting, file, &["--resume"])
    }

    fn with(setting: &Setting, file: &Path, arguments: &[&str]) -> Self {
        let to = format!("http://{}/orders", setting.address("shop", "ecommerce-orders"));
        let log = setting.folder.path().join("send.log");
        let mut client = setting.cluster.command(penstock().unwrap());
        client.arg("send").arg(file).args(["--to", &to, "--quiet"]).args(arguments).env("PENSTOCK_API_KEY", KEY);
        client.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Self { client: client.spawn().unwrap(), log }
    }

    /// Interrupts it, as Ctrl-C does, in the middle of its work.
    pub(crate) fn interrupt(mut self) {
        assert!(Command::new("kill").args(["-INT", &self.client.id().to_string()]).status().unwrap().success());
        let status = self.client.wait().unwrap();
        assert_eq!(status.code(), Some(130), "all rows were sent before everything had happened: {}", self.said());
    }

    /// Waits until all rows were accepted.
    pub(crate) fn finish(mut self) {
        let status = self.client.wait().unwrap();
        assert!(status.success(), "the client ended with {status}: {}", self.said());
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.client.kill());
        drop(self.client.wait());
    }
}

/// What boto3 finds in the stores; `None` where it cannot be had.
pub(crate) fn read_back(setting: &Setting, file: &Path) -> Option<Value> {
    let python = python()
        .inspect_err(|error| {
            may_skip("reading back by boto3", error).unwrap();
            eprintln!("SKIPPED: nothing is read back by boto3: {error:#}");
        })
        .ok()?;
    let mut check = setting.cluster.command(python);
    check.arg("-B").arg(scripts().join("main_job_check.py")).arg("--repeats").arg("--csv").arg(file);
    check.args(["--region", "eu-west-1", "--stream", "shop.ecommerce.events", "--endpoint", &setting.engines()]);
    let output = check.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    Some(serde_json::from_str(&printed).unwrap_or_else(|_| panic!("the check did not run: {printed} {said}")))
}
