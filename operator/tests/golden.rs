//! What the operator makes of every example, to the byte. A version of the operator that would change it would roll
//! somebody's pods: that must be said by accepting the new file (`INSTA_UPDATE=always cargo test`).
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use penstock_operator::build::{Drained, Surroundings, build};
use penstock_operator::observe::Observed;
use penstock_operator::validate::validate;
use penstock_operator::{Pipeline, Settings};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// All Pipelines among the examples. Those in `testdata` are no examples of what to write.
fn examples(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && !entry.ends_with("testdata") {
            found.extend(examples(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "yaml")
            && std::fs::read_to_string(&entry).unwrap().lines().any(|line| line == "kind: Pipeline")
        {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// `ecommerce` for `ecommerce/pipeline.yaml`, `ecommerce-analytics` for `ecommerce/analytics.yaml`.
fn name(file: &Path) -> String {
    let path = file.strip_prefix(root()).unwrap().with_extension("");
    let parts = path.iter().map(|part| part.to_str().unwrap()).filter(|part| *part != "pipeline");
    parts.collect::<Vec<_>>().join("-")
}

fn children(file: &Path) -> String {
    let mut manifest: Value = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    manifest["metadata"]["namespace"] = json!("default");
    manifest["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    manifest["metadata"]["generation"] = json!(1);
    let pipeline: Pipeline = serde_json::from_value(manifest).unwrap();
    let settings = Settings::new("penstock:golden");
    let validated = validate(&pipeline, &settings).unwrap();
    let secrets = validated.secrets().into_iter().map(|name| (name.to_owned(), Some("version".to_owned())));
    let observed = Observed { children: BTreeMap::new(), secrets: secrets.collect() };
    let desired =
        build(&validated, Surroundings { settings: &settings, observed: &observed, drained: &Drained::new() });
    desired.children.iter().map(|child| format!("---\n{}", serde_yaml::to_string(&child.object).unwrap())).collect()
}

#[test]
fn the_children_of_every_example_are_what_they_were() {
    let examples = examples(&root());
    assert!(examples.len() >= 5, "{examples:?}");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for file in examples {
            insta::assert_snapshot!(name(&file), children(&file));
        }
    });
}
