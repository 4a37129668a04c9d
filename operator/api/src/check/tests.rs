#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
#[test]
fn try_it() {
    for f in ["ecommerce", "minimal"] {
        let t = std::fs::read_to_string(format!("{}/../../examples/{f}/pipeline.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let c = check(&t);
        assert!(c.findings.is_empty(), "{:#?}", c.findings);
    }
}
