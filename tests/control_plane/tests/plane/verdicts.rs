//! The CRD on the API server: taken without a word, and of one mind with `penstock validate`.

use std::path::Path;

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use penstock_api::check::{Checked, check, check_update};
use penstock_control_plane::{Plane, shared};
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
