//! Children as they are kept: thousands of them, whose texts say the same again and again, so compressed.

use std::fmt;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::Live;

/// A child that is kept. What tells which one it is stands beside its text, so that a watch need not unpack it.
pub(super) struct Packed {
    uid: Box<str>,
    version: Option<Box<str>>,
    text: Box<[u8]>,
}

/// Packs children. It is larger than most of what it packs, so there is one for all.
pub(super) struct Packer(DeflateEncoder<Vec<u8>>);

impl Default for Packer {
    fn default() -> Self {
        Self(DeflateEncoder::new(Vec::new(), Compression::fast()))
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    #[allow(clippy::expect_used, reason = "a Vec takes everything")]
    pub(super) fn pack(&mut self, live: &Live) -> Packed {
        let text = self
            .0
            .write_all(live.text().as_bytes())
            .and_then(|()| self.0.reset(Vec::new()))
            .expect("a Vec takes everything");
        Packed {
            uid: live.uid().into(),
            version: live.metadata.resource_version.as_deref().map(Into::into),
            text: text.into(),
        }
    }
}

impl Packed {
    #[allow(clippy::expect_used, reason = "only the packer makes one")]
    pub(super) fn unpack(&self) -> Live {
        let mut text = String::new();
        DeflateDecoder::new(&*self.text)
            .read_to_string(&mut text)
            .ok()
            .and_then(|_| Live::of_text(&text))
            .expect("what was packed can be unpacked")
    }

    /// Which object it is.
    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// Whether it is this very version of this very object.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.uid == other.uid && self.version == other.version
    }

    /// Whether it is a former version of the same object. Versions are numbers that grow, as Kubernetes promises since 1.35.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        let version = |packed: &Self| packed.version.as_ref()?.parse::<u128>().ok();
        self.uid == other.uid && version(self).zip(version(other)).is_some_and(|(version, other)| version < other)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unpack().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::fixtures::{PipelineFixture, rolled_out};

    #[test]
    fn what_was_packed_is_the_same_again_and_takes_less() {
        let mut packer = Packer::default();
        let (mut whole, mut packed) = (0, 0);
        for live in rolled_out(&PipelineFixture::ecommerce().fresh()).values() {
            let there = packer.pack(live);
            assert_eq!(there.unpack(), **live);
            whole += live.text().len();
            packed += there.text.len();
        }
        assert!(packed * 3 < whole * 2, "{packed} of {whole} bytes");
    }
}
