//! The archive: an OCI image layout (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>) that also
//! has the `manifest.json` by which older versions of Docker find their way.

use std::collections::BTreeSet;
use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::files::{File, USER};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Something that is named by its content.
struct Blob {
    digest: String,
    content: Vec<u8>,
}

impl Blob {
    fn new(content: Vec<u8>) -> Self {
        Self { digest: hex(&content), content }
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": format!("sha256:{}", self.digest), "size": self.content.len() })
    }
}

/// An image as an archive.
pub(super) struct Image {
    pub(super) archive: Vec<u8>,
    /// That of its manifest, by which registries know it: SHA-256, in hexadecimal digits.
    pub(super) digest: String,
}

/// How the image starts, and as whom.
pub(super) const ENTRYPOINT: &str = "/usr/bin/penstock";
pub(super) const PATH: &str = "PATH=/usr/bin";
pub(super) const FOLDER: &str = "/";

/// What is written on the image.
pub(super) fn labels() -> Value {
    json!({
        "org.opencontainers.image.title": "penstock",
        "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
        "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
    })
}

/// The image with one layer of these files.
pub(super) fn of_layer(files: &[File], name: &str) -> anyhow::Result<Image> {
    let unpacked = layer(files)?;
    let config = Blob::new(serde_json::to_vec(&config(&hex(&unpacked)))?);
    let layer = Blob::new(zipped(&unpacked)?);
    let manifest = Blob::new(serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(CONFIG),
        "layers": [layer.descriptor(LAYER)],
    }))?);
    let mut listed = manifest.descriptor(MANIFEST);
    listed["annotations"] = json!({
        "io.containerd.image.name": with_registry(name),
        "org.opencontainers.image.ref.name": name.rsplit_once(':').map_or(name, |(_, tag)| tag),
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [listed] });
    let docker = json!([{ "Config": config.path(), "RepoTags": [name], "Layers": [layer.path()] }]);

    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    add(&mut archive, "index.json", 0o644, &serde_json::to_vec(&index)?)?;
    add(&mut archive, "manifest.json", 0o644, &serde_json::to_vec(&docker)?)?;
    for blob in [&config, &layer, &manifest] {
        add(&mut archive, &blob.path(), 0o644, &blob.content)?;
    }
    Ok(Image { archive: archive.into_inner()?, digest: manifest.digest })
}

/// The name as containerd keeps it: with the registry that a short one stands for.
fn with_registry(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

fn config(layer_digest: &str) -> Value {
    json!({
        "architecture": match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        },
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Env": [PATH],
            "Entrypoint": [ENTRYPOINT],
            "WorkingDir": FOLDER,
            "Labels": labels(),
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
    })
}

/// The files with their folders, as an archive.
fn layer(files: &[File]) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let folders: BTreeSet<String> = files.iter().flat_map(|file| folders_of(&file.path)).collect();
    for folder in folders {
        let mut header = header(EntryType::Directory, 0o755, 0);
        archive.append_data(&mut header, format!("{folder}/"), std::io::empty())?;
    }
    for file in files {
        add(&mut archive, &file.path, file.mode, &file.content)?;
    }
    Ok(archive.into_inner()?)
}

/// `a` and `a/b` of `a/b/c`.
fn folders_of(path: &str) -> impl Iterator<Item = String> + '_ {
    path.match_indices('/').map(|(end, _)| path[..end].to_owned())
}

fn add(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
    let mut header = header(EntryType::Regular, mode, content.len() as u64);
    archive.append_data(&mut header, path, content)?;
    Ok(())
}

/// Owner, time and order are always the same, so that the archive is, too.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn zipped(content: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

fn hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn files() -> Vec<File> {
        vec![
            File { path: "etc/passwd".to_owned(), mode: 0o644, content: b"root".to_vec() },
            File { path: "usr/bin/penstock".to_owned(), mode: 0o755, content: vec![7; 1000] },
        ]
    }

    fn entries(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            (path, (entry.header().mode().unwrap(), content))
        };
        archive.entries().unwrap().map(entry).collect()
    }

    #[test]
    fn everything_is_found_by_its_digest() {
        let image = of_layer(&files(), "shop/penstock:1").unwrap();
        let entries = entries(&image.archive);
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let (_, content) = &entries[&format!("blobs/sha256/{digest}")];
            assert_eq!(hex(content), digest);
            assert_eq!(descriptor["size"], content.len());
            content.clone()
        };
        let json = |content: &[u8]| serde_json::from_slice::<Value>(content).unwrap();
        let index = json(&entries["index.json"].1);
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/shop/penstock:1");
        assert_eq!(index["manifests"][0]["digest"], format!("sha256:{}", image.digest));
        let manifest = json(&blob(&index["manifests"][0]));
        let config = json(&blob(&manifest["config"]));
        let mut layer = Vec::new();
        let zipped = blob(&manifest["layers"][0]);
        flate2::read::GzDecoder::new(zipped.as_slice()).read_to_end(&mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&layer)));
        let docker = json(&entries["manifest.json"].1);
        assert!(entries.contains_key(docker[0]["Layers"][0].as_str().unwrap()));
        assert!(entries.contains_key(docker[0]["Config"].as_str().unwrap()));

        let unpacked = self::entries(&layer);
        let names: Vec<_> = unpacked.keys().map(|name| name.trim_end_matches('/')).collect();
        assert_eq!(names, ["etc", "etc/passwd", "usr", "usr/bin", "usr/bin/penstock"]);
        assert_eq!(unpacked["usr/bin/penstock"], (0o755, vec![7; 1000]));
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let image = || of_layer(&files(), "penstock:1").unwrap();
        assert!(image().archive == image().archive);
    }

    /// <https://github.com/opencontainers/image-spec>: image-layout.md, image-index.md, manifest.md, config.md.
    #[test]
    fn it_is_an_oci_image_layout() {
        let entries = entries(&of_layer(&files(), "penstock:1").unwrap().archive);
        let read = |path: &str| serde_json::from_slice::<Value>(&entries[path].1).unwrap();
        assert_eq!(read("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }));
        let index = read("index.json");
        assert_eq!((&index["schemaVersion"], &index["mediaType"]), (&json!(2), &json!(INDEX)));
        let of = |descriptor: &Value| {
            assert!(descriptor["size"].is_u64() && descriptor["mediaType"].is_string(), "{descriptor}");
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            assert!(digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
            format!("blobs/sha256/{digest}")
        };
        let listed = index["manifests"].as_array().unwrap();
        assert_eq!(listed[0]["mediaType"], MANIFEST);
        assert_eq!(listed[0]["annotations"]["org.opencontainers.image.ref.name"], "1");
        let manifest = read(&of(&listed[0]));
        assert_eq!((&manifest["schemaVersion"], &manifest["mediaType"]), (&json!(2), &json!(MANIFEST)));
        assert_eq!(
            (&manifest["config"]["mediaType"], &manifest["layers"][0]["mediaType"]),
            (&json!(CONFIG), &json!(LAYER))
        );
        let config = read(&of(&manifest["config"]));
        assert!(config["architecture"].is_string() && config["os"] == "linux");
        assert_eq!(config["rootfs"]["type"], "layers");
        let layers = manifest["layers"].as_array().unwrap().len();
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), layers);
        // Nothing lies about that nobody names.
        let mut named: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(of).collect();
        named.extend([of(&manifest["config"]), of(&listed[0])]);
        let blobs = entries.keys().filter(|path| path.starts_with("blobs/"));
        assert!(blobs.clone().count() == named.len() && blobs.clone().all(|path| named.contains(path)), "{named:?}");
    }

    /// <https://github.com/moby/docker-image-spec>: `manifest.json`, by which `docker load` goes.
    #[test]
    fn it_is_a_docker_archive() {
        let entries = entries(&of_layer(&files(), "shop/penstock:1").unwrap().archive);
        let manifest = serde_json::from_slice::<Value>(&entries["manifest.json"].1).unwrap();
        let images = manifest.as_array().unwrap();
        assert_eq!(images.len(), 1);
        assert_eq!(images[0]["RepoTags"], json!(["shop/penstock:1"]));
        let config = &entries[images[0]["Config"].as_str().unwrap()].1;
        let config = serde_json::from_slice::<Value>(config).unwrap();
        assert_eq!(config["config"]["User"], "65532:65532");
        let layers = images[0]["Layers"].as_array().unwrap();
        assert_eq!(layers.len(), config["rootfs"]["diff_ids"].as_array().unwrap().len());
        for layer in layers {
            // Packed or not, it is told by how it begins.
            assert!(entries[layer.as_str().unwrap()].1.starts_with(&[0x1f, 0x8b]), "{layer}");
        }
    }

    #[test]
    fn no_entry_leads_out_of_where_it_is_unpacked() {
        for path in entries(&of_layer(&files(), "penstock:1").unwrap().archive).keys() {
            assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{path}");
        }
    }

    #[test]
    fn short_names_stand_for_a_registry() {
        assert_eq!(with_registry("penstock:1"), "docker.io/library/penstock:1");
        assert_eq!(with_registry("localhost/penstock:1"), "localhost/penstock:1");
        assert_eq!(with_registry("registry:5000/penstock:1"), "registry:5000/penstock:1");
    }
}
