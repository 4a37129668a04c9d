//! The shop's query API over the embedded engines, judged by clients that are not ours: Python's own modules, which compute
//! every answer from the file that was sent, and schemathesis, which knows the OpenAPI document only.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use penstock_conformance::{may_skip, penstock, schemathesis, scripts};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// The shop with a file in its stores, answering.
struct Shop {
    server: Child,
    ready: Value,
    file: PathBuf,
    folder: tempfile::TempDir,
}

impl Shop {
    fn open(rows: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.csv");
        let sampled = Command::new(penstock().unwrap())
            .args(["sample", "--rows", &rows.to_string(), "--seed", "5", "--out"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(sampled.status.success(), "{}", text(&sampled));
        let manifest = folder.path().join("pipeline.yaml");
        fs::write(&manifest, without_rate_limit()).unwrap();
        let stored = run(&manifest, folder.path())
            .args(["--until-drained", "--no-read-back", "--send"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(stored.status.success(), "{}", text(&stored));
        let ready_file = folder.path().join("ready.json");
        let log = fs::File::create(folder.path().join("run.log")).unwrap();
        let server = run(&manifest, folder.path())
            .arg("--ready-file")
            .arg(&ready_file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut shop = Self { server, ready: Value::Null, file, folder };
        shop.ready = shop.wait_for(&ready_file);
        shop
    }

    fn wait_for(&mut self, ready_file: &Path) -> Value {
        let began = Instant::now();
        loop {
            if let Ok(ready) = fs::read(ready_file) {
                return serde_json::from_slice(&ready).unwrap();
            }
            let log = || fs::read_to_string(self.folder.path().join("run.log")).unwrap();
            assert!(began.elapsed() < PATIENCE, "the shop does not open: {}", log());
            assert!(self.server.try_wait().unwrap().is_none(), "the shop has ended: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn url(&self) -> &str {
        self.ready["apis"][0]["url"].as_str().unwrap()
    }

    /// What is answered to everybody.
    fn get(&self, path: &str) -> Value {
        let address = self.url().trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        serde_json::from_str(body).unwrap()
    }

    fn key_file(&self) -> &str {
        self.ready["apis"][0]["apiKeyFile"].as_str().unwrap()
    }
}

/// A token is sealed, so a text that a generator makes is none, and no other parameter of such a request would be tried.
fn without_tokens(mut document: Value) -> Value {
    let paths = document["paths"].as_object_mut().unwrap();
    assert!(paths.len() >= 16);
    for path in paths.values_mut() {
        path["get"]["parameters"].as_array_mut().unwrap().retain(|parameter| parameter["name"] != "next");
    }
    document
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// The example, asked more often than people would.
fn without_rate_limit() -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/ecommerce/analytics.yaml");
    let text = fs::read_to_string(example).unwrap();
    let kept: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("rateLimit:")).collect();
    assert_eq!(kept.len() + 1, text.lines().count());
    kept.join("\n")
}

fn run(manifest: &Path, folder: &Path) -> Command {
    let mut command = Command::new(penstock().unwrap());
    command.arg("run").arg(manifest).arg("--data-dir").arg(folder.join("data"));
    command
        .args(["--engine-port", "0", "--http-port", "0", "--admin-port", "0", "--page-port", "0"])
        .stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_answer_is_what_python_computes_from_the_file() {
    if let Err(error) = Command::new("python3").arg("--version").output() {
        may_skip("asking the shop by Python", &error.into()).unwrap();
        eprintln!("skipped: asking the shop by Python, since there is no python3");
        return;
    }
    let shop = Shop::open(9_000);
    let output = Command::new("python3")
        .arg("-B")
        .arg(scripts().join("shop_api_check.py"))
        .args(["--url", shop.url(), "--key-file", shop.key_file(), "--csv"])
        .arg(&shop.file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["rows"], 9_000);
    assert!(verdict["asked"].as_object().unwrap().len() >= 16, "{verdict}");
}

#[test]
fn the_api_is_what_its_openapi_document_says() {
    let command = match schemathesis() {
        Ok(command) => command,
        Err(error) => {
            may_skip("trying the API by schemathesis", &error).unwrap();
            eprintln!("skipped: trying the API by schemathesis, since {error:#}");
            return;
        }
    };
    let shop = Shop::open(500);
    let key = fs::read_to_string(shop.key_file()).unwrap();
    let document = shop.folder.path().join("openapi.json");
    fs::write(&document, without_tokens(shop.get("/openapi.json")).to_string()).unwrap();
    let output = Command::new(command)
        .arg("run")
        .arg(&document)
        .args(["--url", shop.url()])
        .args(["--header", &format!("Authorization: Bearer {}", key.trim())])
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", "15"])
        .args(["--seed", "7", "--no-color"])
        .current_dir(shop.folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
