//! The whole story: from the chart to rows in the tables, and all that may happen in between.

use std::fs;

use anyhow::{bail, ensure};
use penstock_cluster::{End, eventually};
use serde_json::{Value, json};

use crate::older;
use crate::page;
use crate::pipeline::{Pipeline, Templates};
use crate::setting::{IMAGE, Setting, root};
use crate::shop::{KEY, Sending, read_back, sample};

const STAGES: [&str; 4] = ["orders", "raw", "shop", "tables"];

/// As many as in a month of the shop.
const ROWS: u64 = 42_000;
/// Rows a second while things happen: slow enough for all of it. The rest is sent as fast as it goes.
const RATE: u64 = 60;

/// How often pods and node are killed.
fn rounds() -> u32 {
    if std::env::var_os("PENSTOCK_FULL").is_some() { 6 } else { 1 }
}

#[test]
fn a_month_of_a_shop_is_stored_once_whatever_happens_to_pods_node_operator_and_spec() {
    let Some(setting) = Setting::new("month") else { return };
    let older = older::chart(setting.folder.path()).unwrap();
    setting.install_chart(older.to_str().unwrap());
    assert!(!knows_the_new_field(&setting), "the definition is the newer one already");
    setting.done("an older chart is installed");
    setting.helm(&["test", "penstock", "--namespace", "penstock", "--timeout", "3m"]);
    setting.done("helm test passes");

    let pipeline = Pipeline { setting: &setting, namespace: "shop", name: "ecommerce" };
    apply(&setting);
    pipeline.wait_until_ready();
    setting.done("the Pipeline is ready");
    page::shows(&pipeline, &STAGES);

    let file = sample(ROWS, setting.folder.path());
    let sending = Sending::start(&setting, &file, RATE);
    for _ in 0..rounds() {
        pods_are_killed(&pipeline);
        node_restarts(&pipeline);
    }
    operator_is_killed_and_upgraded(&pipeline);
    spec_is_edited(&pipeline);
    sending.interrupt();
    setting.done("the rest is sent");
    Sending::resume(&setting, &file).finish();
    setting.done("the file is sent");
    memory(&setting);

    pipeline.patch(&json!([{ "op": "add", "path": "/spec/suspend", "value": "Drain" }])).unwrap();
    pipeline.wait_until("Ready", "False", Some("Suspended"));
    pipeline.wait_until_no_pods();
    setting.done("the Pipeline is drained");
    let Some(found) = read_back(&setting, &file) else { return };
    setting.done("the stores are read back");
    assert_eq!(found["problems"], json!([]), "{found:#}");
    assert_eq!(found["rows"], ROWS, "{found:#}");
    eprintln!("{found:#}");
}

/// As docs/kubernetes.md says it.
fn apply(setting: &Setting) {
    setting.kubectl(&["create", "namespace", "shop"]);
    setting.kubectl(&["label", "namespace", "shop", "pod-security.kubernetes.io/enforce=restricted"]);
    let key = format!("--from-literal=shop={KEY}");
    setting.kubectl(&["create", "secret", "generic", "ecommerce-keys", "--namespace", "shop", &key]);
    let manifest = root().join("examples/ecommerce/pipeline.yaml");
    setting.kubectl(&["apply", "--namespace", "shop", "--filename", manifest.to_str().unwrap()]);
}

fn pods_are_killed(pipeline: &Pipeline<'_>) {
    let setting = pipeline.setting;
    for stage in STAGES {
        let pod = pipeline.pods().unwrap().into_iter().find(|pod| pod.stage == stage).unwrap();
        setting.kubectl(&["delete", "pod", &pod.name, "--namespace", pipeline.namespace, "--wait=false"]);
    }
    let templates = pipeline.templates();
    assert_eq!(templates.keys().map(String::as_str).collect::<Vec<_>>(), STAGES);
    setting.done("a pod of each stage was deleted, and has a successor");
    for stage in STAGES {
        let before = pipeline.pods().unwrap().into_iter().find(|pod| pod.stage == stage).unwrap();
        let container = before.container.unwrap();
        setting.cluster.kill_container(&container).unwrap();
        eventually("a killed container is started again", || {
            let now = pipeline.pods()?.into_iter().find(|pod| pod.name == before.name);
            let now = now.and_then(|pod| pod.container);
            ensure!(now.as_ref().is_some_and(|now| *now != container), "{now:?}");
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(pipeline.templates(), templates);
    setting.done("a container of each stage was killed, and was started again");
}

fn node_restarts(pipeline: &Pipeline<'_>) {
    let setting = pipeline.setting;
    let before = names(pipeline);
    setting.cluster.restart("kubelet", End::Killed).unwrap();
    setting.cluster.restart("containerd", End::Killed).unwrap();
    setting.cluster.restart("containerd", End::Asked).unwrap();
    setting.cluster.restart("kubelet", End::Asked).unwrap();
    eventually("the node is ready", || {
        setting.cluster.kubectl(["wait", "--for=condition=Ready", "node/node", "--timeout=10s"])
    })
    .unwrap();
    pipeline.templates();
    assert_eq!(names(pipeline), before, "no pod has to go when the node's programs do");
    setting.done("kubelet and containerd were killed and ended, and the pods went on");
}

fn names(pipeline: &Pipeline<'_>) -> Vec<String> {
    let mut names: Vec<_> = pipeline.pods().unwrap().into_iter().map(|pod| pod.name).collect();
    names.sort();
    names
}

fn operator_is_killed_and_upgraded(pipeline: &Pipeline<'_>) {
    let setting = pipeline.setting;
    let before = pipeline.templates();
    let replicas = operators(setting).unwrap();
    assert_eq!(replicas.len(), 2, "{replicas:?}");
    for container in &replicas {
        setting.cluster.kill_container(container).unwrap();
    }
    eventually("every replica of the operator is started again", || {
        let now = operators(setting)?;
        ensure!(now.len() == 2 && now.iter().all(|container| !replicas.contains(container)), "{now:?}");
        Ok(())
    })
    .unwrap();
    setting.done("every replica of the operator was killed");
    setting.cluster.restart("kube-apiserver", End::Killed).unwrap();
    setting.cluster.restart("kube-apiserver", End::Killed).unwrap();
    eventually("the operator is ready when the API server is there again", || {
        ensure!(operators(setting)?.len() == 2, "a replica is not ready");
        Ok(())
    })
    .unwrap();
    setting.done("the API server was killed, and the operator is ready again");
    // The chart of today with another image and other values.
    setting.cluster.tag(IMAGE, "docker.io/library/penstock:next").unwrap();
    setting.helm(&[
        "upgrade",
        "penstock",
        "CHART",
        "--namespace",
        "penstock",
        "--reset-then-reuse-values",
        "--wait",
        "--timeout",
        "4m",
        "--set",
        "image.tag=next",
        "--set",
        "operator.recheckSeconds=600",
        "--set",
        "operator.concurrency=4",
    ]);
    assert!(knows_the_new_field(setting), "the definition came with the chart");
    pipeline.wait_until_ready();
    assert_eq!(pipeline.templates(), before, "a new version of the operator rolls nothing");
    setting.done("the older chart was upgraded");
}

/// Whether the API server knows the field that the older chart's definition lacks.
fn knows_the_new_field(setting: &Setting) -> bool {
    let path = "jsonpath={.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties";
    let field = format!("{path}.{}}}", older::NEW_FIELD);
    !setting.kubectl(&["get", "crd", "pipelines.penstock.dev", "--output", &field]).is_empty()
}

/// The containers of the operator that are ready.
fn operators(setting: &Setting) -> anyhow::Result<Vec<String>> {
    let selector = "app.kubernetes.io/component=operator";
    let pods = setting.cluster.kubectl_json(["get", "pods", "--namespace", "penstock", "--selector", selector])?;
    let statuses = pods["items"].as_array().into_iter().flatten().map(|pod| &pod["status"]["containerStatuses"][0]);
    let ready = statuses.filter(|status| status["ready"] == true).filter_map(|status| status["containerID"].as_str());
    Ok(ready.map(|id| id.trim_start_matches("containerd://").to_owned()).collect())
}

fn spec_is_edited(pipeline: &Pipeline<'_>) {
    let setting = pipeline.setting;
    let before = pipeline.templates();
    let kept = |after: &Templates, stages: &[&str]| {
        for &stage in stages {
            assert_eq!(after.get(stage), before.get(stage), "{stage} need not roll");
        }
    };
    edit(pipeline, &json!([{ "op": "replace", "path": "/spec/buffers/0/kinesis/shards", "value": 8 }]));
    eventually("the stream has eight open shards", || open_shards(setting)).unwrap();
    kept(&pipeline.templates(), &STAGES);
    setting.done("the shards were doubled, and no stage rolled");

    edit(pipeline, &json!([{ "op": "replace", "path": "/spec/sinks/0/s3/rotate/age", "value": "10s" }]));
    let after = pipeline.templates();
    kept(&after, &["orders", "tables"]);
    assert_ne!(after["raw"], before["raw"], "a stage whose configuration changed rolls");
    setting.done("a sink was changed, and no other stage rolled");

    let copy = json!({ "name": "copy", "from": "events", "s3": { "bucket": "acme-lake", "key": "copy/" } });
    edit(pipeline, &json!([{ "op": "add", "path": "/spec/sinks/-", "value": copy }]));
    let with = pipeline.templates();
    assert!(with.contains_key("copy"), "{with:?}");
    kept(&with, &["orders", "tables"]);
    edit(pipeline, &json!([{ "op": "remove", "path": "/spec/sinks/2" }]));
    eventually("the stage of the removed sink is gone", || {
        let stages = pipeline.pods()?;
        if stages.iter().any(|pod| pod.stage == "copy") { bail!("{stages:?}") } else { Ok(()) }
    })
    .unwrap();
    assert_eq!(pipeline.templates(), after);
    setting.done("a sink was added and removed, and no other stage rolled");

    let key =
        json!([{ "op": "replace", "path": "/spec/sinks/1/dynamodb/tables/0/partition/field", "value": "Country" }]);
    let refusal = pipeline.patch(&key).unwrap_err().to_string();
    assert!(refusal.contains("cannot") && refusal.contains("spec.sinks[1].dynamodb.tables[0]"), "{refusal}");
    setting.done("another key for a table was refused");
}

fn edit(pipeline: &Pipeline<'_>, patch: &Value) {
    pipeline.patch(patch).unwrap();
    pipeline.wait_until_ready();
}

fn open_shards(setting: &Setting) -> anyhow::Result<()> {
    let python = penstock_conformance::python()?;
    let script = "import boto3, sys\n\
                  kinesis = boto3.client('kinesis', endpoint_url=sys.argv[1], region_name='eu-west-1', \
                  aws_access_key_id='local', aws_secret_access_key='local')\n\
                  summary = kinesis.describe_stream_summary(StreamName='shop.ecommerce.events')\n\
                  print(summary['StreamDescriptionSummary']['OpenShardCount'])";
    let output = setting.cluster.command(python).args(["-c", script, &setting.engines()]).output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(printed.trim() == "8", "{printed} {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Says what the containers hold. Nothing is judged by it.
fn memory(setting: &Setting) {
    let stats = setting.kubectl(&["get", "--raw", "/api/v1/nodes/node/proxy/stats/summary"]);
    let stats: Value = serde_json::from_str(&stats).unwrap();
    for pod in stats["pods"].as_array().unwrap() {
        let bytes = pod["containers"][0]["memory"]["workingSetBytes"].as_u64().unwrap_or_default();
        eprintln!("          {:5} MiB  {}", bytes >> 20, pod["podRef"]["name"].as_str().unwrap_or_default());
    }
    let archive = fs::metadata(setting.folder.path().join("penstock.tar")).unwrap().len();
    eprintln!("          {:5} MiB  the image", archive >> 20);
}
