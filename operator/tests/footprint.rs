//! What the children of a thousand Pipelines cost to keep. A program of its own, because it measures the process.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests, and the figures")]

use std::collections::BTreeMap;
use std::process::Command;

use kube::runtime::watcher::Event;
use penstock_operator::build::{Child, Drained, Surroundings, build};
use penstock_operator::observe::{ChildCache, Kind, Live, Observed};
use penstock_operator::validate::validate;
use penstock_operator::{Pipeline, Settings};
use serde_json::{Value, json};

/// What the `penstock-operator` command runs with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PIPELINES: usize = 1000;
/// The children of all of them, kept. As the API server has them they are some 17 MB of JSON, without managed fields.
const KEPT: usize = 16 << 20;

/// Has the allocator give pages back at once, so that what is measured is what is kept.
const GIVE_BACK: (&str, &str) = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0");

/// The allocator reads its settings when a process starts, so the measuring is done in another one.
#[test]
fn the_children_of_a_thousand_pipelines_take_little_memory() {
    if std::env::var(GIVE_BACK.0).is_ok_and(|conf| conf == GIVE_BACK.1) {
        return keep_them();
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "the_children_of_a_thousand_pipelines_take_little_memory", "--nocapture"]);
    let measured = again.env(GIVE_BACK.0, GIVE_BACK.1).output().unwrap();
    let said = String::from_utf8_lossy(&measured.stdout);
    eprint!("{}", String::from_utf8_lossy(&measured.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

fn keep_them() {
    // What is needed once and not for each.
    let _ = children(PIPELINES);
    let cache = ChildCache::waiting_for(&[]);
    let before = resident();
    for kind in Kind::ALL {
        assert!(cache.take(kind, "", Event::Init).is_empty());
    }
    let mut bytes = 0;
    for number in 0..PIPELINES {
        for child in children(number) {
            let (served, size) = as_served(&child);
            bytes += size;
            assert!(cache.take(child.kind, "", Event::InitApply(served)).is_empty());
        }
    }
    for kind in Kind::ALL {
        assert!(!cache.take(kind, "", Event::InitDone).is_empty());
    }
    let kept = resident() - before;
    eprintln!("the children of {PIPELINES} Pipelines take {} KiB; as JSON they are {} KiB", kept >> 10, bytes >> 10);
    assert_eq!(cache.of("default", &name(PIPELINES - 1)).len(), children(0).len());
    assert!(kept < KEPT, "{kept} bytes");
}

fn name(number: usize) -> String {
    format!("scale-{number}")
}

fn children(number: usize) -> Vec<Child> {
    let mut manifest: Value = serde_yaml::from_str(include_str!("../../examples/minimal/pipeline.yaml")).unwrap();
    manifest["metadata"]["name"] = json!(name(number));
    manifest["metadata"]["namespace"] = json!("default");
    manifest["metadata"]["uid"] = uid(number);
    let pipeline: Pipeline = serde_json::from_value(manifest).unwrap();
    let settings = Settings::new("penstock:test");
    let observed = Observed { children: BTreeMap::new(), secrets: BTreeMap::new() };
    let around = Surroundings { settings: &settings, observed: &observed, drained: &Drained::new() };
    build(&validate(&pipeline, &settings).unwrap(), around).children
}

/// Random, as those of Kubernetes: what repeats itself is compressed away.
fn uid(number: usize) -> Value {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let mut part = |bits: u32| random.u64(..) >> (64 - bits);
    json!(format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", part(32), part(16), part(16), part(16), part(48)))
}

/// The child as a list brings it, and how long it is: with the fields that Kubernetes fills in.
fn as_served(child: &Child) -> (Live, usize) {
    let mut object = child.object.clone();
    let seed = fastrand::usize(..);
    object["metadata"]["uid"] = uid(seed);
    object["metadata"]["resourceVersion"] = json!((seed % 1_000_000).to_string());
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let applied = json!({ "f:metadata": { "f:labels": {}, "f:annotations": {} }, "f:spec": {} });
    match child.kind {
        Kind::Deployment => serve_deployment(&mut object),
        Kind::Service => {
            let address = format!("10.96.{}.{}", seed % 256, seed / 256 % 256);
            for (field, value) in [
                ("clusterIP", json!(address)),
                ("clusterIPs", json!([address])),
                ("internalTrafficPolicy", json!("Cluster")),
                ("ipFamilies", json!(["IPv4"])),
                ("ipFamilyPolicy", json!("SingleStack")),
                ("sessionAffinity", json!("None")),
            ] {
                object["spec"][field] = value;
            }
            object["status"] = json!({ "loadBalancer": {} });
        }
        Kind::PodDisruptionBudget => {
            object["status"] = json!({
                "conditions": [{
                    "lastTransitionTime": "2026-01-01T00:00:00Z", "message": "", "observedGeneration": 1,
                    "reason": "SufficientPods", "status": "True", "type": "DisruptionAllowed",
                }],
                "currentHealthy": 1, "desiredHealthy": 0, "disruptionsAllowed": 1, "expectedPods": 1, "observedGeneration": 1,
            });
        }
        Kind::ServiceAccount | Kind::ConfigMap | Kind::NetworkPolicy => {}
    }
    let size = object.to_string().len();
    object["metadata"]["managedFields"] =
        json!([{ "manager": "penstock", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": applied }]);
    (serde_json::from_value(object).unwrap(), size)
}

fn serve_deployment(object: &mut Value) {
    object["metadata"]["generation"] = json!(1);
    object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("1");
    let pod = &mut object["spec"]["template"]["spec"];
    for (field, value) in
        [("dnsPolicy", "ClusterFirst"), ("restartPolicy", "Always"), ("schedulerName", "default-scheduler")]
    {
        pod[field] = json!(value);
    }
    for container in pod["containers"].as_array_mut().unwrap() {
        for (field, value) in [
            ("imagePullPolicy", "IfNotPresent"),
            ("terminationMessagePath", "/dev/termination-log"),
            ("terminationMessagePolicy", "File"),
        ] {
            container[field] = json!(value);
        }
    }
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "lastUpdateTime": "2026-01-01T00:00:00Z",
        })
    };
    object["status"] = json!({
        "conditions": [
            condition("Available", "MinimumReplicasAvailable", "Deployment has minimum availability."),
            condition("Progressing", "NewReplicaSetAvailable", "ReplicaSet has successfully progressed."),
        ],
        "availableReplicas": 1, "observedGeneration": 1, "readyReplicas": 1, "replicas": 1, "updatedReplicas": 1,
    });
}

/// The memory of the process that is not of files.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}
