//! The chart's rights: each has a place in the code that needs it, and each need has its right.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use penstock_manifests::{documents, read, rendered};
use serde_json::Value;

/// Group, resource, verb, the file that needs it, and the words in it that do.
type Need = (&'static str, &'static str, &'static str, &'static str, &'static str);

const CHILDREN: [(&str, &str); 6] = [
    ("", "serviceaccounts"),
    ("", "configmaps"),
    ("", "services"),
    ("networking.k8s.io", "networkpolicies"),
    ("policy", "poddisruptionbudgets"),
    ("apps", "deployments"),
];

const OF_EACH_CHILD: [(&str, &str, &str); 6] = [
    ("list", "operator/src/control.rs", "Api::all_with(context.client.clone(), &kind.api())"),
    ("watch", "operator/src/control.rs", "watcher(api, config)"),
    ("get", "operator/src/apply/mod.rs", "None => api.get_opt(&child.name)"),
    ("patch", "operator/src/apply/mod.rs", "Patch::Apply(&child.object)"),
    // An apply that makes the object needs both.
    ("create", "operator/src/apply/mod.rs", "Patch::Apply(&child.object)"),
    ("delete", "operator/src/apply/mod.rs", ".delete(live.name(), &parameters)"),
];

const OTHERS: [Need; 9] = [
    (
        "penstock.dev",
        "pipelines",
        "list",
        "operator/src/control.rs",
        "watcher(api, watcher::Config::default().page_size(PAGE))",
    ),
    (
        "penstock.dev",
        "pipelines",
        "watch",
        "operator/src/control.rs",
        "watcher(api, watcher::Config::default().page_size(PAGE))",
    ),
    ("penstock.dev", "pipelines", "get", "operator/src/apply/mod.rs", "api.get_opt(&identity.name)"),
    ("penstock.dev", "pipelines", "patch", "operator/src/apply/mod.rs", "Patch::Apply(&metadata)"),
    ("penstock.dev", "pipelines/status", "patch", "operator/src/report/mod.rs", "api.patch_status("),
    // Asked for by the admission plugin OwnerReferencesPermissionEnforcement, where it is on.
    (
        "penstock.dev",
        "pipelines/finalizers",
        "update",
        "operator/src/build/common.rs",
        "block_owner_deletion: Some(true)",
    ),
    ("", "secrets", "get", "operator/src/observe/secrets.rs", "secrets.get_metadata_opt(name)"),
    ("", "pods", "list", "operator/src/observe/pods.rs", "Api::<Pod>::namespaced("),
    ("events.k8s.io", "events", "create", "operator/src/report/mod.rs", "context.events.publish("),
];

/// What happened, for the page. Where a stage answers it finds by the right to list pods that there is anyway.
const OF_THE_PAGE: [Need; 1] =
    [("events.k8s.io", "events", "list", "operator/src/page/cluster.rs", "Api::<Event>::namespaced(")];

/// A second event of the same kind counts the first one up.
const EVENT_PATCH: Need = ("events.k8s.io", "events", "patch", "operator/src/report/mod.rs", "context.events.publish(");

const LEASE: [Need; 3] = [
    ("coordination.k8s.io", "leases", "create", "operator/src/leader/lease.rs", "self.api.create("),
    ("coordination.k8s.io", "leases", "get", "operator/src/leader/lease.rs", "self.api.get_opt("),
    ("coordination.k8s.io", "leases", "update", "operator/src/leader/lease.rs", "self.api.replace("),
];

/// What the check before `helm uninstall` needs; its role is there only while it runs.
const UNINSTALL: [Need; 1] =
    [("penstock.dev", "pipelines", "list", "operator/src/uninstall.rs", "scope.list_metadata(&page)")];

type Right = (String, String, String);

fn needs() -> Vec<Need> {
    let of_children = CHILDREN.iter().flat_map(|(group, resource)| {
        OF_EACH_CHILD.iter().map(move |(verb, file, words)| (*group, *resource, *verb, *file, *words))
    });
    of_children.chain(OTHERS).chain([EVENT_PATCH]).chain(OF_THE_PAGE).collect()
}

fn as_rights<'a>(needs: impl IntoIterator<Item = &'a Need>) -> BTreeSet<Right> {
    let right = |(group, resource, verb, ..): &Need| ((*group).to_owned(), (*resource).to_owned(), (*verb).to_owned());
    needs.into_iter().map(right).collect()
}

fn words<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    rule[field].as_array().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
}

fn granted(role: &Value) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    rights.insert((group.to_owned(), resource.to_owned(), verb.to_owned()));
                }
            }
        }
    }
    rights
}

/// Whose role it is decides what it may.
fn expected(role: &Value) -> BTreeSet<Right> {
    let labelled = |component: &str| role["metadata"]["labels"]["app.kubernetes.io/component"] == component;
    let is_of_the_lease = role["metadata"]["name"].as_str().unwrap().ends_with("-lease");
    match (labelled("uninstall"), is_of_the_lease) {
        (true, _) => as_rights(&UNINSTALL),
        (false, true) => as_rights(&LEASE),
        (false, false) => as_rights(&needs()),
    }
}

fn roles(arguments: &[&str]) -> Vec<Value> {
    let Some(text) = rendered(arguments).unwrap() else { return Vec::new() };
    let is_role = |document: &Value| ["Role", "ClusterRole"].iter().any(|kind| document["kind"] == *kind);
    let roles: Vec<_> = documents(&text).unwrap().into_iter().filter(is_role).collect();
    assert!(!roles.is_empty());
    roles
}

#[test]
fn each_need_names_a_place_that_is_there() {
    for (_, resource, verb, file, words) in needs().iter().chain(&LEASE).chain(&UNINSTALL) {
        assert!(read(file).unwrap().contains(words), "{verb} {resource}: {file} has no `{words}` any more");
    }
}

#[test]
fn everywhere_the_operator_may_do_what_it_needs_and_nothing_else() {
    for role in roles(&[]) {
        assert_eq!(granted(&role), expected(&role), "{}", role["metadata"]["name"]);
    }
}

#[test]
fn without_the_page_no_events_are_listed() {
    let without_page: BTreeSet<_> = as_rights(&needs()).difference(&as_rights(&OF_THE_PAGE)).cloned().collect();
    let all = roles(&["--set=page.enabled=false"]);
    let is_operators = |role: &&Value| {
        role["kind"] == "ClusterRole" && role["metadata"]["labels"]["app.kubernetes.io/component"] == "operator"
    };
    let operators: Vec<_> = all.iter().filter(is_operators).collect();
    assert_eq!(operators.len(), usize::from(!all.is_empty()), "there are none at all only where there is no helm");
    for role in operators {
        assert_eq!(granted(role), without_page);
    }
}

#[test]
fn a_role_for_the_check_before_uninstalling_goes_with_it() {
    let of_the_check = |arguments: &[&str]| {
        let all = roles(arguments).into_iter();
        all.filter(|role| role["metadata"]["labels"]["app.kubernetes.io/component"] == "uninstall").collect::<Vec<_>>()
    };
    for role in of_the_check(&[]) {
        assert_eq!(role["metadata"]["annotations"]["helm.sh/hook"], "pre-delete");
        let policy = role["metadata"]["annotations"]["helm.sh/hook-delete-policy"].as_str().unwrap();
        assert!(policy.contains("hook-succeeded"), "{policy}");
    }
    assert!(of_the_check(&["--set=uninstallCheck.enabled=false"]).is_empty());
    assert!(of_the_check(&["--set=watchNamespaces={shop,bank}"]).is_empty(), "a namespace that is gone takes no role");
}

#[test]
fn for_named_namespaces_there_is_a_role_in_each_and_none_for_the_cluster() {
    let roles = roles(&["--set", "watchNamespaces={shop,bank}"]);
    for role in &roles {
        assert_eq!(role["kind"], "Role");
        let namespace = role["metadata"]["namespace"].as_str().unwrap();
        assert_eq!(granted(role), expected(role), "{namespace}");
    }
    let namespaces: BTreeSet<_> = roles.iter().map(|role| role["metadata"]["namespace"].as_str().unwrap()).collect();
    assert!(roles.is_empty() || namespaces == BTreeSet::from(["bank", "penstock", "shop"]), "{namespaces:?}");
}

#[test]
fn a_lease_is_read_and_written_by_its_name_only() {
    for role in roles(&[]).iter().filter(|role| role["metadata"]["name"].as_str().unwrap().ends_with("-lease")) {
        for rule in role["rules"].as_array().unwrap() {
            let expected: &[&str] = if words(rule, "verbs") == ["create"] { &[] } else { &["penstock-operator"] };
            assert_eq!(words(rule, "resourceNames"), expected);
        }
    }
}
