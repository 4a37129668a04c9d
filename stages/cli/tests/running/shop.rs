//! A Pipeline on engines of its own, with something in its stores.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::primitives::ByteStream;
use penstock_provision::Clients;
use penstock_runtime::Aws;
use serde_json::Value;

pub(crate) const BUCKET: &str = "acme-lake";
pub(crate) const RAW_LEASES: &str = "default.ecommerce.raw.leases";

pub(crate) fn penstock() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.stdin(Stdio::null()).env_remove("AWS_ENDPOINT_URL");
    command
}

/// The example in a folder of its own.
pub(crate) struct Shop {
    pub(crate) folder: tempfile::TempDir,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/ecommerce/pipeline.yaml");
        fs::copy(example, folder.path().join("pipeline.yaml")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with so many rows.
    pub(crate) fn file(&self, rows: u32, seed: u32) -> PathBuf {
        let file = self.path(&format!("{rows}-{seed}.csv"));
        let (rows, seed) = (rows.to_string(), seed.to_string());
        let made = penstock().args(["sample", "--rows", &rows, "--seed", &seed, "--out"]).arg(&file).output().unwrap();
        assert!(made.status.success());
        file
    }

    /// Runs the Pipeline, without saying when it ends.
    pub(crate) fn run(&self) -> Command {
        let mut command = penstock();
        command.arg("run").arg(self.path("pipeline.yaml")).arg("--data-dir").arg(self.path("data"));
        command.args(["--engine-port", "0", "--http-port", "0", "--admin-port", "0", "--page-port", "0"]);
        command
    }

    /// Sends a file and lets everything be stored. Each time closes a range of each shard.
    pub(crate) fn sells(&self, file: &Path) {
        let done = self.run().args(["--until-drained", "--no-read-back", "--send"]).arg(file).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// The engines alone, with what was stored.
    pub(crate) fn closed(&self) -> Engines {
        let mut child = penstock()
            .args(["local-aws", "--listen", "127.0.0.1:0", "--region", "eu-west-1", "--data-dir"])
            .arg(self.path("data/engines"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let endpoint = lines.find_map(|line| Some(line.unwrap().split_once("answer at ")?.1.to_owned())).unwrap();
        // Whatever else it says goes nowhere.
        std::thread::spawn(move || lines.for_each(drop));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let clients = runtime.block_on(clients(&endpoint));
        Engines { child, endpoint, clients, runtime, pipeline: self.path("pipeline.yaml") }
    }
}

async fn clients(endpoint: &str) -> Clients {
    let aws = Aws::local("eu-west-1", endpoint).await;
    let s3 = aws_sdk_s3::config::Builder::from(&aws.config).force_path_style(true).build();
    Clients {
        kinesis: aws_sdk_kinesis::Client::new(&aws.config),
        dynamodb: aws_sdk_dynamodb::Client::new(&aws.config),
        s3: aws_sdk_s3::Client::from_conf(s3),
    }
}

/// Engines with the stores of a shop. They end when dropped.
pub(crate) struct Engines {
    child: Child,
    endpoint: String,
    pub(crate) clients: Clients,
    pub(crate) runtime: tokio::runtime::Runtime,
    pipeline: PathBuf,
}

/// What an audit says.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) report: Value,
}

/// An object as it is stored.
pub(crate) struct Stored {
    pub(crate) key: String,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) lines: Vec<String>,
}

impl Engines {
    /// What `penstock audit` says.
    pub(crate) fn audit(&self, deep: bool) -> Said {
        let output = self.audit_as(if deep { &["--output", "json", "--deep"] } else { &["--output", "json"] });
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        Said { code: output.status.code(), report }
    }

    pub(crate) fn audit_as(&self, arguments: &[&str]) -> Output {
        let mut command = penstock();
        command.arg("audit").arg(&self.pipeline).args(["--engines", &self.endpoint]).args(arguments);
        command.output().unwrap()
    }

    /// All objects of the sink `raw`, in the order of their keys.
    pub(crate) fn objects(&self) -> Vec<Stored> {
        self.runtime.block_on(async {
            let listed = self.clients.s3.list_objects_v2().bucket(BUCKET).prefix("raw/").send().await.unwrap();
            let mut objects = Vec::new();
            for key in listed.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
                let answer = self.clients.s3.get_object().bucket(BUCKET).key(&key).send().await.unwrap();
                let metadata = answer.metadata.clone().unwrap_or_default();
                let bytes = answer.body.collect().await.unwrap().into_bytes();
                let text = String::from_utf8(zstd::decode_all(&*bytes).unwrap()).unwrap();
                objects.push(Stored { key, metadata, lines: text.lines().map(str::to_owned).collect() });
            }
            objects
        })
    }

    pub(crate) fn put(&self, object: &Stored) {
        let text = object.lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let body = ByteStream::from(zstd::encode_all(text.as_bytes(), 1).unwrap());
        let metadata = Some(object.metadata.clone());
        let request = self.clients.s3.put_object().bucket(BUCKET).key(&object.key).set_metadata(metadata).body(body);
        self.runtime.block_on(request.send()).unwrap();
    }

    pub(crate) fn delete(&self, object: &Stored) {
        let request = self.clients.s3.delete_object().bucket(BUCKET).key(&object.key);
        self.runtime.block_on(request.send()).unwrap();
    }

    /// Moves the checkpoint of a shard by hand.
    pub(crate) fn set_checkpoint(&self, shard: &str, sequence: &str) {
        let request = self.clients.dynamodb.update_item().table_name(RAW_LEASES);
        let request = request.key("leaseKey", AttributeValue::S(shard.to_owned()));
        let request = request.update_expression("SET checkpoint = :to, checkpointSubSequenceNumber = :sub");
        let request = request.expression_attribute_values(":to", AttributeValue::S(sequence.to_owned()));
        let request = request.expression_attribute_values(":sub", AttributeValue::N("0".to_owned()));
        self.runtime.block_on(request.send()).unwrap();
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        // Both fail only when they have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Said {
    /// All findings that are wrong, as text.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let findings = self.report["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["verdict"] == "wrong").map(ToString::to_string).collect()
    }

    /// Something that is wrong says all of this.
    pub(crate) fn says(&self, all: &[&str]) {
        let wrong = self.wrong();
        assert_eq!(self.code, Some(1), "{:#}", self.report);
        assert!(wrong.iter().any(|finding| all.iter().all(|text| finding.contains(text))), "{all:?}: {wrong:#?}");
    }

    pub(crate) fn is_fine(&self) {
        assert_eq!((self.code, &self.report["verdict"]), (Some(0), &Value::from("fine")), "{:#}", self.report);
    }

    /// The sum of a number over the shards of a sink.
    pub(crate) fn sum(&self, sink: &str, pointer: &str) -> u64 {
        let sinks = self.report["sinks"].as_array().unwrap();
        let sink = sinks.iter().find(|found| found["sink"] == sink).unwrap();
        sink["shards"].as_array().unwrap().iter().map(|shard| shard.pointer(pointer).unwrap().as_u64().unwrap()).sum()
    }
}
