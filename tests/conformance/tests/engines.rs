//! The embedded engines as a process, judged by clients that are not ours: boto3 and the AWS CLI.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use penstock_conformance::{LocalAws, LocalAwsOptions, may_skip, python, scripts};

/// The interpreter with boto3, or `None` where it cannot be had.
fn boto3() -> Option<PathBuf> {
    python()
        .inspect_err(|error| {
            may_skip("judging the engines by boto3", error).unwrap();
            eprintln!("skipped: judging the engines by boto3, since {error:#}");
        })
        .ok()
}

fn engines(folder: &Path, name: &str, arguments: &[&str]) -> LocalAws {
    let mut options = LocalAwsOptions::new(&folder.join(name));
    options.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    LocalAws::start(&options).unwrap()
}

/// Runs a script, which prints each check; all must pass.
fn judge(python: &Path, script: &str, endpoint: &str, arguments: &[&str]) {
    let output = Command::new(python)
        .arg("-B")
        .arg(scripts().join(script))
        .args(["--endpoint", endpoint])
        .args(arguments)
        .output()
        .unwrap();
    let printed = text(&output);
    assert!(output.status.success(), "{script} ended with {}:\n{printed}", output.status);
    eprintln!("{printed}");
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn kinesis_behaves_to_boto3_as_aws_documents_it() {
    let Some(python) = boto3() else { return };
    let folder = tempfile::tempdir().unwrap();
    let strict = engines(folder.path(), "strict", &[]);
    let free = engines(folder.path(), "free", &["--limits", "sizes"]);
    judge(&python, "kinesis_check.py", strict.endpoint(), &["--without-rates", free.endpoint()]);
}

#[test]
fn dynamodb_behaves_to_boto3_as_aws_documents_it() {
    let Some(python) = boto3() else { return };
    let folder = tempfile::tempdir().unwrap();
    let engines = engines(folder.path(), "data", &[]);
    judge(&python, "dynamodb_check.py", engines.endpoint(), &[]);
}

#[test]
fn s3_behaves_to_boto3_as_aws_documents_it() {
    let Some(python) = boto3() else { return };
    let folder = tempfile::tempdir().unwrap();
    let engines = engines(folder.path(), "data", &[]);
    judge(&python, "s3_check.py", engines.endpoint(), &[]);
}

/// The process's clock is set ahead by a library that is loaded into it, so that no switch for it is in the program.
#[cfg(target_os = "linux")]
#[test]
fn kinesis_behaves_over_a_day_as_aws_documents_it() {
    let Some(python) = boto3() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (library, clock) = (folder.path().join("clock_ahead.so"), folder.path().join("clock"));
    std::fs::write(&clock, 0_i64.to_le_bytes()).unwrap();
    // The linker that built this test is a C compiler.
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(scripts().join("clock_ahead.c"));
    let compiled = compile.output().unwrap();
    assert!(compiled.status.success(), "{}", text(&compiled));
    let mut options = LocalAwsOptions::new(&folder.path().join("data"));
    options.environment = vec![("LD_PRELOAD".into(), library), ("CLOCK_AHEAD_FILE".into(), clock.clone())];
    let engines = LocalAws::start(&options).unwrap();
    judge(&python, "kinesis_clock_check.py", engines.endpoint(), &["--clock", clock.to_str().unwrap()]);
}

#[test]
fn the_aws_cli_needs_to_know_the_endpoint_only() {
    let Some(python) = boto3() else { return };
    let folder = tempfile::tempdir().unwrap();
    let engines = engines(folder.path(), "data", &[]);
    let aws = |arguments: &[&str]| {
        let output = Command::new(&python)
            .arg(python.with_file_name("aws"))
            .args(arguments)
            .env_clear()
            .env("HOME", folder.path())
            // What every user of AWS has, and what any other would do for.
            .envs([
                ("AWS_ACCESS_KEY_ID", "local"),
                ("AWS_SECRET_ACCESS_KEY", "local"),
                ("AWS_DEFAULT_REGION", "eu-west-1"),
            ])
            .env("AWS_ENDPOINT_URL", engines.endpoint())
            .output()
            .unwrap();
        assert!(output.status.success(), "aws {arguments:?} ended with {}: {}", output.status, text(&output));
        text(&output)
    };
    aws(&["kinesis", "create-stream", "--stream-name", "orders", "--shard-count", "1"]);
    assert!(aws(&["kinesis", "list-streams"]).contains("\"orders\""));
    assert!(aws(&["dynamodb", "list-tables"]).contains("TableNames"));
    aws(&["s3", "mb", "s3://lake"]);
    assert!(aws(&["s3", "ls"]).contains("lake"));
}

#[test]
fn a_second_process_on_the_same_folder_is_refused_with_a_clear_message() {
    let folder = tempfile::tempdir().unwrap();
    let options = LocalAwsOptions::new(&folder.path().join("data"));
    let first = LocalAws::start(&options).unwrap();
    let second = options.command().unwrap().output().unwrap();
    let message = text(&second);
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(message.contains(&format!("{} is in use", options.data_dir.display())), "{message}");
    assert!(message.contains(&format!("process {}", first.pid())), "{message}");
    assert!(message.contains("choose another folder"), "{message}");
    // The system gives the folder back when its process dies, in whatever way.
    first.kill().unwrap();
    LocalAws::start(&options).unwrap();
}
