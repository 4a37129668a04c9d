//! Argo CD's programs: one file that is built once for each version of its sources, and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use penstock_conformance::cache;
use penstock_kubernetes::key;

/// One file by each of these names.
const NAMES: [&str; 5] = ["argocd", "argocd-redis", "argocd-repo-server", "argocd-application-controller", "kstatus"];
const DEFINITIONS: [&str; 2] = ["application-crd.yaml", "appproject-crd.yaml"];

/// The programs and the definitions of Argo CD's own kinds.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Those that were built before; `None` where they were not, which is said. When everything is to be tested,
    /// they are built: that takes minutes, and who comes meanwhile waits for it.
    ///
    /// # Errors
    /// When they cannot be built.
    #[allow(clippy::print_stderr, reason = "what was skipped")]
    pub(crate) fn find() -> anyhow::Result<Option<Self>> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
        let programs = Self { folder: cache()?.join("argocd").join(key(&sources)?) };
        let may_build = std::env::var_os("PENSTOCK_FULL").is_some();
        if !programs.are_there() && !may_build {
            eprintln!(
                "SKIPPED: nothing is tested with Argo CD itself, which `cargo xtask argocd` builds, once, with Go"
            );
            return Ok(None);
        }
        programs.build_if_missing(&sources)?;
        Ok(Some(programs))
    }

    /// One of them.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The definitions, as YAML.
    pub(crate) fn definitions(&self) -> anyhow::Result<Vec<String>> {
        DEFINITIONS.iter().map(|name| Ok(fs::read_to_string(self.folder.join(name))?)).collect()
    }

    /// The first name is given last.
    fn are_there(&self) -> bool {
        self.path(NAMES[0]).exists()
    }

    fn build_if_missing(&self, sources: &Path) -> anyhow::Result<()> {
        if self.are_there() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder).with_context(|| format!("{} cannot be made", self.folder.display()))?;
        let lock = fs::File::create(self.folder.join("lock"))?;
        lock.lock().context("the lock of Argo CD's build cannot be taken")?;
        if self.are_there() {
            return Ok(());
        }
        let built = self.folder.join("unfinished");
        go(
            sources,
            &["build", "-trimpath", "-mod=readonly", "-ldflags", "-s -w", "-o", &built.to_string_lossy(), "."],
        )?;
        let module = go(sources, &["list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3"])?;
        for name in DEFINITIONS {
            let text = fs::read(Path::new(module.trim()).join("manifests/crds").join(name))?;
            fs::write(self.folder.join(name), text)?;
        }
        for name in NAMES.iter().skip(1) {
            drop(fs::remove_file(self.path(name)));
            fs::hard_link(&built, self.path(name)).with_context(|| format!("{name} cannot be named"))?;
        }
        fs::rename(&built, self.path(NAMES[0])).context("Argo CD cannot be put in its place")
    }
}

/// Runs Go in the folder of the module, behind everything else that runs; gives what it printed.
fn go(sources: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut go = Command::new("nice");
    go.args(["-n", "10", "go"]).args(arguments).current_dir(sources).env("CGO_ENABLED", "0");
    let output = go.output().context("`nice` cannot be started")?;
    if !output.status.success() {
        bail!("Argo CD cannot be built (with Go 1.26 or newer): {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
