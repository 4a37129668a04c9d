//! The harness itself: a cluster that was killed leaves nothing behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use penstock_cluster::{Cluster, Lifetime, eventually};

use crate::setting::{PROGRAM, name, turn};

#[test]
fn a_cluster_that_was_killed_leaves_nothing_once_it_is_cleared_away() {
    let Some(_turn) = turn() else { return };
    let name = name("killed");
    let cluster = Cluster::up(&name, Lifetime::Lasting, Path::new(PROGRAM)).unwrap();
    let folder = cluster.kubeconfig().parent().unwrap().to_owned();
    // A container, so that there is a mount and a process that containerd is not the parent of.
    let pod = r#"{ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "idle" }, "spec": { "containers": [
        { "name": "idle", "image": "penstock.test/pause:1", "imagePullPolicy": "Never" }] } }"#;
    cluster.apply(pod).unwrap();
    cluster.kubectl(["wait", "--for=condition=Ready", "pod/idle", "--timeout=3m"]).unwrap();
    let processes = processes_in(&folder);
    assert!(processes > 8, "{processes}");

    let init = cluster.first_process().to_string();
    assert!(Command::new("kill").args(["-KILL", &init]).status().unwrap().success());
    eventually("all its processes end", || {
        anyhow::ensure!(processes_in(&folder) == 0, "{} are left", processes_in(&folder));
        Ok(())
    })
    .unwrap();
    assert!(Cluster::all().unwrap().contains(&(name.clone(), false)));
    Cluster::down(&name).unwrap();
    assert!(!folder.exists());
    assert!(!Path::new("/sys/fs/cgroup/memory").join(format!("penstock-{name}")).exists());
    assert!(!fs::read_to_string("/proc/self/mounts").unwrap().contains(folder.to_str().unwrap()));
}

/// How many processes run a program of the cluster, or hold a pod of it.
fn processes_in(folder: &Path) -> usize {
    let mounts = |id: &Path| fs::read_to_string(id.join("mountinfo")).unwrap_or_default();
    let name = folder.file_name().unwrap().to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    entries.filter(|id| mounts(id).contains(&format!("clusters/{name}"))).count()
}
