//! The main job as processes, read back by boto3.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use penstock_faults::{Client, Server, ServerOptions, Verdict, penstock, root, sample, verify};

const PIPELINE: &str = "examples/ecommerce/pipeline.yaml";
const PATIENCE: Duration = Duration::from_secs(120);

struct Setting {
    penstock: PathBuf,
    folder: tempfile::TempDir,
    options: ServerOptions,
    file: PathBuf,
}

impl Setting {
    fn new(rows: u64, seed: u64) -> Self {
        let penstock = penstock().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = ServerOptions::new(&penstock, &root().join(PIPELINE), &folder.path().join("data")).unwrap();
        let file = folder.path().join("shop.csv");
        sample(&penstock, rows, seed, &file).unwrap();
        Self { penstock, folder, options, file }
    }

    fn client(&self, server: &Server, arguments: &[&str]) -> Client {
        let journal = self.folder.path().join("journal");
        Client::start(&self.penstock, &self.file, &server.ready.sources[0], &journal, arguments).unwrap()
    }

    fn drain(&self) {
        let status = self
            .options
            .command()
            .args(["--until-drained", "--no-read-back"])
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }

    /// What boto3 finds, or `None` where it cannot be had.
    fn verdict(&self, repeats_allowed: bool) -> Option<Verdict> {
        if let Err(error) = penstock_conformance::python() {
            penstock_conformance::may_skip("reading back by boto3", &error).unwrap();
            eprintln!("skipped: reading back by boto3, since {error:#}");
            return None;
        }
        let server = Server::start(&self.options).unwrap();
        Some(verify(&server.ready, &self.file, repeats_allowed).unwrap())
    }
}

fn wait_for(client: &mut Client, log: &Path) {
    let began = Instant::now();
    loop {
        if let Some(status) = client.ended().unwrap() {
            assert!(status.success(), "the client ended with {status}: {}", std::fs::read_to_string(log).unwrap());
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the client did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_file_that_is_sent_is_in_every_store_once() {
    let setting = Setting::new(4_000, 11);
    let status = setting
        .options
        .command()
        .args(["--until-drained", "--total", "Amount=Quantity*UnitPrice", "--output", "json", "--send"])
        .arg(&setting.file)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    if let Some(verdict) = setting.verdict(false) {
        assert_eq!(verdict.problems, Vec::<String>::new());
        assert_eq!((verdict.rows, verdict.buffered, verdict.repeats), (4_000, 4_000, 0));
    }
}

#[test]
fn nothing_is_lost_or_doubled_when_server_and_client_are_killed() {
    let setting = Setting::new(6_000, 12);
    let mut server = Server::start(&setting.options).unwrap();
    let mut client = setting.client(&server, &["--rate", "2000"]);
    let mut random = fastrand::Rng::with_seed(12);
    for round in 0..4 {
        std::thread::sleep(Duration::from_millis(random.u64(100..=700)));
        server.kill().unwrap();
        if round == 2 {
            client.kill().unwrap();
            server = Server::start(&setting.options).unwrap();
            client = setting.client(&server, &["--rate", "2000"]);
        } else {
            server = Server::start(&setting.options).unwrap();
        }
    }
    wait_for(&mut client, &setting.folder.path().join("journal.log"));
    let status = server.drain(PATIENCE).unwrap();
    assert!(status.success(), "a drained server ended with {status}");
    setting.drain();
    if let Some(verdict) = setting.verdict(true) {
        assert_eq!(verdict.problems, Vec::<String>::new());
        assert_eq!(verdict.buffered, verdict.rows + verdict.repeats);
    }
}
