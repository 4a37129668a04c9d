//! Where the files of a cluster are, seen from outside and from inside.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Where the cluster's own processes find its folder: short, since the paths of sockets may not be long.
pub(crate) const INSIDE: &str = "/run/penstock";

/// What is in the folder.
const FOLDERS: [&str; 6] = ["bin", "etc/cni", "certificates", "var/lib", "var/log", "volumes"];
/// What is to be in `/var/lib` inside.
const STATES: [&str; 4] = ["containerd", "kubelet", "cni", "etcd"];

/// The folder of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    name: String,
}

impl Folder {
    /// The folder of the cluster with this name, whether it is there or not.
    ///
    /// # Errors
    /// When the name cannot be one, or there is no home.
    pub(crate) fn of(name: &str) -> anyhow::Result<Self> {
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(fits) {
            bail!("{name:?} cannot name a cluster: use up to 40 of a-z, 0-9 and -");
        }
        Ok(Self { path: all()?.join(name), name: name.to_owned() })
    }

    /// Those of all clusters that are there, running or not.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub(crate) fn there() -> anyhow::Result<Vec<Self>> {
        let Ok(entries) = fs::read_dir(all()?) else { return Ok(Vec::new()) };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        Ok(names.iter().filter_map(|name| Self::of(name).ok()).collect())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }

    pub(crate) fn make(&self) -> anyhow::Result<()> {
        let states = STATES.iter().map(|state| format!("var/lib/{state}"));
        for folder in FOLDERS.iter().map(|&folder| folder.to_owned()).chain(states) {
            let path = self.join(folder);
            fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        }
        Ok(())
    }
}

fn all() -> anyhow::Result<PathBuf> {
    Ok(penstock_conformance::cache()?.join("clusters"))
}
