//! The Dockerfile at the root, held against what `cargo xtask image` does: there need not be a Docker to tell that they agree.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{archive, files, paths};

/// An instruction and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Instruction {
    name: String,
    words: String,
}

/// The instructions of the Dockerfile, without comments, with what goes on in the next line joined.
fn instructions() -> Vec<Instruction> {
    let text = fs::read_to_string(paths::root().join("Dockerfile")).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (name, words) = line.trim().split_once(' ').unwrap();
            Instruction { name: name.to_owned(), words: words.split_whitespace().collect::<Vec<_>>().join(" ") }
        })
        .collect()
}

fn words_of(name: &str) -> Vec<String> {
    let named = instructions().into_iter().filter(|instruction| instruction.name == name);
    named.map(|instruction| instruction.words).collect()
}

/// The sources of the files that come from here, and not from a stage.
fn copied_from_here() -> Vec<String> {
    let here = words_of("COPY").into_iter().filter(|words| !words.starts_with("--from="));
    here.flat_map(|words| {
        let mut words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        words.pop();
        words
    })
    .collect()
}

#[test]
fn what_is_copied_is_there_and_is_not_ignored() {
    let ignored = fs::read_to_string(paths::root().join(".dockerignore")).unwrap();
    let sources = copied_from_here();
    assert!(sources.len() > 5, "{sources:?}");
    for source in &sources {
        assert!(paths::root().join(source).exists(), "{source} is not there");
        assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source} is ignored");
    }
}

#[test]
fn every_member_of_the_workspace_is_copied() {
    let manifest = fs::read_to_string(paths::root().join("Cargo.toml")).unwrap();
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let sources = copied_from_here();
    for member in members.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| !member.is_empty()) {
        let folder = member.split('/').next().unwrap();
        assert!(sources.iter().any(|source| source == folder), "{member} is not copied");
    }
}

#[test]
fn files_that_are_built_into_programs_are_copied() {
    // `include_str!` of something outside of the folders that are copied would only fail in Docker.
    let sources = copied_from_here();
    for folder in ["operator", "stages", "xtask"] {
        for (file, included) in included_files(&paths::root().join(folder)) {
            let path = file.parent().unwrap().join(&included).canonicalize().unwrap();
            let inside = path.strip_prefix(paths::root().canonicalize().unwrap()).unwrap().to_owned();
            let copied = sources.iter().any(|source| inside.starts_with(source));
            assert!(copied, "{} needs {}, which is not copied", file.display(), inside.display());
        }
    }
}

/// Files that are included, and by which. What only tests include is not built.
fn included_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let sources: Vec<_> = sources(folder).into_iter().map(|path| (fs::read_to_string(&path).unwrap(), path)).collect();
    let is_test = |path: &Path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let declared = ["", "pub(crate) "].map(|visible| format!("#[cfg(test)]\n{visible}mod {name};"));
        name.ends_with("tests")
            || sources.iter().any(|(text, _)| declared.iter().any(|declared| text.contains(declared)))
    };
    let mut found = Vec::new();
    for (text, path) in sources.iter().filter(|(_, path)| !is_test(path)) {
        let built = text.split("#[cfg(test)]").next().unwrap();
        for macro_name in ["include_str!(\"", "include_bytes!(\""] {
            for (at, _) in built.match_indices(macro_name) {
                let name = &built[at + macro_name.len()..];
                found.push((path.clone(), name.split('"').next().unwrap().to_owned()));
            }
        }
    }
    found
}

/// Rust files outside of `tests` folders.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn it_builds_with_the_compiler_that_the_workspace_asks_for() {
    let [base] = words_of("ARG").try_into().unwrap();
    let tag = base.strip_prefix("RUST_IMAGE=rust:").unwrap();
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert!(tag.starts_with(&format!("{version}.")), "the base is {base}, and the workspace asks for {version}");
    assert!(tag.split_once('-').unwrap().0.split('.').count() == 3, "{base} is not pinned to a release");
}

#[test]
fn the_image_has_the_files_that_xtask_lays_out_and_nothing_else() {
    let [run] = words_of("RUN").try_into().unwrap();
    let (_, root) = run.split_once("cargo xtask image -- --root ").unwrap();
    assert!(!run.contains(&format!("target={root}")), "a cache is not part of the image");
    let all = instructions();
    let last = all.iter().rposition(|instruction| instruction.name == "FROM").unwrap();
    assert_eq!(all[last].words, "scratch");
    let copies: Vec<_> = all[last..].iter().filter(|instruction| instruction.name == "COPY").collect();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].words, format!("--from=build {root}/ /"));
    let stages = words_of("FROM");
    assert!(stages.iter().any(|stage| stage.ends_with(" AS build")), "{stages:?}");
}

#[test]
fn it_starts_the_same_program_as_the_same_user() {
    assert_eq!(words_of("USER"), [format!("{0}:{0}", files::USER)]);
    assert_eq!(words_of("ENV"), [archive::PATH]);
    assert_eq!(words_of("WORKDIR").last().unwrap(), archive::FOLDER);
    let [entrypoint] = words_of("ENTRYPOINT").try_into().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&entrypoint).unwrap(), json!([archive::ENTRYPOINT]));
    let [labels] = words_of("LABEL").try_into().unwrap();
    let written: serde_json::Map<_, _> = labels
        .split(' ')
        .map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), Value::from(value.trim_matches('"')))
        })
        .collect();
    assert_eq!(Value::from(written), archive::labels());
}
