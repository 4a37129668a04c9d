//! The control groups of a cluster's pods. They are the one thing that outlives its processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::wait::within;

const ROOT: &str = "/sys/fs/cgroup";
/// The system lets go of a process's group some moments after the process.
const PATIENCE: Duration = Duration::from_secs(20);

/// The group under which the kubelet of this cluster makes its own.
pub(crate) fn name(cluster: &str) -> String {
    format!("penstock-{cluster}")
}

/// Whether this process may make groups at all.
pub(crate) fn may_be_made() -> anyhow::Result<()> {
    let cluster = format!("probe-{}", std::process::id());
    make(&cluster)?;
    remove(&cluster)
}

/// Makes it in every hierarchy.
pub(crate) fn make(cluster: &str) -> anyhow::Result<()> {
    let hierarchies = hierarchies();
    if hierarchies.is_empty() {
        bail!("there is no {ROOT}");
    }
    for hierarchy in hierarchies {
        let group = hierarchy.join(name(cluster));
        fs::create_dir_all(&group).with_context(|| format!("{} cannot be made", group.display()))?;
        inherit_cpus(&hierarchy, &group)?;
    }
    Ok(())
}

/// Removes it from every hierarchy, with all groups inside. Nothing may run in them.
pub(crate) fn remove(cluster: &str) -> anyhow::Result<()> {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(name(cluster));
        within(PATIENCE, "removing control groups", || remove_all(&group))?;
    }
    Ok(())
}

/// In the second version there is one hierarchy, in the first one for each controller.
fn hierarchies() -> Vec<PathBuf> {
    if Path::new(ROOT).join("cgroup.controllers").exists() {
        return vec![ROOT.into()];
    }
    let Ok(entries) = fs::read_dir(ROOT) else { return Vec::new() };
    let mut found: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // A controller may go by a second name, a link.
    found.retain(|path| path.is_dir() && !path.is_symlink());
    found.sort();
    found
}

/// A new group of cpuset, in the first version, has no CPU before it is given one.
fn inherit_cpus(hierarchy: &Path, group: &Path) -> anyhow::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if hierarchy.join("cgroup.controllers").exists() || !group.join(file).exists() {
            continue;
        }
        let parents = fs::read_to_string(hierarchy.join(file))?;
        fs::write(group.join(file), parents.trim()).with_context(|| format!("{file} cannot be set"))?;
    }
    Ok(())
}

/// Only groups can be removed, not the files in them, and only from the inside out.
fn remove_all(group: &Path) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(group) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_all(&path)?;
        }
    }
    match fs::remove_dir(group) {
        Err(error) if group.exists() => Err(error).with_context(|| format!("{} cannot be removed", group.display())),
        _ => Ok(()),
    }
}
