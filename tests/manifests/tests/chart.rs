//! The chart as helm renders it, with several values.
#![allow(clippy::unwrap_used, reason = "tests")]

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use penstock_manifests::{documents, read, rendered};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const MONITORED: &[&str] = &[
    "--api-versions=monitoring.coreos.com/v1/ServiceMonitor",
    "--api-versions=monitoring.coreos.com/v1/PrometheusRule",
    "--set=monitoring.serviceMonitor.enabled=true,monitoring.prometheusRule.enabled=true,monitoring.dashboard.enabled=true",
];
const NAMESPACED: &[&str] =
    &["--set=watchNamespaces={shop,bank},aws.region=eu-west-1,aws.clusterName=production,stages.rollOnUpgrade=true"];
const LOCAL: &[&str] = &["--set=localAws.enabled=true,networkPolicy.enabled=true,stages.env.PENSTOCK_LOG=debug"];
const IRSA: &[&str] = &["--values=examples/eks/values-irsa.yaml"];

/// Every set of values that is tested.
const SETS: [(&str, &[&str]); 5] =
    [("default", &[]), ("monitored", MONITORED), ("namespaced", NAMESPACED), ("local", LOCAL), ("irsa", IRSA)];

fn objects(arguments: &[&str]) -> Vec<Value> {
    rendered(arguments).unwrap().map(|text| documents(&text).unwrap()).unwrap_or_default()
}

/// What is read by the type of its kind holds everything that was written: there is no field that Kubernetes does not know.
fn same<T: DeserializeOwned + Serialize>(object: &Value) {
    let typed: T = serde_json::from_value(object.clone()).unwrap();
    let again = serde_json::to_value(typed).unwrap();
    assert_kept(object, &again, &mut vec![object["kind"].as_str().unwrap().to_owned()]);
}

fn assert_kept(written: &Value, read: &Value, path: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (name, value) in written.iter().filter(|(_, value)| !value.is_null()) {
                path.push(name.clone());
                let there = read.get(name).unwrap_or_else(|| panic!("{} is no field", path.join(".")));
                assert_kept(value, there, path);
                path.pop();
            }
        }
        (Value::Array(written), Value::Array(read)) => {
            assert_eq!(written.len(), read.len(), "{}", path.join("."));
            written.iter().zip(read).for_each(|(written, read)| assert_kept(written, read, path));
        }
        // A quantity may be written as a number.
        (Value::Number(number), Value::String(text)) => assert_eq!(&number.to_string(), text),
        _ => assert_eq!(written, read, "{}", path.join(".")),
    }
}

#[test]
fn every_object_is_one_of_its_kind() {
    for (name, arguments) in SETS {
        for object in objects(arguments) {
            match object["kind"].as_str().unwrap() {
                "ConfigMap" => same::<ConfigMap>(&object),
                "ClusterRole" => same::<ClusterRole>(&object),
                "ClusterRoleBinding" => same::<ClusterRoleBinding>(&object),
                // Its schema is free; crds/ is compared with the types.
                "CustomResourceDefinition" => {
                    serde_json::from_value::<CustomResourceDefinition>(object).unwrap();
                }
                "Deployment" => same::<Deployment>(&object),
                "Job" => same::<Job>(&object),
                "NetworkPolicy" => same::<NetworkPolicy>(&object),
                "Pod" => same::<Pod>(&object),
                "PodDisruptionBudget" => same::<PodDisruptionBudget>(&object),
                "Role" => same::<Role>(&object),
                "RoleBinding" => same::<RoleBinding>(&object),
                "Service" => same::<Service>(&object),
                "ServiceAccount" => same::<ServiceAccount>(&object),
                "StatefulSet" => same::<StatefulSet>(&object),
                "PrometheusRule" | "ServiceMonitor" => assert_eq!(object["apiVersion"], "monitoring.coreos.com/v1"),
                other => panic!("{name}: nobody checks a {other}"),
            }
        }
    }
}

#[test]
fn what_is_rendered_is_what_was_agreed_on() {
    for (name, arguments) in SETS {
        let mut objects = objects(arguments);
        // The definition has its own test, the dashboard is a file.
        objects.retain(|object| object["kind"] != "CustomResourceDefinition");
        objects
            .iter_mut()
            .filter(|object| object["kind"] == "ConfigMap")
            .for_each(|object| object["data"] = "…".into());
        if !objects.is_empty() {
            insta::assert_yaml_snapshot!(name, objects);
        }
    }
}

fn pod_specs(objects: &[Value]) -> Vec<Value> {
    let spec = |object: &Value| match object["kind"].as_str().unwrap() {
        "Pod" => Some(object["spec"].clone()),
        "Deployment" | "Job" | "StatefulSet" => Some(object["spec"]["template"]["spec"].clone()),
        _ => None,
    };
    objects.iter().filter_map(spec).collect()
}

#[test]
fn every_pod_is_restricted() {
    for (name, arguments) in SETS {
        for pod in pod_specs(&objects(arguments)) {
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            for container in pod["containers"].as_array().unwrap() {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]), "{name}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            }
        }
    }
}

#[test]
fn every_flag_of_the_operator_is_one_that_it_has() {
    let main = read("operator/src/main.rs").unwrap();
    for (_, arguments) in SETS {
        for object in
            objects(arguments).iter().filter(|object| object["kind"] == "Deployment" || object["kind"] == "Job")
        {
            let args = object["spec"]["template"]["spec"]["containers"][0]["args"].as_array();
            for flag in args.into_iter().flatten().map(|arg| arg.as_str().unwrap().trim_start_matches("--")) {
                let field = flag.split('=').next().unwrap().replace('-', "_");
                assert!(main.contains(&format!("    {field}: ")), "penstock-operator has no --{flag}");
            }
        }
    }
}

/// The operator's arguments.
fn operator_arguments(arguments: &[&str]) -> Vec<String> {
    let deployments = objects(arguments).into_iter().filter(|object| object["kind"] == "Deployment");
    let of = |object: Value| object["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    let all = deployments.flat_map(|object| of(object).as_array().cloned().unwrap_or_default());
    all.map(|argument| argument.as_str().unwrap().to_owned()).collect()
}

#[test]
fn stages_are_pulled_as_the_operator_is_unless_the_values_say_otherwise() {
    let pulled = |arguments: &[&str]| -> Vec<String> {
        operator_arguments(arguments).into_iter().filter(|argument| argument.starts_with("--stage-pull-")).collect()
    };
    if objects(&[]).is_empty() {
        return;
    }
    assert_eq!(pulled(&[]), ["--stage-pull-policy=IfNotPresent"]);
    let as_the_operator =
        ["--set=image.pullPolicy=Always,image.pullSecrets[0]=registry,image.pullSecrets[1].name=mirror"];
    assert_eq!(
        pulled(&as_the_operator),
        ["--stage-pull-policy=Always", "--stage-pull-secret=registry", "--stage-pull-secret=mirror"]
    );
    for pod in pod_specs(&objects(&as_the_operator)) {
        assert_eq!(pod["imagePullSecrets"], serde_json::json!([{ "name": "registry" }, { "name": "mirror" }]));
    }
    let otherwise = ["--set=image.pullSecrets={registry},stages.pullPolicy=Never,stages.pullSecrets={theirs}"];
    assert_eq!(pulled(&otherwise), ["--stage-pull-policy=Never", "--stage-pull-secret=theirs"]);
}

#[test]
fn the_page_is_for_those_who_forward_a_port_and_for_nobody_else() {
    for (arguments, pages) in [(&[][..], 1), (&["--set=page.enabled=false"][..], 0)] {
        let all = objects(arguments);
        let deployments: Vec<_> = all.iter().filter(|object| object["kind"] == "Deployment").collect();
        assert_eq!(
            deployments.len(),
            usize::from(!all.is_empty()),
            "there is nothing at all only where there is no helm"
        );
        for object in deployments {
            let container = &object["spec"]["template"]["spec"]["containers"][0];
            let args = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
            let shown: Vec<_> = args.filter(|arg| arg.starts_with("--page")).collect();
            assert_eq!(shown, ["--page=127.0.0.1:8081"][..pages], "it listens on loopback");
        }
    }
}

#[test]
fn before_it_is_uninstalled_the_operator_is_asked_whether_it_may_go() {
    let jobs = |arguments: &[&str]| -> Vec<Value> {
        objects(arguments).into_iter().filter(|object| object["kind"] == "Job").collect()
    };
    for job in jobs(&[]) {
        assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-delete");
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["command"], serde_json::json!(["penstock-operator", "check-uninstall"]));
    }
    // Where a namespace of its own choice may be gone by then, it asks with the rights that the operator still has.
    for arguments in ["--set=rbac.create=false", "--set=watchNamespaces={shop,bank}"] {
        for job in jobs(&[arguments]) {
            assert_eq!(job["spec"]["template"]["spec"]["serviceAccountName"], "penstock-operator", "{arguments}");
        }
    }
    assert!(jobs(&["--set=uninstallCheck.enabled=false"]).is_empty());
    // Plain manifests would run it when they are applied.
    assert!(!read("deploy/penstock.yaml").unwrap().contains("check-uninstall"));
}

#[test]
fn the_example_that_the_chart_shows_is_a_pipeline() {
    let chart = documents(&read("charts/penstock/Chart.yaml").unwrap()).unwrap().remove(0);
    let examples = documents(chart["annotations"]["artifacthub.io/crdsExamples"].as_str().unwrap()).unwrap();
    for example in examples[0].as_array().unwrap() {
        let checked = penstock_api::check::check(&serde_yaml::to_string(example).unwrap());
        assert!(checked.is_valid(), "{:#?}", checked.findings);
    }
}

#[test]
fn the_definition_is_that_of_crds_with_the_charts_metadata() {
    let copy = read("charts/penstock/files/crds/pipelines.penstock.dev.yaml").unwrap();
    assert!(
        copy == read("crds/pipelines.penstock.dev.yaml").unwrap(),
        "the chart's copy is old: run `cargo xtask crds`"
    );
    let arguments = ["--set=crds.annotations.team=data"];
    let definition = |objects: Vec<Value>| objects.into_iter().find(|one| one["kind"] == "CustomResourceDefinition");
    let Some(rendered) = definition(objects(&arguments)) else { return };
    assert_eq!(rendered["spec"], documents(&copy).unwrap()[0]["spec"]);
    assert_eq!(rendered["metadata"]["annotations"]["team"], "data");
    assert_eq!(rendered["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    let unkept = definition(objects(&["--set=crds.keep=false"])).unwrap();
    assert!(unkept["metadata"]["annotations"]["helm.sh/resource-policy"].is_null());
    assert!(definition(objects(&["--set=crds.enabled=false"])).is_none());
}

#[test]
fn what_monitors_is_made_only_where_its_kind_is_known() {
    let kinds = |arguments: &[&str]| -> Vec<String> {
        objects(arguments).iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect()
    };
    let asked = kinds(&MONITORED[2..]);
    assert!(!asked.iter().any(|kind| kind == "ServiceMonitor" || kind == "PrometheusRule"), "{asked:?}");
    let known = kinds(MONITORED);
    assert!(
        known.is_empty() || ["ServiceMonitor", "PrometheusRule"].iter().all(|kind| known.iter().any(|one| one == kind))
    );
}

#[test]
fn alerts_and_dashboard_use_only_metrics_that_the_operator_has() {
    let metrics = read("operator/src/metrics.rs").unwrap();
    for file in ["charts/penstock/templates/monitoring/prometheus-rule.yaml", "charts/penstock/files/dashboard.json"] {
        let text = read(file).unwrap();
        let names = text.match_indices("penstock_operator_").map(|(at, _)| {
            text[at..].split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_')).next().unwrap()
        });
        for name in names {
            assert!(metrics.contains(&format!("\"{name}\"")), "{file}: there is no {name}");
        }
    }
}

#[test]
fn a_value_that_is_not_known_or_makes_no_sense_is_refused() {
    for wrong in [
        "operater.replicas=3",
        "operator.replicas=many",
        "image.pullPolicy=Sometimes",
        "watchNamespaces={Shop}",
        "localAws.limits=none",
        "page.port=80",
        "page.port=9090",
        "aws.region=Ireland",
        "nameOverride=Penstock_2",
        "nameOverride=2penstock",
        "stages.env.A-B=c",
    ] {
        match rendered(&[&format!("--set={wrong}")]) {
            Ok(None) => {}
            Ok(Some(_)) => panic!("{wrong} is taken"),
            Err(error) => {
                assert!(error.to_string().contains("schema") || error.to_string().contains("at '"), "{error}")
            }
        }
    }
}

#[test]
fn regions_of_every_partition_are_taken() {
    for region in
        ["eu-west-1", "us-gov-west-1", "cn-northwest-1", "eusc-de-east-1", "us-isof-south-1", "ap-southeast-12"]
    {
        rendered(&[&format!("--set=aws.region={region},localAws.region={region}")]).unwrap();
    }
}

#[test]
fn a_clusters_name_is_a_text_whatever_is_in_it() {
    let named = operator_arguments(&["--set-string=aws.clusterName=prod: west # 1"]);
    assert!(named.is_empty() || named.iter().any(|argument| argument == "--cluster=prod: west # 1"), "{named:?}");
}

#[test]
fn every_pod_of_the_operators_goes_where_the_operator_goes() {
    let told = [
        "--set=operator.nodeSelector.disk=fast,operator.tolerations[0].key=gpu,operator.tolerations[0].operator=Exists",
    ];
    for pod in pod_specs(&objects(&told)) {
        assert_eq!(pod["nodeSelector"]["disk"], "fast", "{pod}");
        assert_eq!(pod["tolerations"][0]["key"], "gpu", "{pod}");
    }
}

#[test]
fn the_plain_manifests_ask_for_what_the_chart_asks_for() {
    for file in ["deploy/penstock.yaml", "deploy/penstock-local-aws.yaml"] {
        let objects = documents(&read(file).unwrap()).unwrap();
        assert_eq!(objects[0]["kind"], "Namespace");
        assert!(pod_specs(&objects).len() == if file.contains("local") { 2 } else { 1 });
    }
}
