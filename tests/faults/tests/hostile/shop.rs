//! The shop of the example as a process, and what must be in its stores when it has closed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use penstock_faults::{Server, ServerOptions, penstock, root};
use serde_json::{Value, json};

use crate::http::{self, Answer, JSON};
use crate::stores::{Letter, Stores};

/// What the process may hold at most, engines, source and sinks together, whatever comes in. Bodies may take
/// 144 MiB (16 MiB as sent, twice 64 MiB taken apart), the queue 32 MiB; the rest is engines, batches and
/// buffers.
const PEAK_BYTES: u64 = 512 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// A shop that is open.
pub(crate) struct Shop {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) penstock: PathBuf,
    pub(crate) server: Server,
    options: ServerOptions,
    addr: SocketAddr,
    path: String,
    key: String,
    expected: Expected,
}

/// What must be in the stores in the end, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// As they came, in S3.
    pub(crate) raw: Vec<Value>,
    /// As items.
    pub(crate) items: Vec<Value>,
    /// In dead letters.
    pub(crate) letters: Vec<Letter>,
}

/// A good row with an id of its own.
pub(crate) fn order(id: &str) -> Value {
    json!({
        "InvoiceNo": "536365", "StockCode": id, "Description": "LANTERN", "Quantity": 2,
        "InvoiceDate": "12/1/2010 8:26", "UnitPrice": 2.5, "CustomerID": "17850", "Country": "France", "_id": id,
    })
}

/// A good row that differs in one field.
pub(crate) fn order_with(id: &str, field: &str, value: Value) -> Value {
    let mut row = order(id);
    row[field] = value;
    row
}

/// As lines.
pub(crate) fn ndjson<R: AsRef<[u8]>>(rows: &[R]) -> Vec<u8> {
    rows.iter().flat_map(|row| [row.as_ref(), b"\n"]).collect::<Vec<_>>().concat()
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::open_with(|pipeline| pipeline)
    }

    /// A shop whose Pipeline differs from the example.
    pub(crate) fn open_with(change: impl FnOnce(String) -> String) -> Self {
        let penstock = penstock().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let example = std::fs::read_to_string(root().join("examples/ecommerce/pipeline.yaml")).unwrap();
        let pipeline = folder.path().join("pipeline.yaml");
        std::fs::write(&pipeline, change(example)).unwrap();
        let mut options = ServerOptions::new(&penstock, &pipeline, &folder.path().join("data")).unwrap();
        // What a login shell gives, whatever this machine has.
        options.open_files = Some(1024);
        let server = Server::start(&options).unwrap();
        let source = &server.ready.sources[0];
        let (addr, path) = source.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let (addr, path) = (addr.parse().unwrap(), format!("/{path}"));
        let key = std::fs::read_to_string(source.api_key_file.as_ref().unwrap()).unwrap().trim().to_owned();
        Self { folder, penstock, server, options, addr, path, key, expected: Expected::default() }
    }

    /// Where the source listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Headers with the key, and without what says how the body ends.
    pub(crate) fn head(&self, headers: &[(&str, &str)]) -> String {
        http::head(&self.path, &[&[("x-api-key", self.key.as_str())], headers].concat())
    }

    pub(crate) fn post(&self, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
        self.post_as(&[("content-type", content_type)], body)
    }

    pub(crate) fn post_as(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        let headers = [&[("x-api-key", self.key.as_str())], headers].concat();
        http::post(self.addr, &self.path, &headers, body.as_ref())
    }

    /// This row was accepted, so it must be in all stores.
    pub(crate) fn expect(&mut self, row: Value) {
        self.expected.raw.push(row.clone());
        self.expected.items.push(row);
    }

    /// This record was accepted, kept as it came, and cannot be an item.
    pub(crate) fn expect_no_item(&mut self, row: Value, letter: Letter) {
        self.expected.raw.push(row);
        self.expect_letter(letter);
    }

    /// One sink could not handle a record.
    pub(crate) fn expect_letter(&mut self, letter: Letter) {
        self.expected.letters.push(letter);
    }

    /// A good row still goes through.
    pub(crate) fn sells(&mut self, id: &str) {
        let row = order(id);
        let answer = self.post(JSON, row.to_string());
        assert_eq!((answer.status, answer.rows()), (200, vec!["ok".to_owned()]));
        self.expect(row);
    }

    /// Still sells, held little, ends well when asked to, and has in its stores what it accepted and nothing else.
    pub(crate) fn closes_well(mut self) {
        self.sells("the last");
        let peak = peak_bytes(self.server.pid()).unwrap();
        eprintln!("peak memory: {} MiB", peak >> 20);
        assert!(peak < PEAK_BYTES, "the process held {} MiB", peak >> 20);
        let Self { folder, server, options, expected, .. } = self;
        let status = server.drain(PATIENCE).unwrap();
        assert!(status.success(), "it ended with {status}: {}", log(folder.path()));
        drain(&options, !expected.letters.is_empty());
        let server = Server::start(&options).unwrap();
        Stores::read(&server.ready).hold(&expected);
    }
}

/// The most memory that a process has held; nothing when it is gone.
pub(crate) fn peak_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// Runs until everything is stored. Dead letters show in the exit code, unless the run before wrote them.
fn drain(options: &ServerOptions, letters: bool) {
    let mut command = options.command();
    let quiet = command.args(["--until-drained", "--no-read-back"]).stdout(Stdio::null()).stderr(Stdio::null());
    let code = quiet.status().unwrap().code();
    assert!(code == Some(0) || letters && code == Some(3), "draining ended with {code:?}");
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("data.log")).unwrap_or_default()
}
