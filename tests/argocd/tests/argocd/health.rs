//! The health of a Pipeline as Argo CD's own command tells it, from the settings that people are told to make.

use std::path::Path;

use penstock_argocd::{Tracking, command_line_health};
use penstock_manifests::{documents, read};

#[test]
fn argo_cd_s_command_tells_the_health_that_each_case_says() {
    let cases = documents(&read("examples/argocd/health_test.yaml").unwrap()).unwrap().remove(0);
    for tracking in [Tracking::Annotation, Tracking::Label] {
        for case in cases["tests"].as_array().unwrap() {
            let file = Path::new("examples/argocd").join(case["inputPath"].as_str().unwrap());
            let Some(said) = command_line_health(tracking, &file).unwrap() else { return };
            let text = |field: &str| case["healthStatus"][field].as_str().unwrap().to_owned();
            let expected = format!("STATUS: {}\nMESSAGE: {}\n", text("status"), text("message"));
            assert_eq!(said, expected, "{}, tracked by {}", file.display(), tracking.as_str());
        }
    }
}
