//! Independent clients: what they need to run, so that tests are not our own code agreeing with itself.
//!
//! The scripts beside this crate use boto3, pinned in `requirements.txt`. [`python`] gives an interpreter
//! that has it, in a virtual environment under the user's cache folder, made when it is first asked for. The KCL
//! application in `kcl/` is built by Maven in the same way ([`Kcl`]).

mod kcl;
mod local_aws;
mod ports;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

pub use kcl::{Kcl, KclEvent, KclOptions, KclRecord, Retrieval, RunningKcl};
pub use local_aws::{LocalAws, LocalAwsOptions};
pub use ports::free_ports;

const REQUIREMENTS: &str = include_str!("../requirements.txt");
const SCHEMATHESIS: &str = include_str!("../schemathesis.txt");

/// The folder with the scripts.
#[must_use]
pub fn scripts() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The `penstock` command: what `PENSTOCK_BIN` names, else the one that was built beside this program.
/// `cargo test --workspace` and `cargo xtask` build it first.
///
/// # Errors
/// When there is none.
pub fn penstock() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("PENSTOCK_BIN") {
        return Ok(named.into());
    }
    let this = std::env::current_exe().context("this program does not know where it is")?;
    let beside = this.ancestors().skip(1).take(2).map(|folder| folder.join("penstock")).find(|path| path.is_file());
    match beside {
        Some(path) => Ok(path),
        None => bail!("there is no penstock beside {}: cargo build --workspace, in the same profile", this.display()),
    }
}

/// A Python interpreter that has the pinned packages.
///
/// # Errors
/// When there is no `python3` with `venv`, or its packages cannot be installed.
pub fn python() -> anyhow::Result<PathBuf> {
    environment("python", "requirements.txt", REQUIREMENTS)
}

/// The `schemathesis` command, which tries an API by its OpenAPI document, in an environment of its own.
///
/// # Errors
/// As [`python`].
pub fn schemathesis() -> anyhow::Result<PathBuf> {
    let interpreter = environment("schemathesis", "schemathesis.txt", SCHEMATHESIS)?;
    Ok(interpreter.with_file_name("schemathesis"))
}

fn environment(name: &str, file: &str, wanted: &str) -> anyhow::Result<PathBuf> {
    let folder = cache()?.join(name);
    fs::create_dir_all(&folder)?;
    // Tests run side by side, also in several processes: one makes the environment, the others wait.
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock().context("the lock of the Python environment cannot be taken")?;
    let environment = folder.join("environment");
    let interpreter = environment.join("bin/python");
    let stamp = folder.join("installed.txt");
    if interpreter.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(interpreter);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    run(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "-r"]).arg(scripts().join(file)))?;
    fs::write(&stamp, wanted)?;
    Ok(interpreter)
}

/// Whether a test may leave out what this machine cannot do: never in CI.
///
/// # Errors
/// In CI, with the reason.
pub fn may_skip(what: &str, why: &anyhow::Error) -> anyhow::Result<()> {
    if std::env::var_os("CI").is_some() {
        bail!("{what} cannot be skipped in CI: {why:#}");
    }
    Ok(())
}

/// The folder for what is kept on this machine between runs.
///
/// # Errors
/// When there is no home.
pub fn cache() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("penstock"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{} cannot be started", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{} failed: {}", command.get_program().display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
