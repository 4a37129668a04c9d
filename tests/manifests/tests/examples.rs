//! Every manifest in examples/ is read, and every Pipeline among them is one that the API server takes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use penstock_api::check;
use penstock_manifests::{documents, files, read, rendered};

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml")
}

fn is_values(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("values"))
}

/// Cases of a test, and no manifests.
fn is_test_data(path: &Path) -> bool {
    path.ends_with("health_test.yaml")
}

#[test]
fn every_manifest_of_the_examples_is_an_object() {
    let mut seen = 0;
    for file in files("examples").unwrap().into_iter().filter(|file| is_yaml(file)) {
        if is_values(&file) || is_test_data(&file) {
            continue;
        }
        for document in documents(&read(&file).unwrap()).unwrap() {
            for field in ["/apiVersion", "/kind"] {
                assert!(document.pointer(field).is_some_and(|value| value.is_string()), "{}: {field}", file.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} manifests were found");
}

#[test]
fn every_pipeline_of_the_examples_is_valid() {
    let mut seen = 0;
    for file in files("examples").unwrap().into_iter().filter(|file| is_yaml(file)) {
        let text = read(&file).unwrap();
        if !text.contains("kind: Pipeline\n") {
            continue;
        }
        let checked = check::check(&text);
        assert!(checked.is_valid(), "{}: {:#?}", file.display(), checked.findings);
        seen += 1;
    }
    assert!(seen > 5, "only {seen} Pipelines were found");
}

#[test]
fn the_chart_takes_the_values_of_the_examples() {
    for file in files("examples").unwrap().into_iter().filter(|file| is_yaml(file) && is_values(file)) {
        rendered(&["--values", file.to_str().unwrap()]).unwrap();
    }
}
