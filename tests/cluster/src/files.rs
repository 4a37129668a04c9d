//! The configuration of a cluster's programs. Most of it is beside this crate in `node/`, as it is used.

use std::fs;

use anyhow::Context;
use serde_json::json;

use crate::folder::{Folder, INSIDE};
use crate::network::NODE;

const FILES: [(&str, &str); 5] = [
    ("etc/containerd.toml", include_str!("../node/containerd.toml")),
    ("etc/kubelet.yaml", include_str!("../node/kubelet.yaml")),
    ("etc/kube-proxy.yaml", include_str!("../node/kube-proxy.yaml")),
    ("etc/Corefile", include_str!("../node/Corefile")),
    ("etc/cni/pods.conflist", include_str!("../node/cni.conflist")),
];
/// Who calls the API server: a file, a user, its groups. The token is the user's name: nobody else reaches the server.
const USERS: [(&str, &str, &str); 6] = [
    ("admin", "admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("kubelet", "system:node:node", "system:nodes"),
    ("kube-proxy", "system:kube-proxy", ""),
    ("coredns", "coredns", "system:masters"),
];
/// Volumes for claims of the default class. Nothing makes more.
const VOLUMES: usize = 8;

/// Writes all of it.
pub(crate) fn write(folder: &Folder) -> anyhow::Result<()> {
    for (name, text) in FILES {
        put(folder, name, text)?;
    }
    // There is nobody to ask outside.
    put(folder, "etc/resolv.conf", "")?;
    let tokens: String =
        USERS.iter().map(|(file, user, groups)| format!("{file},{user},{user},\"{groups}\"\n")).collect();
    put(folder, "etc/tokens.csv", &tokens)?;
    for (file, _, _) in USERS {
        put(folder, &format!("etc/{file}.kubeconfig"), &kubeconfig(file, INSIDE))?;
    }
    put(folder, "kubeconfig", &kubeconfig("admin", &folder.path().display().to_string()))?;
    for number in 0..VOLUMES {
        fs::create_dir_all(folder.join(format!("volumes/{number}")))?;
    }
    Ok(())
}

/// The storage class and the volumes, for `kubectl apply`.
pub(crate) fn storage() -> String {
    let volumes = (0..VOLUMES).map(|number| format!("---\n{}\n", volume(number)));
    std::iter::once(include_str!("../node/storage.yaml").to_owned()).chain(volumes).collect()
}

fn volume(number: usize) -> serde_json::Value {
    let here = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["node"] });
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": format!("volume-{number}") },
        "spec": {
            "capacity": { "storage": "10Gi" },
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "standard",
            "persistentVolumeReclaimPolicy": "Retain",
            // Not a host path: the kubelet gives these to the pod's group.
            "local": { "path": format!("{INSIDE}/volumes/{number}") },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [here] }] } },
        },
    })
}

/// JSON is YAML.
fn kubeconfig(token: &str, folder: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "cluster", "cluster": {
            "server": format!("https://{NODE}:6443"),
            "certificate-authority": format!("{folder}/certificates/apiserver.crt"),
        }}],
        "users": [{ "name": "user", "user": { "token": token } }],
        "contexts": [{ "name": "cluster", "context": { "cluster": "cluster", "user": "user" } }],
        "current-context": "cluster",
    })
    .to_string()
}

fn put(folder: &Folder, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}
