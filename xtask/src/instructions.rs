//! `cargo xtask instructions`: how many instructions the loops take that run for every row, counted by callgrind. A busy machine
//! does not change them, so a check can hold them fast.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail, ensure};

use crate::paths;
use crate::process::{cargo, run};

/// The numbers that were noted last: instructions a row.
const NOTED: &str = "tests/bench/instructions.json";
const LOOPS: [&str; 4] = ["check", "aggregate", "open", "program"];
/// Rows of one pass: `penstock_bench::loops::ROWS`.
const ROWS: u64 = 1_000;
/// Enough for what differs from run to run, such as the seeds of hash maps, to vanish.
const PASSES: u64 = 10;
/// A loop may take so much more than noted, in percent.
const TOLERATED: f64 = 5.0;

/// Counts, and compares with what was noted; with `write` notes it.
pub(crate) fn instructions(write: bool) -> anyhow::Result<ExitCode> {
    run(&mut cargo(["build", "--release", "--locked", "--workspace", "--bins"]))?;
    let counted = LOOPS.iter().map(|name| Ok(((*name).to_owned(), of_a_row(name)?)));
    let counted: BTreeMap<String, u64> = counted.collect::<anyhow::Result<_>>()?;
    let file = paths::root().join(NOTED);
    if write {
        let text = serde_json::to_string_pretty(&counted)? + "\n";
        fs::write(&file, text).with_context(|| format!("{NOTED} cannot be written"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let noted = fs::read_to_string(&file).with_context(|| format!("{NOTED} cannot be read"))?;
    let noted: BTreeMap<String, u64> =
        serde_json::from_str(&noted).with_context(|| format!("{NOTED} is no JSON of numbers"))?;
    compare(&counted, &noted)
}

#[allow(clippy::print_stdout, reason = "what was asked for")]
fn compare(counted: &BTreeMap<String, u64>, noted: &BTreeMap<String, u64>) -> anyhow::Result<ExitCode> {
    let mut slower = Vec::new();
    for (name, now) in counted {
        let before = noted
            .get(name)
            .with_context(|| format!("{NOTED} has no number for {name}: cargo xtask instructions --write"))?;
        let more = change(*before, *now);
        println!("{name:<12} {now:>8} instructions a row, {before:>8} were noted: {more:+.1} %");
        if more > TOLERATED {
            slower.push(format!(
                "{name} takes {more:.1} % more instructions a row than noted ({now} instead of {before})"
            ));
        }
    }
    if slower.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!(
        "{}. Find out what costs them, or, if it is worth them, note the new numbers: cargo xtask instructions --write",
        slower.join("; ")
    )
}

/// In percent.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn change(before: u64, now: u64) -> f64 {
    (now as f64 / before.max(1) as f64 - 1.0) * 100.0
}

/// What passes beyond the first take: the first one pays for what is done once.
fn of_a_row(name: &str) -> anyhow::Result<u64> {
    let (one, more) = (collected(name, 1)?, collected(name, 1 + PASSES)?);
    Ok(more.saturating_sub(one) / (PASSES * ROWS))
}

/// Runs a loop under callgrind and reads how many instructions that took in all.
fn collected(name: &str, passes: u64) -> anyhow::Result<u64> {
    let program = paths::target().join("release").join("loops");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &passes.to_string()]);
    let output = valgrind.output().context("valgrind cannot be started: apt-get install valgrind, or the like")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the loop {name} ended with {} under valgrind:\n{said}", output.status);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .context("valgrind did not say what it collected")?;
    collected.1.trim().parse().context("valgrind did not say a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(check: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([("check".to_owned(), check)])
    }

    #[test]
    fn a_rise_above_what_is_tolerated_fails_with_the_loop_and_the_cure() {
        assert!(compare(&numbers(1_040), &numbers(1_000)).is_ok());
        assert!(compare(&numbers(500), &numbers(1_000)).is_ok());
        let error = compare(&numbers(1_060), &numbers(1_000)).expect_err("six percent more").to_string();
        assert!(error.contains("check takes 6.0 % more") && error.contains("--write"), "{error}");
        assert!(compare(&numbers(1), &BTreeMap::new()).is_err());
    }
}
