//! The stages' side: those of the shop, each a process behind a gate of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::primitives::Blob;
use penstock_api::plan::Resources;
use penstock_faults::{root, sample};
use penstock_provision::{Clients, Options, provision};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::gate::Gate;
use super::{Account, plan_of, policy_of};

const PATIENCE: Duration = Duration::from_secs(120);
const ROWS: u64 = 400;
/// Asked for only after something has gone wrong, or on the way back from it.
const IN_TROUBLE: [(&str, &[&str]); 4] = [
    ("orders", &[]),
    ("shop", &[]),
    // An object that may be there; parts of one that came to nothing; a lease that was written and not answered for.
    (
        "raw",
        &[
            "Leases: dynamodb:GetItem",
            "Missing: s3:ListBucket",
            "Objects: s3:AbortMultipartUpload",
            "Objects: s3:GetObject",
        ],
    ),
    // An item that DynamoDB refuses in a batch is sent again by itself.
    ("tables", &["Items: dynamodb:PutItem", "Leases: dynamodb:GetItem"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn stages_work_with_what_their_policies_grant_and_ask_for_all_of_it() {
    let account = Account::start();
    let file = root().join("examples/ecommerce/pipeline.yaml");
    let rendered = plan_of(&file);
    let free = account.clients().await;
    let resources: Resources = serde_json::from_value(rendered["resources"].clone()).unwrap();
    let options = Options { create_buckets: true, ..Options::default() };
    provision(&resources, &free, &options).await.unwrap();

    let mut gates = BTreeMap::new();
    let mut stages = Vec::new();
    for config in rendered["stages"].as_array().unwrap() {
        let name = config["name"].as_str().unwrap().to_owned();
        let policy = policy_of(&file, &name);
        let gate = Gate::open(account.engines.endpoint(), policy.clone()).await.unwrap();
        stages.push(Stage::start(&name, config.clone(), gate.endpoint(), account.folder.path()));
        gates.insert(name, (gate, policy));
    }
    let source = stages.iter().find(|stage| stage.name == "orders").unwrap();
    send(source, account.folder.path());
    let stream = &resources.streams[0].name;
    free.kinesis.put_record().stream_name(stream).partition_key("k").data(Blob::new("no JSON")).send().await.unwrap();
    wait_for_items_and_dead_letters(&free).await;
    ask(stages.iter().find(|stage| stage.name == "shop").unwrap());
    for stage in stages {
        stage.drain();
    }
    assert_logs_say_whose_they_are(account.folder.path());

    assert!(!keys(&free, "raw/").await.is_empty(), "nothing has been stored in S3");
    for (name, (gate, policy)) in gates {
        let asked = gate.asked();
        assert!(asked.denied.is_empty(), "{name} was denied: {:#?}", asked.denied);
        let (_, in_trouble) = IN_TROUBLE.iter().find(|(stage, _)| *stage == name).unwrap();
        let in_trouble: BTreeSet<_> = in_trouble.iter().map(|action| (*action).to_owned()).collect();
        let unused: BTreeSet<_> = policy.grants_at_all().difference(&asked.used).cloned().collect();
        let unexplained: Vec<_> = unused.difference(&in_trouble).collect();
        assert!(unexplained.is_empty(), "{name} may and never does: {unexplained:?}");
    }
}

fn assert_logs_say_whose_they_are(folder: &Path) {
    for stage in ["orders", "raw", "tables", "shop"] {
        let log = fs::read_to_string(folder.join(format!("{stage}.log"))).unwrap();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(!lines.is_empty(), "{stage} has logged nothing");
        let labelled = |line: &Value| line["pipeline"] == "ecommerce" && line["stage"] == stage;
        assert!(lines.iter().all(labelled), "{log}");
        let of_a_shard =
            lines.iter().filter(|line| line["shard"].as_str().is_some_and(|shard| shard.starts_with("shardId-")));
        assert!(["orders", "shop"].contains(&stage) || of_a_shard.count() > 0, "{log}");
    }
}

/// A stage as a pod runs it.
struct Stage {
    name: String,
    child: Child,
    port: u16,
    log: std::path::PathBuf,
}

impl Stage {
    fn start(name: &str, mut config: Value, endpoint: &str, folder: &Path) -> Self {
        config["aws"]["endpointURL"] = endpoint.into();
        let file = folder.join(format!("{name}.json"));
        fs::write(&file, config.to_string()).unwrap();
        let secret = folder.join("secrets/ecommerce-keys");
        fs::create_dir_all(&secret).unwrap();
        fs::write(secret.join("test"), "a-key-that-is-long-enough-for-a-test").unwrap();
        let log = folder.join(format!("{name}.log"));
        let port = penstock_conformance::free_ports(1).unwrap();
        let mut command = Command::new(penstock_conformance::penstock().unwrap());
        command
            .args(["stage", "--admin", "127.0.0.1:0", "--worker-id", "test"])
            .args(["--listen", &format!("127.0.0.1:{port}"), "--config"])
            .arg(&file)
            .arg("--secrets-dir")
            .arg(folder.join("secrets"))
            .env("PENSTOCK_LOG_FORMAT", "json")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap());
        Self { name: name.to_owned(), child: command.spawn().unwrap(), port, log }
    }

    /// Asks it to drain, as Kubernetes does, and waits until it has.
    fn drain(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{} ended with {status}: {}", self.name, self.said());
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{} does not end: {}", self.name, self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn send(source: &Stage, folder: &Path) {
    let penstock = penstock_conformance::penstock().unwrap();
    let file = folder.join("shop.csv");
    sample(&penstock, ROWS, 5, &file).unwrap();
    let output = Command::new(penstock)
        .arg("send")
        .arg(&file)
        .args(["--to", &format!("http://127.0.0.1:{}/orders", source.port), "--api-key-file"])
        .arg(folder.join("secrets/ecommerce-keys/test"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), source.said());
}

/// One question that reads a table.
fn ask(api: &Stage) {
    let mut stream = TcpStream::connect(("127.0.0.1", api.port)).unwrap();
    let key = "X-Api-Key: a-key-that-is-long-enough-for-a-test";
    write!(stream, "GET /customers/nobody/history HTTP/1.1\r\nHost: shop\r\n{key}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("not_found"), "{answer}{}", api.said());
}

async fn wait_for_items_and_dead_letters(free: &Clients) {
    let began = Instant::now();
    loop {
        let items = free.dynamodb.scan().table_name("ecommerce-invoices").select(count()).send().await.unwrap();
        let sums = free.dynamodb.scan().table_name("ecommerce-customers").select(count()).send().await.unwrap();
        let dead = keys(free, "dead-letters/").await;
        if items.count >= i32::try_from(ROWS).unwrap()
            && sums.count > 0
            && dead.iter().any(|key| key.contains("/tables/"))
        {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{} items, {} sums, dead letters: {dead:?}", items.count, sums.count);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn count() -> aws_sdk_dynamodb::types::Select {
    aws_sdk_dynamodb::types::Select::Count
}

async fn keys(free: &Clients, prefix: &str) -> Vec<String> {
    let answer = free.s3.list_objects_v2().bucket("acme-lake").prefix(prefix).send().await.unwrap();
    answer.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect()
}
