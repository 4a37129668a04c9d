//! What is made from the types is in the repository, and is what the types say. `cargo xtask crds` writes it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use penstock_api::crd::{NAME, crd_yaml};

#[test]
fn the_definition_in_crds_is_what_the_types_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds").join(format!("{NAME}.yaml"));
    if std::env::var_os("PENSTOCK_WRITE_GENERATED").is_some() {
        std::fs::write(&file, crd_yaml()).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == crd_yaml(), "crds/{NAME}.yaml is not what the types say: run `cargo xtask crds`");
}
