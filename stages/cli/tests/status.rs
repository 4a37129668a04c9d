//! `penstock status` as people start it, with a kubectl that answers what a test tells it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder to be the PATH, with a kubectl in it.
struct Kubectl {
    folder: tempfile::TempDir,
}

impl Kubectl {
    /// One that does this, in the language of the shell.
    fn doing(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubectl");
        let text = format!("#!/bin/sh\ncd '{}'\necho \"$@\" >> arguments\n{script}\n", folder.path().display());
        // Written by another process: what this one forks meanwhile would hold it open, and it could not be started.
        let mut writer = Command::new("sh");
        writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(&file).stdin(Stdio::piped());
        let mut writer = writer.spawn().unwrap();
        writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
        Self { folder }
    }

    /// One that gives recorded states.
    fn giving(states: &[&str]) -> Self {
        let kubectl = Self::doing("exec /bin/cat answer.json");
        kubectl.will_give(states);
        kubectl
    }

    fn will_give(&self, states: &[&str]) {
        let items: Vec<Value> = states.iter().map(|state| recorded(state)).collect();
        let answer = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": items });
        // In one step: kubectl may be reading it.
        let new = self.folder.path().join("answer.new");
        fs::write(&new, answer.to_string()).unwrap();
        fs::rename(new, self.folder.path().join("answer.json")).unwrap();
    }

    fn status(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
        command.arg("status").args(arguments).env("PATH", self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        said(self.status(arguments).output().unwrap())
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.folder.path().join("arguments")).unwrap_or_default()
    }
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn recorded(state: &str) -> Value {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/argocd/testdata");
    serde_yaml::from_str(&fs::read_to_string(folder.join(format!("{state}.yaml"))).unwrap()).unwrap()
}

#[test]
fn the_exit_code_tells_ready_not_ready_and_unknown_apart() {
    assert_eq!(Kubectl::giving(&["ready"]).run(&[]).0, Some(0));
    assert_eq!(Kubectl::giving(&["ready", "stage-failed"]).run(&[]).0, Some(1));
    assert_eq!(Kubectl::giving(&["stale-generation"]).run(&[]).0, Some(1));
    assert_eq!(Kubectl::giving(&[]).run(&[]).0, Some(1));
    assert_eq!(Kubectl::doing("exit 1").run(&[]).0, Some(2));
    assert_eq!(Kubectl::giving(&["ready"]).run(&["pipeline.yaml"]).0, Some(2));
}

#[test]
fn kubectl_gets_names_namespace_and_context() {
    let kubectl = Kubectl::giving(&["ready"]);
    kubectl.run(&["orders", "returns", "-n", "shop", "--context", "east"]);
    let expected = "get pipelines.penstock.dev orders returns --output=json --request-timeout=30s --namespace shop --context east\n";
    assert_eq!(kubectl.asked(), expected);
    let everywhere = Kubectl::giving(&["ready"]);
    everywhere.run(&["-A"]);
    assert!(everywhere.asked().ends_with(" --all-namespaces\n"), "{}", everywhere.asked());
}

#[test]
fn what_is_wrong_and_what_to_do_about_it_is_said() {
    let (_, text, _) = Kubectl::giving(&["secret-missing"]).run(&[]);
    let message = recorded("secret-missing")["status"]["conditions"][0]["message"].as_str().unwrap().to_owned();
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat(&text).contains(&flat(&message)), "{text}");
    assert_eq!(flat(&text).matches(&flat(&message)).count(), 1, "it is said once: {text}");
}

#[test]
fn without_kubectl_or_with_one_that_fails_the_error_says_so() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    let (code, _, errors) = said(command.arg("status").env("PATH", empty.path()).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(errors.contains("kubectl is not on the PATH"), "{errors}");

    let refused = "echo 'Error from server (Forbidden): pipelines.penstock.dev is forbidden' >&2; exit 1";
    let (code, _, errors) = Kubectl::doing(refused).run(&[]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("is forbidden"), "{errors}");

    let unknown = "echo 'error: the server doesn'\"'\"'t have a resource type \"pipelines\"' >&2; exit 1";
    let (_, _, errors) = Kubectl::doing(unknown).run(&[]);
    assert!(errors.contains("install the chart"), "{errors}");

    let (_, _, errors) = Kubectl::doing("echo hello").run(&[]);
    assert!(errors.contains("kubectl's answer cannot be read"), "{errors}");
}

#[test]
fn json_is_a_list_with_the_status_of_each() {
    let (code, text, _) = Kubectl::giving(&["ready", "not-ours"]).run(&["--output", "json"]);
    assert_eq!(code, Some(1));
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&list[0]["ready"], &list[1]["ready"]), (&true.into(), &false.into()));
    assert_eq!(list[1]["reason"], recorded("not-ours")["status"]["conditions"][0]["reason"]);
    assert_eq!(list[0]["status"]["stages"], recorded("ready")["status"]["stages"]);
}

#[test]
fn watching_goes_on_when_something_has_changed() {
    let kubectl = Kubectl::giving(&["pending"]);
    let mut child =
        kubectl.status(&["--watch", "--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()[0]["ready"], false);
    kubectl.will_give(&["ready"]);
    assert_eq!(next()[0]["ready"], true);
    child.kill().unwrap();
    child.wait().unwrap();
}
