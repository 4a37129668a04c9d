//! API keys of a Pipeline that runs without a cluster.
//!
//! In a cluster a Secret is mounted as a folder with a file for each key. `penstock run` keeps the same
//! shape under its data folder, and makes a key where there is none, so that an endpoint is never open
//! because nobody has written a Secret.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A key and the name of who uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedKey {
    /// The name of the file that holds it.
    pub name: String,
    /// The key.
    pub key: String,
}

/// Why keys could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// A file or folder cannot be read or written.
    #[error("the API keys in {path} cannot be read or written")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder holds no key.
    #[error("{path} holds no API key: put each key into a file of its own, named for who uses it")]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// Reads all keys of a Secret's folder.
///
/// # Errors
/// When the folder cannot be read or holds no key.
pub(crate) fn read(folder: &Path) -> Result<Vec<NamedKey>, SecretError> {
    let io = |source| SecretError::Io { path: folder.to_owned(), source };
    let mut keys = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Kubernetes mounts a Secret with bookkeeping entries of its own, all of which begin with two dots.
        if name.starts_with("..") || !entry.path().is_file() {
            continue;
        }
        let key = fs::read_to_string(entry.path()).map_err(io)?.trim().to_owned();
        if !key.is_empty() {
            keys.push(NamedKey { name, key });
        }
    }
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    if keys.is_empty() {
        return Err(SecretError::Empty { path: folder.to_owned() });
    }
    Ok(keys)
}

/// Reads all keys of a Secret's folder; makes the folder and one key in it when there is no folder yet.
///
/// # Errors
/// When the folder cannot be read or written, or holds no key.
pub(crate) fn read_or_create(folder: &Path) -> Result<Vec<NamedKey>, SecretError> {
    let io = |source| SecretError::Io { path: folder.to_owned(), source };
    if !folder.exists() {
        fs::create_dir_all(folder).map_err(io)?;
        create_key(&folder.join("local")).map_err(io)?;
    }
    read(folder)
}

/// 122 random bits, readable only by the owner.
fn create_key(path: &Path) -> io::Result<()> {
    let key = uuid::Uuid::new_v4().simple().to_string();
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{key}")?;
    file.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("ecommerce-keys");
        let first = read_or_create(&folder).unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].key.len(), 32);
        assert_eq!(read_or_create(&folder).unwrap(), first);
    }

    #[test]
    fn a_folder_without_keys_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("empty"), "\n").unwrap();
        let error = read(dir.path()).unwrap_err();
        assert!(error.to_string().contains("put each key into a file"), "{error}");
    }
}
