#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::fixtures::{PipelineFixture, observed, rolled_out, settings, with};
use super::*;
use crate::names::{CONFIG_ANNOTATION, IMAGE_ANNOTATION, SECRETS_ANNOTATION};
use crate::observe::Children;

fn find<'a>(desired: &'a Desired, kind: Kind, name: &str) -> &'a Value {
    &desired.children.iter().find(|child| child.kind == kind && child.name == name).unwrap().object
}

fn template<'a>(desired: &'a Desired, name: &str) -> &'a Value {
    &find(desired, Kind::Deployment, name)["spec"]["template"]
}

/// The Deployments whose pods would be replaced.
fn rolled(before: &Desired, after: &Desired) -> Vec<String> {
    let deployments = before.children.iter().filter(|child| child.kind == Kind::Deployment);
    let rolls = |child: &&Child| child.object["spec"]["template"] != *template(after, &child.name);
    deployments.filter(rolls).map(|child| child.stage.clone()).collect()
}

#[test]
fn each_stage_has_its_children_and_those_that_serve_a_service() {
    let desired = PipelineFixture::ecommerce().fresh();
    let kinds = |stage: &str| {
        let of = desired.children.iter().filter(|child| child.stage == stage);
        of.map(|child| child.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds("orders"), Kind::ALL);
    assert_eq!(kinds("shop"), Kind::ALL);
    assert_eq!(kinds("raw"), Kind::ALL.into_iter().filter(|kind| *kind != Kind::Service).collect::<Vec<_>>());
}

#[test]
fn the_same_pipeline_gives_the_same_bytes() {
    let bytes = || {
        serde_json::to_string(
            &PipelineFixture::ecommerce().fresh().children.iter().map(|child| &child.object).collect::<Vec<_>>(),
        )
        .unwrap()
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn a_change_of_one_stage_rolls_that_stage_alone() {
    let before = PipelineFixture::ecommerce().fresh();
    let rotated = PipelineFixture::ecommerce().spec("/sinks/0/s3/rotate/age", "1m").fresh();
    assert_eq!(rolled(&before, &rotated), ["raw"]);
    let path = PipelineFixture::ecommerce().spec("/sources/0/http/path", "/other").fresh();
    assert_eq!(rolled(&before, &path), ["orders"]);
    let shards = PipelineFixture::ecommerce().spec("/buffers/0/kinesis/shards", 8).fresh();
    assert!(rolled(&before, &shards).is_empty(), "consumers find new shards by themselves");
    let replicas = PipelineFixture::ecommerce().spec("/sinks/0/replicas", 3).fresh();
    assert!(rolled(&before, &replicas).is_empty());
}

#[test]
fn a_changed_secret_rolls_the_stages_that_use_it() {
    let before = PipelineFixture::ecommerce().fresh();
    let mut changed = observed(Children::new());
    changed.secrets.insert("ecommerce-keys".to_owned(), Some("uid/8".to_owned()));
    let after = PipelineFixture::ecommerce().built(&settings(), &changed);
    assert_eq!(rolled(&before, &after), ["orders", "shop"]);
    assert!(template(&after, "ecommerce-orders")["metadata"]["annotations"][SECRETS_ANNOTATION].is_string());
}

#[test]
fn a_stage_whose_secret_is_missing_keeps_the_deployment_that_it_has() {
    let mut lacking = observed(Children::new());
    lacking.secrets.insert("ecommerce-keys".to_owned(), None);
    let desired = PipelineFixture::ecommerce().built(&settings(), &lacking);
    let lack = |stage: &str| (stage.to_owned(), "ecommerce-keys".to_owned());
    assert_eq!(desired.missing_secrets, [lack("orders"), lack("shop")]);
    let deployments = desired.children.iter().filter(|child| child.kind == Kind::Deployment);
    assert_eq!(deployments.map(|child| child.stage.as_str()).collect::<Vec<_>>(), ["raw", "tables"]);
    let resting = PipelineFixture::ecommerce().spec("/suspend", "Now").built(&settings(), &lacking);
    assert!(resting.missing_secrets.is_empty(), "to rest it needs none");
    assert_eq!(find(&resting, Kind::Deployment, "ecommerce-orders")["spec"]["replicas"], 0);
}

#[test]
fn a_new_version_of_the_operator_rolls_nothing_until_the_stage_itself_changes() {
    let fixture = PipelineFixture::ecommerce();
    let before = fixture.fresh();
    let newer = Settings::new("penstock:2");
    let running = || observed(rolled_out(&before));
    assert!(rolled(&before, &fixture.built(&newer, &running())).is_empty());
    let changed = fixture.clone().spec("/sinks/0/s3/rotate/age", "1m").built(&newer, &running());
    let image = |name: &str| template(&changed, name)["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    assert_eq!((image("ecommerce-raw").as_str(), image("ecommerce-tables").as_str()), ("penstock:2", "penstock:1"));
    let at_once = Settings { roll_on_upgrade: true, ..newer };
    assert_eq!(rolled(&before, &fixture.built(&at_once, &running())), ["orders", "raw", "tables", "shop"]);
}

#[test]
fn images_are_pulled_as_the_operator_was_told() {
    let pod = |settings: &Settings| {
        let desired = PipelineFixture::ecommerce().built(settings, &observed(Children::new()));
        template(&desired, "ecommerce-raw")["spec"].clone()
    };
    let plain = pod(&settings());
    assert_eq!(plain["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert!(plain.get("imagePullSecrets").is_none(), "those of the ServiceAccount count");
    let told = Settings {
        stage_pull_policy: "Always".to_owned(),
        stage_pull_secrets: vec!["registry".to_owned(), "mirror".to_owned()],
        ..settings()
    };
    let pulled = pod(&told);
    assert_eq!(pulled["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(pulled["imagePullSecrets"], json!([{ "name": "registry" }, { "name": "mirror" }]));
}

#[test]
fn an_image_that_somebody_else_has_put_in_is_not_taken_for_the_one_that_was_given() {
    let fixture = PipelineFixture::ecommerce();
    let drifted = with(rolled_out(&fixture.fresh()), Kind::Deployment, "ecommerce-raw", |live| {
        live["spec"]["template"]["spec"]["containers"][0]["image"] = json!("theirs:1");
    });
    let desired = fixture.built(&settings(), &observed(drifted));
    assert_eq!(template(&desired, "ecommerce-raw")["spec"]["containers"][0]["image"], "penstock:1");
}

#[test]
fn the_image_of_the_template_always_wins() {
    let fixture = PipelineFixture::ecommerce().spec("/sinks/0/template", json!({ "image": "mine:3" }));
    let running = observed(rolled_out(&PipelineFixture::ecommerce().fresh()));
    let desired = fixture.built(&settings(), &running);
    assert_eq!(template(&desired, "ecommerce-raw")["spec"]["containers"][0]["image"], "mine:3");
}

#[test]
fn an_image_that_the_pipeline_names_no_more_is_not_kept() {
    let fixture = PipelineFixture::ecommerce();
    let named = fixture.clone().spec("/sinks/0/template", json!({ "image": "mine:3" })).fresh();
    let annotations = &find(&named, Kind::Deployment, "ecommerce-raw")["metadata"]["annotations"];
    assert!(annotations.get(IMAGE_ANNOTATION).is_none(), "{annotations}");
    let desired = fixture.built(&settings(), &observed(rolled_out(&named)));
    assert_eq!(template(&desired, "ecommerce-raw")["spec"]["containers"][0]["image"], "penstock:1");
    assert_eq!(
        find(&desired, Kind::Deployment, "ecommerce-raw")["metadata"]["annotations"][IMAGE_ANNOTATION],
        "penstock:1"
    );
}

#[test]
fn replicas_are_sent_only_while_nobody_else_scales_the_stage() {
    let fixture = PipelineFixture::ecommerce();
    let before = fixture.fresh();
    assert_eq!(find(&before, Kind::Deployment, "ecommerce-raw")["spec"]["replicas"], 1);
    let scaled = with(rolled_out(&before), Kind::Deployment, "ecommerce-raw", |value| {
        value["spec"]["replicas"] = json!(4);
        value["metadata"]["managedFields"] = json!([{
            "manager": "keda", "subresource": "scale", "operation": "Update", "fieldsV1": { "f:spec": { "f:replicas": {} } },
        }]);
    });
    let desired = fixture.built(&settings(), &observed(scaled.clone()));
    assert!(find(&desired, Kind::Deployment, "ecommerce-raw")["spec"].get("replicas").is_none());
    assert_eq!(find(&desired, Kind::Deployment, "ecommerce-tables")["spec"]["replicas"], 1);
    let edited = fixture.clone().spec("/sinks/0/replicas", 3).built(&settings(), &observed(scaled.clone()));
    assert_eq!(find(&edited, Kind::Deployment, "ecommerce-raw")["spec"]["replicas"], 3, "an autoscaler may be gone");
    let resting = fixture.spec("/suspend", "Now").built(&settings(), &observed(scaled));
    assert_eq!(find(&resting, Kind::Deployment, "ecommerce-raw")["spec"]["replicas"], 0);
}

#[test]
fn a_stage_that_rests_is_not_rolled() {
    let before = PipelineFixture::ecommerce().fresh();
    let resting = PipelineFixture::ecommerce().spec("/suspend", "Now").fresh();
    assert!(rolled(&before, &resting).is_empty(), "it comes back as it was");
}

#[test]
fn what_the_template_says_is_in_the_pods_and_cannot_override_what_is_ours() {
    let told = json!({
        "resources": { "requests": { "cpu": "2" } },
        "nodeSelector": { "disk": "fast" },
        "tolerations": [{ "key": "gpu", "operator": "Exists", "effect": "NoSchedule" }],
        "affinity": { "podAntiAffinity": {} },
        "labels": { "team": "lake", STAGE_OF_ANOTHER: "x" },
        "annotations": { "example.com/a": "b" },
        "priorityClassName": "high",
        "serviceAccountName": "mine",
    });
    let desired = PipelineFixture::ecommerce().spec("/sinks/0/template", told).fresh();
    let template = template(&desired, "ecommerce-raw");
    let pod = &template["spec"];
    assert_eq!(
        pod["containers"][0]["resources"],
        json!({ "requests": { "cpu": "2" }, "limits": { "memory": "512Mi" } })
    );
    assert_eq!(pod["nodeSelector"]["disk"], "fast");
    assert_eq!(pod["tolerations"][0]["key"], "gpu");
    assert!(pod["affinity"]["podAntiAffinity"].is_object());
    assert_eq!(template["metadata"]["labels"]["team"], "lake");
    assert_eq!(template["metadata"]["labels"][STAGE_OF_ANOTHER], "raw");
    assert_eq!(template["metadata"]["annotations"]["example.com/a"], "b");
    assert_eq!((&pod["priorityClassName"], &pod["serviceAccountName"]), (&json!("high"), &json!("mine")));
    assert!(!desired.children.iter().any(|child| child.kind == Kind::ServiceAccount && child.stage == "raw"));
}

const STAGE_OF_ANOTHER: &str = crate::names::STAGE_LABEL;

#[test]
fn pods_satisfy_the_restricted_profile() {
    let desired = PipelineFixture::ecommerce().fresh();
    for child in desired.children.iter().filter(|child| child.kind == Kind::Deployment) {
        let pod = &child.object["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        let security = &pod["containers"][0]["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    }
}

#[test]
fn a_pod_has_the_time_that_its_drain_may_take() {
    let grace = |fixture: PipelineFixture| {
        template(&fixture.fresh(), "ecommerce-orders")["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap()
    };
    assert_eq!(grace(PipelineFixture::ecommerce()), 60);
    assert_eq!(grace(PipelineFixture::ecommerce().spec("/sources/0/http/limits", json!({ "bodyTimeout": "2m" }))), 150);
}

#[test]
fn the_configuration_has_a_map_of_its_own_named_after_its_content() {
    let desired = PipelineFixture::ecommerce().fresh();
    let hash = template(&desired, "ecommerce-raw")["metadata"]["annotations"][CONFIG_ANNOTATION].as_str().unwrap();
    let map = find(&desired, Kind::ConfigMap, &format!("ecommerce-raw-{hash}"));
    assert_eq!(map["immutable"], true);
    let config: penstock_api::plan::StageConfig =
        serde_json::from_str(map["data"]["stage.json"].as_str().unwrap()).unwrap();
    assert_eq!(config, PipelineFixture::ecommerce().validated().stages[1].config);
}

#[test]
fn children_belong_to_their_pipeline_and_carry_nothing_that_argo_takes_for_its_own() {
    for child in PipelineFixture::ecommerce().fresh().children {
        let metadata = &child.object["metadata"];
        assert_eq!(metadata["ownerReferences"][0]["uid"], "uid-1");
        assert_eq!(metadata["ownerReferences"][0]["controller"], true);
        assert_eq!(metadata["labels"]["penstock.dev/pipeline"], "ecommerce");
        let text = child.object.to_string();
        assert!(!text.contains("app.kubernetes.io/instance") && !text.contains("argocd"), "{text}");
    }
}

#[test]
fn a_label_holds_the_longest_names() {
    let name = "p".repeat(60);
    let mut object = PipelineFixture::ecommerce().object();
    object.metadata.name = Some(name.clone());
    let validated = crate::validate::validate(&object, &settings()).unwrap();
    let settings = settings();
    let observed = observed(Children::new());
    let desired =
        build(&validated, Surroundings { settings: &settings, observed: &observed, drained: &Drained::new() });
    for child in desired.children {
        let labels = child.object["metadata"]["labels"].as_object().unwrap();
        assert!(labels.values().all(|value| value.as_str().unwrap().len() <= 63));
    }
}
