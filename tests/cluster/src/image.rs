//! Images: ours, and the one that every pod has beside its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};

use crate::processes::run;
use crate::programs::{crate_folder, xtask};

/// The name of the image that holds a pod's namespaces, as `node/containerd.toml` has it.
const PAUSE: &str = "penstock.test/pause:1";

/// Writes our image, of the programs that were built beside this one, under this name.
///
/// # Errors
/// When it cannot be made.
pub fn built(name: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let archive = folder.join("penstock.tar");
    let beside = xtask()?;
    let release = beside.parent().unwrap_or(Path::new("/"));
    let mut image = Command::new(&beside);
    image.args(["image", "--name", name, "--binaries"]).arg(release).arg("--output").arg(&archive);
    run(&mut image)?;
    Ok(archive)
}

/// Writes the image that holds a pod's namespaces.
///
/// # Errors
/// When it cannot be compiled.
pub fn pause(folder: &Path) -> anyhow::Result<PathBuf> {
    let program = folder.join("pause");
    // The linker that built this program is a C compiler.
    let mut compiler = Command::new("cc");
    run(compiler.args(["-static", "-O2", "-s", "-o"]).arg(&program).arg(crate_folder().join("node/pause.c")))?;
    let archive = folder.join("pause.tar");
    fs::write(&archive, of_program(&fs::read(&program)?, PAUSE)?)?;
    Ok(archive)
}

/// An image with one program that needs nothing else, as `docker save` writes them.
fn of_program(program: &[u8], name: &str) -> anyhow::Result<Vec<u8>> {
    let layer = archive(&[("pause", 0o755, program)])?;
    let digest = hex::encode(Sha256::digest(&layer));
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Entrypoint": ["/pause"], "User": "65535:65535" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest: Value = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    archive(&[
        ("manifest.json", 0o644, &serde_json::to_vec(&manifest)?),
        ("config.json", 0o644, &serde_json::to_vec(&config)?),
        ("layer.tar", 0o644, &layer),
    ])
}

fn archive(files: &[(&str, u32, &[u8])]) -> anyhow::Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, *content)?;
    }
    Ok(archive.into_inner()?)
}
