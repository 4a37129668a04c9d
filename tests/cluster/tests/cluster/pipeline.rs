//! A Pipeline on the cluster: its state, its stages, their pods.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use penstock_cluster::eventually;
use serde_json::Value;

use crate::setting::Setting;

/// What its pods were made from, by stage: a stage that rolls gets another.
pub(crate) type Templates = BTreeMap<String, String>;

pub(crate) struct Pipeline<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) namespace: &'static str,
    pub(crate) name: &'static str,
}

/// A pod of a stage.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) stage: String,
    template: String,
    /// As containerd names it.
    pub(crate) container: Option<String>,
    ready: bool,
}

impl Pipeline<'_> {
    fn get(&self) -> anyhow::Result<Value> {
        self.setting.cluster.kubectl_json(["get", "pipeline", self.name, "--namespace", self.namespace])
    }

    /// Waits until it says so of what is in its spec now, by this reason.
    pub(crate) fn wait_until(&self, condition: &str, status: &str, reason: Option<&str>) {
        let what = format!("{} is {condition}={status} {}", self.name, reason.unwrap_or_default());
        eventually(&what, || {
            let pipeline = self.get()?;
            let conditions = pipeline["status"]["conditions"].as_array().context("it says nothing")?;
            let found = conditions.iter().any(|one| {
                one["type"] == condition
                    && one["status"] == status
                    && reason.is_none_or(|reason| one["reason"] == reason)
                    && one["observedGeneration"] == pipeline["metadata"]["generation"]
            });
            if found { Ok(()) } else { bail!("{conditions:#?}") }
        })
        .unwrap();
    }

    /// Waits until everything that should work does.
    pub(crate) fn wait_until_ready(&self) {
        self.wait_until("Ready", "True", None);
        self.wait_until("Reconciling", "False", None);
    }

    /// Changes it by a JSON patch; gives what the API server says against it.
    pub(crate) fn patch(&self, patch: &Value) -> anyhow::Result<String> {
        let patch = patch.to_string();
        self.setting.cluster.kubectl([
            "patch",
            "pipeline",
            self.name,
            "--namespace",
            self.namespace,
            "--type",
            "json",
            "--patch",
            &patch,
        ])
    }

    /// Those that are not being ended.
    pub(crate) fn pods(&self) -> anyhow::Result<Vec<Pod>> {
        let selector = format!("penstock.dev/pipeline={}", self.name);
        let cluster = &self.setting.cluster;
        let pods = cluster.kubectl_json(["get", "pods", "--namespace", self.namespace, "--selector", &selector])?;
        let pods = pods["items"].as_array().context("no list of pods")?;
        Ok(pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).map(pod).collect())
    }

    /// Those of now, once each stage has its pods, all of one template and ready.
    pub(crate) fn templates(&self) -> Templates {
        eventually("each stage has settled", || {
            let pods = self.pods()?;
            let pairs: BTreeSet<_> = pods.iter().map(|pod| (pod.stage.clone(), pod.template.clone())).collect();
            let templates: Templates = pairs.iter().cloned().collect();
            if pods.is_empty() || templates.len() != pairs.len() || pods.iter().any(|pod| !pod.ready) {
                bail!("{pods:?}");
            }
            Ok(templates)
        })
        .unwrap()
    }

    /// Waits until no pod of it is left, and none is being ended.
    pub(crate) fn wait_until_no_pods(&self) {
        let selector = format!("penstock.dev/pipeline={}", self.name);
        eventually("no pod is left", || {
            let cluster = &self.setting.cluster;
            let left = cluster.kubectl([
                "get",
                "pods",
                "--namespace",
                self.namespace,
                "--selector",
                &selector,
                "-o",
                "name",
            ])?;
            if left.trim().is_empty() { Ok(()) } else { bail!("{left}") }
        })
        .unwrap();
    }
}

fn pod(pod: &Value) -> Pod {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels = &pod["metadata"]["labels"];
    let status = &pod["status"]["containerStatuses"][0];
    let running = !status["state"]["running"].is_null();
    let container = text(&status["containerID"]).strip_prefix("containerd://").map(str::to_owned);
    Pod {
        name: text(&pod["metadata"]["name"]),
        stage: text(&labels["penstock.dev/stage"]),
        template: text(&labels["pod-template-hash"]),
        container: container.filter(|_| running),
        ready: status["ready"] == true,
    }
}
