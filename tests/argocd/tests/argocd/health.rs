//! The health of a Pipeline as the commands of others tell it, over the states of `examples/argocd/testdata`.

use std::path::{Path, PathBuf};

use penstock_argocd::{Tracking, argo_cd_says, flux_says};
use penstock_manifests::{documents, read};

/// Each state's file, and the health and the message that its case says.
fn cases() -> Vec<(PathBuf, String, String)> {
    let cases = documents(&read("examples/argocd/health_test.yaml").unwrap()).unwrap().remove(0);
    let cases = cases["tests"].as_array().unwrap().iter().map(|case| {
        let text = |field: &str| case["healthStatus"][field].as_str().unwrap().to_owned();
        let file = Path::new("examples/argocd").join(case["inputPath"].as_str().unwrap());
        (file, text("status"), text("message"))
    });
    cases.collect()
}

#[test]
fn argo_cd_s_command_tells_the_health_that_each_case_says() {
    for tracking in [Tracking::Annotation, Tracking::Label] {
        for (file, status, message) in cases() {
            let Some(said) = argo_cd_says(tracking, &file).unwrap() else { return };
            // Of what is being deleted Argo CD does not ask the script.
            let message = if is_going(&file) { "Pending deletion".to_owned() } else { message };
            let expected = format!("STATUS: {status}\nMESSAGE: {message}\n");
            assert_eq!(said, expected, "{}, tracked by {}", file.display(), tracking.as_str());
        }
    }
}

fn is_going(file: &Path) -> bool {
    !documents(&read(file).unwrap()).unwrap()[0]["metadata"]["deletionTimestamp"].is_null()
}

/// Flux has no word for a Pipeline that rests: it is not ready. Neither has it one for what was never looked at, other than
/// that it is there.
#[test]
fn flux_takes_a_pipeline_for_what_argo_cd_takes_it_for() {
    for (file, status, _) in cases() {
        let expected = match status.as_str() {
            _ if is_going(&file) => "Terminating",
            _ if file.ends_with("new.yaml") => "Current",
            "Healthy" => "Current",
            "Degraded" => "Failed",
            _ => "InProgress",
        };
        let Some(said) = flux_says(&file).unwrap() else { return };
        assert!(said.starts_with(&format!("STATUS: {expected}\n")), "{}: {said}", file.display());
    }
}
