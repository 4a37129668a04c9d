//! Going: Pipelines, namespaces and the release, in any order, with nothing left that hangs.

use penstock_cluster::eventually;
use penstock_conformance::python;

use crate::pipeline::Pipeline;
use crate::setting::Setting;

/// What it owns in AWS is to go with it: so it is held by a finalizer.
const MANIFEST: &str = "
apiVersion: penstock.dev/v1alpha1
kind: Pipeline
metadata: { name: short, namespace: NAMESPACE }
spec:
  aws: { region: eu-west-1 }
  sources:
    - { name: events, to: stream, http: { path: /events }, partitionKey: '{_id}', idField: _id }
  buffers:
    - { name: stream, kinesis: { shards: 1, deletionPolicy: Delete } }
  sinks:
    - { name: archive, from: stream, s3: { bucket: acme-lake, key: 'short/' } }
";

#[test]
fn nothing_hangs_in_whatever_order_pipelines_namespaces_and_the_release_go() {
    let Some(setting) = Setting::new("leaving") else { return };
    setting.install();

    // A namespace with a Pipeline in it.
    let first = pipeline(&setting, "first");
    setting.kubectl(&["delete", "namespace", first.namespace, "--timeout=3m"]);
    assert_eq!(streams(&setting), "", "the stream goes with its Pipeline");
    setting.done("a namespace with a Pipeline in it was deleted");

    // The operator before the Pipeline: it hangs, and goes on when the operator is there again.
    let second = pipeline(&setting, "second");
    let refused = setting.cluster.helm(["uninstall", "penstock", "--namespace", "penstock"]);
    assert!(refused.is_err(), "a Pipeline that needs the operator is in the way");
    setting.helm(&["uninstall", "penstock", "--namespace", "penstock", "--no-hooks", "--wait"]);
    setting.kubectl(&["delete", "pipeline", second.name, "--namespace", second.namespace, "--wait=false"]);
    setting.install();
    setting.kubectl(&["wait", "--for=delete", "pipeline/short", "--namespace", second.namespace, "--timeout=3m"]);
    assert_eq!(streams(&setting), "", "the stream goes with its Pipeline");
    setting.done("a Pipeline that was deleted without the operator went when it came back");

    // As the documentation says it: Pipelines, then the release, then its namespace.
    let third = pipeline(&setting, "second");
    setting.kubectl(&["delete", "pipelines", "--all", "--all-namespaces", "--timeout=3m"]);
    setting.helm(&["uninstall", "penstock", "--namespace", "penstock", "--wait"]);
    setting.kubectl(&["delete", "namespace", "penstock", third.namespace, "--timeout=3m"]);
    setting.kubectl(&["delete", "crd", "pipelines.penstock.dev", "--timeout=1m"]);
    eventually("nothing of ours is left", || {
        let kinds = "deployments,pods,services,configmaps,serviceaccounts,roles,rolebindings,networkpolicies";
        let ours = ["get", kinds, "--all-namespaces", "--output", "name"];
        let left = setting
            .cluster
            .kubectl(ours.iter().chain(["--selector", "app.kubernetes.io/name in (penstock,penstock-stage)"].iter()))?;
        let wide = setting.cluster.kubectl(["get", "clusterroles,clusterrolebindings", "--output", "name"])?;
        anyhow::ensure!(left.trim().is_empty() && !wide.contains("penstock"), "{left}{wide}");
        Ok(())
    })
    .unwrap();
    setting.done("Pipelines, release and namespaces went as documented");
}

fn pipeline<'a>(setting: &'a Setting, namespace: &'static str) -> Pipeline<'a> {
    // It may be there from before.
    drop(setting.cluster.kubectl(["create", "namespace", namespace]));
    setting.cluster.apply(&MANIFEST.replace("NAMESPACE", namespace)).unwrap();
    let pipeline = Pipeline { setting, namespace, name: "short" };
    pipeline.wait_until_ready();
    pipeline
}

/// The names of all streams; none where there is no boto3 to ask with.
fn streams(setting: &Setting) -> String {
    let Ok(python) = python() else { return String::new() };
    let script = "import boto3, sys\n\
                  kinesis = boto3.client('kinesis', endpoint_url=sys.argv[1], region_name='eu-west-1', \
                  aws_access_key_id='local', aws_secret_access_key='local')\n\
                  print(' '.join(kinesis.list_streams()['StreamNames']))";
    let output = setting.cluster.command(python).args(["-c", script, &setting.engines()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
