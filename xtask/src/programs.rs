//! Test programs, several at a time, the first while the last are still compiled.
//!
//! `cargo test` runs one after the other. Most of them wait most of their time (until a lease expires, until a pod has
//! started), so that would take twice as long.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::process::{self, cargo};

/// They take minutes, and are compiled first, so that the others are compiled meanwhile.
const LONG: [&str; 8] = ["plane", "cluster", "argocd", "scale", "page", "kcl", "engines", "simulation"];
/// The project's own programs that tests run. Cargo builds them only for the tests of their own packages.
const RUN_BY_TESTS: [&str; 8] =
    ["--bin", "penstock", "--bin", "penstock-operator", "--bin", "xtask", "--example", "engines"];
/// No program of them runs for so long unless it hangs.
const LIMIT: Duration = Duration::from_secs(40 * 60);
const LOOKS: Duration = Duration::from_millis(50);

/// A test program, as cargo built it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    /// Such as `unittests src/lib.rs`, and of which package.
    name: String,
    package: String,
    folder: PathBuf,
    executable: PathBuf,
}

/// Compiles all test programs of the workspace and runs them; `beside` runs once all are compiled, while the last still run.
///
/// # Errors
/// When something cannot be compiled, or `beside` fails, or a program does; all of them run also after one has failed.
pub(crate) fn run_all(beside: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut run_by_tests = cargo(["build", "--release", "--locked", "--workspace"]);
    process::run(run_by_tests.args(RUN_BY_TESTS))?;
    let (built, to_run) = channel();
    let (to_run, given_up, out) = (Mutex::new(to_run), AtomicBool::new(false), Mutex::new(std::io::stdout()));
    let (others, failed) = thread::scope(|scope| {
        let runner = || run_each(&to_run, &given_up, &out);
        let runners: Vec<_> = (0..at_once()).map(|_| scope.spawn(runner)).collect();
        let others = compile(&built).and_then(|()| {
            drop(built);
            beside()
        });
        given_up.store(others.is_err(), Ordering::Relaxed);
        let failed =
            runners.into_iter().flat_map(|runner| runner.join().unwrap_or_else(|_| vec!["a runner".to_owned()]));
        (others, failed.collect::<Vec<_>>())
    });
    if failed.is_empty() {
        return others;
    }
    let also = others.err().map(|error| format!("\nand what ran beside them: {error:#}")).unwrap_or_default();
    bail!("{} test programs failed:\n{}{also}", failed.len(), failed.join("\n"));
}

/// Two for each processor: they wait more than they work. No more than eight, for some run a whole cluster.
fn at_once() -> usize {
    thread::available_parallelism().map_or(2, |processors| (2 * processors.get()).min(8))
}

/// Compiles the long ones, then all, and gives each away as soon as it is there. What runs goes before what is compiled:
/// tests have deadlines.
fn compile(built: &Sender<Program>) -> anyhow::Result<()> {
    let mut known = BTreeSet::new();
    let long: Vec<&str> = LONG.iter().flat_map(|name| ["--test", name]).collect();
    for selection in [&long[..], &[]] {
        let mut compile = cargo(["test", "--release", "--locked", "--workspace", "--no-run"]);
        compile.arg("--message-format=json-render-diagnostics").args(selection);
        let mut compile = process::with_less_priority(&compile);
        let mut compiler = compile.stdout(Stdio::piped()).spawn().context("cargo cannot be started")?;
        let messages = compiler.stdout.take().context("cargo has no output")?;
        for message in BufReader::new(messages).lines() {
            let message: Value = serde_json::from_str(&message?).context("cargo says what is no JSON")?;
            if let Some(program) = program(&message)
                && known.insert(program.executable.clone())
            {
                built.send(program).context("nobody runs the test programs")?;
            }
        }
        if !compiler.wait()?.success() {
            bail!("the tests cannot be compiled");
        }
    }
    Ok(())
}

/// The test program that this message of cargo's says is there.
/// Messages: <https://doc.rust-lang.org/cargo/reference/external-tools.html#artifact-messages>
fn program(message: &Value) -> Option<Program> {
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let executable = PathBuf::from(message["executable"].as_str()?);
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    let source = Path::new(message["target"]["src_path"].as_str()?);
    let source = source.strip_prefix(&folder).unwrap_or(source).display();
    let is_integration_test = message["target"]["kind"][0] == "test";
    let name = if is_integration_test { source.to_string() } else { format!("unittests {source}") };
    // Such as `path+file:///penstock/stages/consumer#penstock-consumer@0.1.0`, or `…/consumer#0.1.0` when the folder says it.
    let id = message["package_id"].as_str()?;
    let (path, version) = id.split_once('#')?;
    let package = version.split_once('@').map_or_else(|| path.rsplit('/').next().unwrap_or(path), |(name, _)| name);
    Some(Program { name, package: package.to_owned(), folder, executable })
}

/// Runs programs until no more come; gives those that failed.
fn run_each(programs: &Mutex<Receiver<Program>>, given_up: &AtomicBool, out: &Mutex<impl Write>) -> Vec<String> {
    let mut failed = Vec::new();
    loop {
        let next = programs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(program) = next else { return failed };
        if given_up.load(Ordering::Relaxed) {
            return failed;
        }
        if let Err(error) = run_one(&program, out) {
            failed.push(format!("  {} of {}: {error:#}", program.name, program.package));
        }
    }
}

/// Runs one from its package's folder, as cargo does, and shows what it printed once it has ended.
fn run_one(program: &Program, out: &Mutex<impl Write>) -> anyhow::Result<()> {
    let log = program.executable.with_extension("log");
    let output = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
    let mut command = Command::new(&program.executable);
    command
        .current_dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .env("CARGO_PKG_NAME", &program.package);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let ended = wait(&mut command);
    // In one piece: several programs end at a time.
    show(program, &fs::read(&log)?, &mut *out.lock().unwrap_or_else(PoisonError::into_inner))?;
    ended
}

fn wait(command: &mut Command) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut child = command.spawn().context("it cannot be started")?;
    loop {
        if let Some(status) = child.try_wait()? {
            return if status.success() { Ok(()) } else { Err(anyhow::anyhow!("{status}")) };
        }
        if started.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("it did not end within {} minutes", LIMIT.as_secs() / 60);
        }
        thread::sleep(LOOKS);
    }
}

fn show(program: &Program, output: &[u8], out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "     Running {} ({})", program.name, program.executable.display())?;
    out.write_all(output)?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn artifact() -> Value {
        json!({
            "reason": "compiler-artifact",
            "package_id": "path+file:///here/stages/consumer#penstock-consumer@0.1.0",
            "manifest_path": "/here/stages/consumer/Cargo.toml",
            "target": { "kind": ["test"], "name": "consumer", "src_path": "/here/stages/consumer/tests/consumer/main.rs" },
            "profile": { "test": true },
            "executable": "/target/release/deps/consumer-1",
        })
    }

    #[test]
    fn a_test_program_is_found_in_what_cargo_says() {
        let found = program(&artifact()).unwrap();
        assert_eq!((found.name.as_str(), found.package.as_str()), ("tests/consumer/main.rs", "penstock-consumer"));
        assert_eq!(found.folder, Path::new("/here/stages/consumer"));
        let mut of_library = artifact();
        of_library["package_id"] = json!("path+file:///here/xtask#0.1.0");
        of_library["target"] = json!({ "kind": ["lib"], "src_path": "/here/stages/consumer/src/lib.rs" });
        let found = program(&of_library).unwrap();
        assert_eq!((found.name.as_str(), found.package.as_str()), ("unittests src/lib.rs", "xtask"));
    }

    #[test]
    fn what_is_no_test_program_is_not_run() {
        for (field, value) in
            [("reason", json!("build-finished")), ("profile", json!({ "test": false })), ("executable", Value::Null)]
        {
            let mut other = artifact();
            other[field] = value;
            assert_eq!(program(&other), None, "{field}");
        }
    }

    #[test]
    fn a_program_that_fails_is_told_and_the_others_run() {
        let folder = std::env::temp_dir().join(format!("xtask-programs-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (sender, receiver) = channel();
        for (name, text) in [("bad", "exit 3"), ("good", "touch ran")] {
            let executable = folder.join(name);
            fs::write(&executable, format!("#!/bin/sh\n{text}\n")).unwrap();
            let mut permissions = fs::metadata(&executable).unwrap().permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
            fs::set_permissions(&executable, permissions).unwrap();
            let (name, package) = (name.to_owned(), "tried".to_owned());
            sender.send(Program { name, package, folder: folder.clone(), executable }).unwrap();
        }
        drop(sender);
        let shown = Mutex::new(Vec::new());
        let failed = run_each(&Mutex::new(receiver), &AtomicBool::new(false), &shown);
        let ran = folder.join("ran").exists();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(failed, ["  bad of tried: exit status: 3"]);
        assert!(ran);
        let shown = String::from_utf8(shown.into_inner().unwrap()).unwrap();
        assert_eq!(shown.lines().filter(|line| line.starts_with("     Running ")).count(), 2, "{shown}");
    }
}
