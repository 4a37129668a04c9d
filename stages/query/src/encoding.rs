//! Bodies, compressed as the client takes them: at once, or piece by piece.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::negotiation::Coding;

/// Less than this is sent as it is.
const WORTH_IT: usize = 1024;
const ZSTD_LEVEL: i32 = 3;
/// 512 KiB: at its own choice it would hold some megabytes for each list that is sent.
const ZSTD_WINDOW_LOG: u32 = 19;

/// Compresses what is written, piece by piece.
pub(crate) enum Encoder {
    Identity(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    pub(crate) fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Identity => Self::Identity(Vec::new()),
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Takes a piece, and gives what can be sent for it.
    pub(crate) fn piece(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        match self {
            Self::Identity(out) => {
                out.extend_from_slice(piece);
                Ok(std::mem::take(out).into())
            }
            Self::Gzip(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()).into())
            }
            Self::Zstd(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()).into())
            }
        }
    }

    /// The end.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Identity(out) => out.into(),
            Self::Gzip(encoder) => encoder.finish()?.into(),
            Self::Zstd(encoder) => encoder.finish()?.into(),
        })
    }
}

/// A whole body, and the coding that it is in: small ones stay as they are.
pub(crate) fn whole(body: Vec<u8>, coding: Coding) -> (Bytes, Coding) {
    if body.len() < WORTH_IT || coding == Coding::Identity {
        return (body.into(), Coding::Identity);
    }
    let packed = Encoder::new(coding).and_then(|mut encoder| {
        let mut packed = encoder.piece(&body)?.to_vec();
        packed.extend_from_slice(&encoder.finish()?);
        Ok(packed)
    });
    // Writing into memory does not fail; if it did, the body would be right all the same.
    packed.map_or_else(|_| (body.into(), Coding::Identity), |packed| (packed.into(), coding))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn pieces_come_to_the_whole_in_every_coding() {
        let pieces = [b"one,".repeat(700), b"two".to_vec(), Vec::new()];
        for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut sent = Vec::new();
            for piece in &pieces {
                sent.extend_from_slice(&encoder.piece(piece).unwrap());
            }
            sent.extend_from_slice(&encoder.finish().unwrap());
            let mut read = Vec::new();
            match coding {
                Coding::Identity => read = sent,
                Coding::Gzip => drop(flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut read).unwrap()),
                Coding::Zstd => read = zstd::decode_all(&sent[..]).unwrap(),
            }
            assert_eq!(read, pieces.concat());
        }
    }

    #[test]
    fn small_bodies_stay_as_they_are() {
        assert_eq!(whole(vec![b'x'; WORTH_IT - 1], Coding::Gzip).1, Coding::Identity);
        let (packed, coding) = whole(vec![b'x'; WORTH_IT], Coding::Gzip);
        assert!(coding == Coding::Gzip && packed.len() < WORTH_IT);
    }
}
