//! `cargo xtask image`: an OCI image from nothing, as an archive that `docker load`, `kind load image-archive`,
//! `ctr images import` and `skopeo copy` take.
//!
//! It holds the binaries, the shared libraries that they name, CA certificates and an unprivileged user; no shell and no
//! package manager. The archive is a function of these files: the same files give the same bytes.

mod archive;
mod files;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::paths;
use crate::process::{cargo, run};

/// The packages whose binaries go into the image; binaries are called as their packages.
const PACKAGES: [&str; 2] = ["penstock", "penstock-operator"];

const USAGE: &str = "cargo xtask image -- [--name NAME:TAG] [--output FILE] [--binaries FOLDER]";

struct Options {
    name: String,
    output: PathBuf,
    /// Where the binaries are; without it they are built.
    binaries: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let mut options = Self {
            name: format!("penstock:{}", env!("CARGO_PKG_VERSION")),
            output: paths::target().join("penstock-image.tar"),
            binaries: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
            match argument.as_str() {
                "--name" => options.name = value.clone(),
                "--output" => options.output = std::env::current_dir()?.join(value),
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
    let archive = archive::of_layer(&layer, &options.name)?;
    fs::write(&options.output, &archive).with_context(|| format!("{} cannot be written", options.output.display()))?;
    eprintln!(
        "{} is in {} ({} MiB; {} MiB unpacked)",
        options.name,
        options.output.display(),
        archive.len() >> 20,
        layer.iter().map(|file| file.content.len()).sum::<usize>() >> 20
    );
    Ok(ExitCode::SUCCESS)
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
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> anyhow::Result<Options> {
        Options::parse(&arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_image_is_named_with_its_tag() {
        assert!(parse(&[]).is_ok_and(|options| options.name.starts_with("penstock:")));
        assert!(parse(&["--name", "registry:5000/shop/penstock:1"]).is_ok());
        assert!(parse(&["--binaries", "/out"]).is_ok_and(|options| options.binaries == Some("/out".into())));
        for bad in [&["--name", "registry:5000/penstock"][..], &["--name", "penstock"], &["--name"], &["--size", "1"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
