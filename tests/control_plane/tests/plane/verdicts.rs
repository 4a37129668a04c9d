//! The CRD on the API server: taken without a word, and of one mind with `penstock validate`.

use std::path::Path;

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use penstock_api::check::{Checked, check, check_update};
use penstock_control_plane::{Manifest, Plane, World, shared};
use serde_json::{Value, json};

#[path = "../../../../operator/api/tests/rule_cases/mod.rs"]
mod rule_cases;

use rule_cases::{BASE, CASES, CHANGES, edited};

/// What is found by reading the text, before there is anything that could be sent.
const ABOUT_THE_TEXT: [&str; 5] =
    ["yaml_syntax", "duplicate_key", "not_a_resource", "unknown_kind", "unknown_api_version"];

/// Dry runs, in a namespace without operator.
struct Judge {
    client: Client,
    namespace: String,
}

impl Judge {
    async fn new(plane: &Plane) -> Self {
        Self { client: plane.client().unwrap(), namespace: plane.namespace("verdicts").await.unwrap() }
    }

    /// What the API server says to a new Pipeline.
    async fn create(&self, pipeline: &Value) -> (StatusCode, String) {
        self.send(Request::post(self.path("")), pipeline).await
    }

    /// What it says to a Pipeline that takes the place of another.
    async fn replace(&self, old: &Value, pipeline: &Value) -> (StatusCode, String) {
        let mut pipeline = pipeline.clone();
        pipeline["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        self.send(Request::put(self.path("/shop")), &pipeline).await
    }

    fn path(&self, name: &str) -> String {
        let (group, namespace) = ("/apis/penstock.dev/v1alpha1", &self.namespace);
        format!("{group}/namespaces/{namespace}/pipelines{name}?dryRun=All&fieldValidation=Strict")
    }

    async fn send(&self, request: http::request::Builder, pipeline: &Value) -> (StatusCode, String) {
        let mut pipeline = pipeline.clone();
        if pipeline["metadata"].is_object() {
            pipeline["metadata"]["namespace"] = json!(self.namespace);
        }
        let body = Body::from(pipeline.to_string().into_bytes());
        let request = request.header("content-type", "application/json").body(body).unwrap();
        let (parts, body) = self.client.send(request).await.unwrap().into_parts();
        let said = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (parts.status, said)
    }
}

/// The Pipelines of a text.
fn pipelines(checked: &Checked) -> Vec<Value> {
    checked.documents.iter().filter(|document| document.is_pipeline()).map(|document| document.root.to_json()).collect()
}

fn manifests(folder: &str) -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

#[tokio::test]
async fn the_crd_is_taken_without_warnings_and_is_small() {
    let Some(plane) = shared().unwrap() else { return };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/pipelines.penstock.dev.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.len() < 200_000, "{} bytes", text.len());
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pipelines.penstock.dev";
    let request = Request::patch(format!("{crd}?dryRun=All&fieldValidation=Strict&fieldManager=test&force=true"))
        .header("content-type", "application/apply-patch+yaml")
        .body(Body::from(text.into_bytes()))
        .unwrap();
    let (parts, body) = plane.client().unwrap().send(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert!(parts.status.is_success(), "{}", String::from_utf8_lossy(&body));
    let warnings: Vec<_> = parts.headers.get_all("warning").iter().collect();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[tokio::test]
async fn every_example_is_taken() {
    let Some(plane) = shared().unwrap() else { return };
    let judge = Judge::new(plane).await;
    for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")).unwrap() {
        let folder = folder.unwrap().path();
        let Ok(text) = std::fs::read_to_string(folder.join("pipeline.yaml")) else { continue };
        for pipeline in pipelines(&check(&text)) {
            let (status, said) = judge.create(&pipeline).await;
            assert_eq!(status, StatusCode::CREATED, "{}: {said}", folder.display());
        }
    }
}

#[tokio::test]
async fn bad_manifests_are_refused_as_offline() {
    let Some(plane) = shared().unwrap() else { return };
    let judge = Judge::new(plane).await;
    let mut refused = 0;
    for file in manifests("operator/api/tests/bad").into_iter().chain(manifests("stages/cli/tests/bad")) {
        let checked = check(&std::fs::read_to_string(&file).unwrap());
        if checked.findings.iter().any(|finding| ABOUT_THE_TEXT.contains(&finding.code)) {
            continue;
        }
        let pipelines = pipelines(&checked);
        // Of another kind: there is nothing that could be sent.
        if pipelines.is_empty() {
            continue;
        }
        let mut verdicts = Vec::new();
        for pipeline in pipelines {
            verdicts.push(judge.create(&pipeline).await);
        }
        let taken = verdicts.iter().all(|(status, _)| *status == StatusCode::CREATED);
        assert_eq!(taken, checked.is_valid(), "{}: {verdicts:?}, offline {:?}", file.display(), checked.findings);
        refused += usize::from(!taken);
    }
    assert!(refused >= 40, "{refused} were refused");
}

#[tokio::test]
async fn every_rule_takes_and_refuses_on_the_server_what_it_does_offline() {
    let Some(plane) = shared().unwrap() else { return };
    let judge = Judge::new(plane).await;
    for case in CASES {
        let [accepted, refused] =
            [case.accepted, case.refused].map(|edits| pipelines(&check(&edited(edits))).remove(0));
        let (status, said) = judge.create(&accepted).await;
        assert_eq!(status, StatusCode::CREATED, "{} is to take {:?}: {said}", case.code, case.accepted);
        let (status, said) = judge.create(&refused).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{} is to refuse {:?}: {said}", case.code, case.refused);
    }
}

#[tokio::test]
async fn every_rule_about_change_takes_and_refuses_on_the_server_what_it_does_offline() {
    let Some(plane) = shared().unwrap() else { return };
    let judge = Judge::new(plane).await;
    let mut base = pipelines(&check(BASE)).remove(0);
    base["metadata"]["namespace"] = json!(judge.namespace);
    let path = format!("/apis/penstock.dev/v1alpha1/namespaces/{}/pipelines", judge.namespace);
    let request = Request::post(path).header("content-type", "application/json");
    let there: Value = judge.client.request(request.body(base.to_string().into_bytes()).unwrap()).await.unwrap();
    for case in CHANGES {
        let [accepted, refused] = [case.accepted, case.refused]
            .map(|edits| pipelines(&check_update(&edited(edits), std::slice::from_ref(&base))).remove(0));
        let (status, said) = judge.replace(&there, &accepted).await;
        assert_eq!(status, StatusCode::OK, "{} is to take {:?}: {said}", case.code, case.accepted);
        let (status, said) = judge.replace(&there, &refused).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{} is to refuse {:?}: {said}", case.code, case.refused);
    }
}

/// Objects that may be empty, each with something in it.
fn that_may_be_empty() -> Vec<(&'static str, Value)> {
    let term = json!({ "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["a"] }] });
    let affinity = json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } });
    vec![
        ("/spec/sources/0/http/limits", json!({ "rows": 10 })),
        ("/spec/sources/0/http/schema", json!({ "type": "object" })),
        ("/spec/sources/0/template", json!({ "priorityClassName": "high" })),
        ("/spec/buffers/0/duplicates", json!({ "window": "5m" })),
        ("/spec/sinks/0/reading", json!({ "fanOut": { "consumer": "shop" } })),
        ("/spec/sinks/0/reading/fanOut", json!({ "consumer": "shop" })),
        ("/spec/sinks/0/s3/rotate", json!({ "age": "7m" })),
        ("/spec/sinks/0/template/labels", json!({ "team": "shop" })),
        ("/spec/sinks/0/template/annotations", json!({ "team": "shop" })),
        ("/spec/sinks/0/template/nodeSelector", json!({ "zone": "a" })),
        ("/spec/sinks/0/template/resources", json!({ "limits": { "memory": "1Gi" } })),
        ("/spec/sinks/0/template/resources/limits", json!({ "memory": "1Gi" })),
        ("/spec/sinks/0/template/affinity", json!({ "nodeAffinity": affinity })),
        ("/spec/apis/0/limits", json!({ "requests": 5 })),
    ]
}

/// Puts a value at a JSON pointer, with the objects around it that are missing.
fn put(value: &mut Value, pointer: &str, what: Value) {
    let mut at = value;
    for step in pointer.split('/').skip(1) {
        at = match step.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[step],
        };
    }
    *at = what;
}

#[tokio::test]
async fn an_apply_that_empties_an_object_is_taken_and_what_says_something_by_being_there_stays() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "emptied").await.unwrap();
    for (number, (pointer, filled)) in that_may_be_empty().into_iter().enumerate() {
        let mut manifest = Manifest::example("ecommerce").unwrap();
        manifest.0["metadata"]["name"] = json!(format!("emptied-{number}"));
        put(&mut manifest.0, pointer, filled);
        world.apply(&manifest).await.unwrap();
        put(&mut manifest.0, pointer, json!({}));
        let answer = world.apply(&manifest).await;
        let there = answer.unwrap_or_else(|error| panic!("{pointer} is emptied: {error}")).data;
        let is_kept = ["fanOut", "schema", "affinity"].iter().any(|name| pointer.ends_with(name));
        let now = there.pointer(pointer).cloned().unwrap_or_default();
        assert!(now == json!({}) || (!is_kept && now.is_null()), "{pointer} is {now}");
        manifest.0["spec"] = there["spec"].clone();
        let checked = check(&manifest.0.to_string());
        assert!(checked.is_valid(), "{pointer}: {:?}", checked.findings);
    }
}

#[tokio::test]
async fn who_gives_up_the_last_field_of_an_object_that_another_applies_empty_is_not_refused() {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, "given-up").await.unwrap();
    let manifest = Manifest::example("ecommerce").unwrap().with("/spec/sinks/0/s3/rotate", json!({})).unwrap();
    world.apply(&manifest).await.unwrap();
    let of_another = async |rotate: Value| {
        let mut part =
            json!({ "apiVersion": "penstock.dev/v1alpha1", "kind": "Pipeline", "metadata": { "name": "ecommerce" } });
        if !rotate.is_null() {
            part["spec"] = json!({ "sinks": [{ "name": "raw", "s3": { "rotate": rotate } }] });
        }
        let there =
            world.pipelines().patch("ecommerce", &PatchParams::apply("another").force(), &Patch::Apply(&part)).await;
        there.unwrap().data.pointer("/spec/sinks/0/s3/rotate").cloned()
    };
    assert_eq!(of_another(json!({ "age": "7m" })).await, Some(json!({ "age": "7m" })));
    assert!(of_another(Value::Null).await.is_none_or(|rotate| rotate.is_null() || rotate == json!({})));
}

/// The other way round it is not so: of what may not be `null` the API server drops a `null` that it is sent, without a word, so that
/// an `auth:` with nothing behind it would leave a door open. Offline that is an error, as an unknown field is.
#[tokio::test]
async fn a_null_that_is_taken_offline_is_taken_by_the_server() {
    let Some(plane) = shared().unwrap() else { return };
    let judge = Judge::new(plane).await;
    let mut whole = Manifest::example("ecommerce").unwrap().0;
    for (pointer, filled) in that_may_be_empty() {
        if whole.pointer(pointer).is_none_or(Value::is_null) {
            put(&mut whole, pointer, filled);
        }
    }
    let (status, said) = judge.create(&whole).await;
    assert_eq!(status, StatusCode::CREATED, "{said}");
    let mut fields = Vec::new();
    members(&whole["spec"], "/spec", &mut fields);
    let (mut taken, mut refused) = (0, 0);
    for field in fields {
        let mut manifest = whole.clone();
        put(&mut manifest, &field, Value::Null);
        let checked = check(&manifest.to_string());
        let (status, said) = judge.create(&manifest).await;
        assert!(!checked.is_valid() || status == StatusCode::CREATED, "{field}: {said}");
        *(if checked.is_valid() { &mut taken } else { &mut refused }) += 1;
    }
    assert!(taken >= 10 && refused >= 10, "{taken} were taken, {refused} refused");
}

/// The fields of all objects in a value, outside of those of any shape.
fn members(value: &Value, at: &str, fields: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, member) in object {
                let at = format!("{at}/{name}");
                fields.push(at.clone());
                if name != "schema" && name != "affinity" && !name.contains('/') {
                    members(member, &at, fields);
                }
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| members(item, &format!("{at}/{index}"), fields));
        }
        _ => {}
    }
}
