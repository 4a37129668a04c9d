//! What goes into the image, and where.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// A file of the image.
pub(super) struct File {
    /// Absolute, without the leading slash.
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) content: Vec<u8>,
}

/// The user that the image runs as.
pub(super) const USER: u32 = 65_532;
/// Where CA certificates are found, here and in the image.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The binaries without debugging information, their libraries, and what a program expects of `/etc`; by path.
pub(super) fn of_image(binaries: &[PathBuf]) -> anyhow::Result<Vec<File>> {
    let mut files = BTreeMap::new();
    let mut put = |path: &str, mode: u32, content: Vec<u8>| {
        let path = path.trim_start_matches('/').to_owned();
        files.insert(path.clone(), File { path, mode, content });
    };
    for binary in binaries {
        let name = binary.file_name().and_then(|name| name.to_str()).context("a binary has no name")?;
        put(&format!("/usr/bin/{name}"), 0o755, stripped(binary)?);
        for library in libraries(binary)? {
            put(&library, 0o755, read(Path::new(&library))?);
        }
    }
    let certificates = read(Path::new(CERTIFICATES)).context("install ca-certificates: the image carries them")?;
    put(CERTIFICATES, 0o644, certificates);
    let passwd = format!("root:x:0:0:root:/:/none\npenstock:x:{USER}:{USER}:penstock:/:/none\n");
    put("/etc/passwd", 0o644, passwd.into_bytes());
    put("/etc/group", 0o644, format!("root:x:0:\npenstock:x:{USER}:\n").into_bytes());
    put("/etc/nsswitch.conf", 0o644, b"hosts: files dns\n".to_vec());
    Ok(files.into_values().collect())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// The binary without what only a debugger reads.
fn stripped(binary: &Path) -> anyhow::Result<Vec<u8>> {
    let out = binary.with_extension("stripped");
    let status = Command::new("strip")
        .arg("--strip-all")
        .arg("-o")
        .arg(&out)
        .arg(binary)
        .status()
        .context("`strip` cannot be started: it comes with the C compiler (binutils)")?;
    if !status.success() {
        bail!("`strip` of {} ended with {status}", binary.display());
    }
    let content = read(&out)?;
    fs::remove_file(&out)?;
    Ok(content)
}

/// The shared libraries of a binary and its loader, by absolute path.
fn libraries(binary: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("ldd").arg(binary).output().context("`ldd` cannot be started: it comes with libc")?;
    if !output.status.success() {
        bail!("`ldd` of {} ended with {}", binary.display(), output.status);
    }
    paths_of_ldd(&String::from_utf8_lossy(&output.stdout))
}

/// The paths that `ldd` printed: `libc.so.6 => /lib/libc.so.6 (0x…)`, or only a path for the loader.
fn paths_of_ldd(printed: &str) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    for line in printed.lines() {
        let named = line.split_once("=>").map_or(line, |(_, path)| path).trim();
        if named.starts_with("not found") {
            bail!("a shared library is missing: {}", line.trim());
        }
        // The kernel's own has no file.
        if let Some(path) = named.split_whitespace().next().filter(|path| path.starts_with('/')) {
            paths.push(path.to_owned());
        }
    }
    Ok(paths)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_read_from_what_ldd_prints() {
        let printed = "\tlinux-vdso.so.1 (0x00007f)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(paths_of_ldd(printed).unwrap(), ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        let error = paths_of_ldd("\tlibz.so.1 => not found\n").unwrap_err().to_string();
        assert!(error.contains("libz.so.1"), "{error}");
    }
}
