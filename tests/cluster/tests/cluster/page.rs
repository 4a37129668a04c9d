//! The operator's page, as people come to it: by `kubectl port-forward`, and by nothing else.

use std::process::{Child, Stdio};

use anyhow::{Context, ensure};
use penstock_cluster::eventually;
use serde_json::Value;

use crate::pipeline::Pipeline;
use crate::setting::Setting;

const NAMESPACE: &str = "penstock";
const PORT: &str = "8081";
/// Prints what is answered at a URL.
const ASK: &str = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())";

/// A forwarded port. It is closed when this is dropped.
struct Forwarded(Child);

impl Drop for Forwarded {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The page shows the Pipeline and each of its stages ready, to whoever may forward a port; and to nobody by the pod's address.
pub(crate) fn shows(pipeline: &Pipeline<'_>, stages: &[&str]) {
    let setting = pipeline.setting;
    let _forwarded = forward(setting);
    let page = format!("http://localhost:{PORT}/api/pipelines");
    eventually("the page lists the Pipeline as ready", || {
        let list = ask(setting, &page)?;
        let line = &list["pipelines"][0];
        ensure!(line["name"] == pipeline.name && line["word"] == "ready", "{list:#}");
        Ok(())
    })
    .unwrap();
    eventually("the page shows each stage ready", || {
        let seen = ask(setting, &format!("{page}/{}/{}", pipeline.namespace, pipeline.name))?;
        let nodes = seen["nodes"].as_array().context("no nodes")?;
        let ready =
            nodes.iter().filter(|node| node["state"]["is"] == "ready").filter_map(|node| node["title"].as_str());
        let ready: Vec<_> = ready.collect();
        ensure!(ready.len() == stages.len() && stages.iter().all(|stage| ready.contains(stage)), "{seen:#}");
        Ok(())
    })
    .unwrap();
    let selector = "app.kubernetes.io/component=operator";
    let get = ["get", "pods", "--namespace", NAMESPACE, "--selector", selector];
    let operators = setting.cluster.kubectl_json(get).unwrap();
    let address = operators["items"][0]["status"]["podIP"].as_str().unwrap();
    let refused = ask(setting, &format!("http://{address}:{PORT}/")).unwrap_err();
    assert!(format!("{refused:#}").contains("Connection refused"), "{refused:#}");
    setting.done("the page shows the Pipeline");
}

fn forward(setting: &Setting) -> Forwarded {
    let mut kubectl = setting.cluster.command(penstock_cluster::tool("kubectl").unwrap());
    kubectl.args(["port-forward", "--namespace", NAMESPACE, "deploy/penstock-operator", PORT]);
    Forwarded(kubectl.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn ask(setting: &Setting, url: &str) -> anyhow::Result<Value> {
    let output = setting.cluster.command("python3").args(["-c", ASK, url]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("the page answers something else than JSON")
}
