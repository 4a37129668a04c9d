//! `cargo xtask image`: an OCI image from nothing, as an archive that `docker load`, `kind load image-archive`,
//! `ctr images import` and `skopeo copy` take.
//!
//! It holds the binaries, the shared libraries that they name, CA certificates and an unprivileged user; no shell and no
//! package manager. The archive is a function of these files: the same files give the same bytes. With `--root` the files
//! are laid out in a folder instead, which is how the Dockerfile comes to the same image.

mod archive;
#[cfg(test)]
mod dockerfile;
mod files;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::paths;
use crate::process::{cargo, run};

/// The packages whose binaries go into the image; binaries are called as their packages.
const PACKAGES: [&str; 2] = ["penstock", "penstock-operator"];

const USAGE: &str = "cargo xtask image -- [--name NAME:TAG] [--output FILE] [--root FOLDER] [--binaries FOLDER]";

struct Options {
    name: String,
    output: PathBuf,
    /// Where the files are laid out, in place of an archive.
    root: Option<PathBuf>,
    /// Where the binaries are; without it they are built.
    binaries: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let mut options = Self {
            name: format!("penstock:{}", env!("CARGO_PKG_VERSION")),
            output: paths::target().join("penstock-image.tar"),
            root: None,
            binaries: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
            match argument.as_str() {
                "--name" => options.name = value.clone(),
                "--output" => options.output = std::env::current_dir()?.join(value),
                "--root" => options.root = Some(std::env::current_dir()?.join(value)),
                "--binaries" => options.binaries = Some(std::env::current_dir()?.join(value)),
                other => bail!("unknown option {other:?}: {USAGE}"),
            }
        }
        let tagged = options.name.rsplit_once(':').is_some_and(|(name, tag)| !name.is_empty() && !tag.contains('/'));
        if !tagged {
            bail!("{:?} has no tag: write it as NAME:TAG", options.name);
        }
        Ok(options)
    }
}

pub(crate) fn image(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let options = Options::parse(arguments)?;
    let folder = options.binaries.clone().map_or_else(build, Ok)?;
    let binaries: Vec<_> = PACKAGES.iter().map(|name| folder.join(name)).collect();
    let layer = files::of_image(&binaries)?;
    let unpacked = layer.iter().map(|file| file.content.len()).sum::<usize>() >> 20;
    if let Some(root) = &options.root {
        lay_out(&layer, root)?;
        eprintln!("the files of the image are in {} ({unpacked} MiB)", root.display());
        return Ok(ExitCode::SUCCESS);
    }
    let image = archive::of_layer(&layer, &options.name)?;
    let file = options.output.display();
    fs::write(&options.output, &image.archive).with_context(|| format!("{file} cannot be written"))?;
    let packed = image.archive.len() >> 20;
    eprintln!("{} is in {file} ({packed} MiB; {unpacked} MiB unpacked)", options.name);
    eprintln!("its digest is sha256:{}", image.digest);
    Ok(ExitCode::SUCCESS)
}

/// Writes the files under a folder, as they are in the image.
fn lay_out(files: &[files::File], root: &Path) -> anyhow::Result<()> {
    for file in files {
        let path = root.join(&file.path);
        let cannot = || format!("{} cannot be written", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(cannot)?;
        }
        fs::write(&path, &file.content).with_context(cannot)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)).with_context(cannot)?;
    }
    Ok(())
}

/// Builds the binaries and says where they are.
fn build() -> anyhow::Result<PathBuf> {
    let mut build = cargo(["build", "--release", "--locked"]);
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    run(&mut build)?;
    Ok(paths::target().join("release"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> anyhow::Result<Options> {
        Options::parse(&arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_image_is_named_with_its_tag() {
        assert!(parse(&[]).is_ok_and(|options| options.name.starts_with("penstock:")));
        assert!(parse(&["--name", "registry:5000/shop/penstock:1"]).is_ok());
        assert!(parse(&["--root", "out"]).is_ok_and(|options| options.root.is_some()));
        assert!(parse(&["--binaries", "/out"]).is_ok_and(|options| options.binaries == Some("/out".into())));
        for bad in [&["--name", "registry:5000/penstock"][..], &["--name", "penstock"], &["--name"], &["--size", "1"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
    #[test]
    fn files_are_laid_out_as_they_are_in_the_image() {
        let root = std::env::temp_dir().join(format!("penstock-image-{}", std::process::id()));
        let content = b"#!".to_vec();
        lay_out(&[files::File { path: "usr/bin/penstock".to_owned(), mode: 0o755, content }], &root).unwrap();
        let laid = root.join("usr/bin/penstock");
        assert_eq!(fs::read(&laid).unwrap(), b"#!");
        assert_eq!(fs::metadata(&laid).unwrap().permissions().mode() & 0o777, 0o755);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn the_same_binaries_give_the_same_image() {
        let this = [std::env::current_exe().unwrap()];
        let image = || archive::of_layer(&files::of_image(&this).unwrap(), "penstock:1").unwrap();
        let (first, second) = (image(), image());
        assert_eq!(first.digest, second.digest);
        assert!(first.archive == second.archive);
    }
}
