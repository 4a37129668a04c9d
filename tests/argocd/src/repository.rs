//! A git repository, as people keep their manifests in.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;
use tempfile::TempDir;

/// A repository with one branch, `main`.
#[derive(Debug)]
pub struct Repository {
    folder: TempDir,
}

impl Repository {
    /// An empty one.
    ///
    /// # Errors
    /// When git cannot make it.
    pub fn new() -> anyhow::Result<Self> {
        let repository = Self { folder: tempfile::Builder::new().prefix("penstock-argocd-git-").tempdir()? };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(repository)
    }

    /// Where Argo CD finds it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    /// Puts an object into a file, with folders as needed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &str, object: &Value) -> anyhow::Result<()> {
        self.write_text(file, &serde_yaml::to_string(object)?)
    }

    /// Puts a text into a file, with folders as needed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_text(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(&path, text).with_context(|| format!("{file} cannot be written"))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove(&self, file: &str) -> anyhow::Result<()> {
        fs::remove_file(self.folder.path().join(file)).with_context(|| format!("{file} cannot be removed"))
    }

    /// Commits everything; gives the commit.
    ///
    /// # Errors
    /// When nothing has changed.
    pub fn commit(&self, message: &str) -> anyhow::Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["-c", "user.name=tests", "-c", "user.email=tests@example.com", "commit", "--quiet", "-m", message])?;
        self.git(&["rev-parse", "HEAD"])
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut git = Command::new("git");
        // Nobody's own settings.
        git.args(arguments).current_dir(self.folder.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = git.output().context("git cannot be started")?;
        if !output.status.success() {
            bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}
