//! From lines to the bytes of one object, in memory that does not grow with the object.
//!
//! A small object is kept as it comes and compressed in one go at its end. One that outgrows [`PROMOTE_BYTES`] gets
//! a streaming encoder, whose output is handed out in parts. Either way an object is one gzip member or one zstd
//! frame, because many readers stop after the first. The bytes depend on the lines alone: never on how they were
//! pushed, on memory or on time.

use std::io::{self, Write as _};

use flate2::GzBuilder;
use flate2::write::GzEncoder;
use penstock_api::spec::Compression;

/// An object of more bytes than this before compression is compressed while it grows.
pub(crate) const PROMOTE_BYTES: usize = 1 << 20;
/// Lines go into a streaming encoder in pieces of about this size.
const FEED_BYTES: usize = 64 << 10;
/// The smallest part of a multipart upload that is not its last (Amazon S3 User Guide, "Multipart upload limits").
pub(crate) const PART_BYTES: usize = 5 << 20;
/// The level of gzip: about the size of the usual 6 at twice its speed.
const GZIP_LEVEL: u32 = 4;
/// The level of zstd: smaller than gzip can make it, and several times as fast.
const ZSTD_LEVEL: i32 = 1;
/// What a deflate encoder holds: window, hash chains and its output.
const GZIP_ENCODER_BYTES: usize = 320 << 10;
/// What a zstd encoder of level 1 holds: a window of 512 KiB, a block of input and of output, and tables.
const ZSTD_ENCODER_BYTES: usize = 1 << 20;

/// The object's lines on their way to bytes.
pub(crate) struct Encoder {
    compression: Compression,
    lines: Vec<u8>,
    lines_bytes: u64,
    stream: Option<Stream>,
}

enum Stream {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    pub(crate) fn new(compression: Compression) -> Self {
        Self { compression, lines: Vec::new(), lines_bytes: 0, stream: None }
    }

    /// Adds a document and its line break.
    pub(crate) fn push(&mut self, document: &[u8]) -> io::Result<()> {
        reserve(&mut self.lines, document.len() + 1);
        self.lines.extend_from_slice(document);
        self.lines.push(b'\n');
        self.lines_bytes += document.len() as u64 + 1;
        if self.compression != Compression::None && self.lines.len() >= self.feed_at() {
            self.feed()?;
        }
        Ok(())
    }

    /// The bytes of all lines, before compression.
    pub(crate) fn lines_bytes(&self) -> u64 {
        self.lines_bytes
    }

    /// Whether enough has been encoded for a part.
    pub(crate) fn has_part(&self) -> bool {
        let ready = match &self.stream {
            Some(Stream::Gzip(encoder)) => encoder.get_ref().len(),
            Some(Stream::Zstd(encoder)) => encoder.get_ref().len(),
            None if self.compression == Compression::None => self.lines.len(),
            None => 0,
        };
        ready >= PART_BYTES
    }

    /// Takes what has been encoded so far, when it is enough for a part.
    pub(crate) fn take_part(&mut self) -> Option<Vec<u8>> {
        self.has_part().then(|| std::mem::take(self.stream.as_mut().map_or(&mut self.lines, Stream::output)))
    }

    /// What this holds in memory.
    pub(crate) fn footprint(&self) -> usize {
        let stream = match &self.stream {
            None => 0,
            Some(Stream::Gzip(encoder)) => GZIP_ENCODER_BYTES + encoder.get_ref().capacity(),
            Some(Stream::Zstd(encoder)) => ZSTD_ENCODER_BYTES + encoder.get_ref().capacity(),
        };
        self.lines.capacity() + stream
    }

    /// Ends the object: all of it that [`Self::take_part`] has not taken.
    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        if self.stream.is_none() {
            return match self.compression {
                Compression::None => Ok(self.lines),
                Compression::Gzip => gzip_at_once(&self.lines),
                Compression::Zstd => zstd_at_once(&self.lines),
            };
        }
        self.feed()?;
        match self.stream {
            Some(Stream::Gzip(encoder)) => encoder.finish(),
            Some(Stream::Zstd(encoder)) => encoder.finish(),
            None => Ok(self.lines),
        }
    }

    fn feed_at(&self) -> usize {
        if self.stream.is_some() { FEED_BYTES } else { PROMOTE_BYTES }
    }

    fn feed(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            self.stream = Stream::new(self.compression)?;
        }
        if let Some(stream) = &mut self.stream {
            stream.write(&self.lines)?;
        }
        // What outgrew its buffer once would keep a large one for ever.
        self.lines.clear();
        self.lines.shrink_to(FEED_BYTES * 2);
        Ok(())
    }
}

impl Stream {
    fn new(compression: Compression) -> io::Result<Option<Self>> {
        Ok(match compression {
            Compression::None => None,
            Compression::Gzip => Some(Self::Gzip(gzip(Vec::new()))),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Some(Self::Zstd(encoder))
            }
        })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        reserve(self.output(), lines.len());
        match self {
            Self::Gzip(encoder) => encoder.write_all(lines),
            Self::Zstd(encoder) => encoder.write_all(lines),
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }
}

/// Without a time and a name in the header, which would make two applications of a range differ.
fn gzip(output: Vec<u8>) -> GzEncoder<Vec<u8>> {
    GzBuilder::new().mtime(0).write(output, flate2::Compression::new(GZIP_LEVEL))
}

fn gzip_at_once(lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = gzip(Vec::with_capacity(lines.len() / 4));
    encoder.write_all(lines)?;
    encoder.finish()
}

fn zstd_at_once(lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    compressor.include_checksum(true)?;
    let mut output = compressor.compress(lines)?;
    // The compressor allots the worst case; what waits for its upload should not keep it.
    output.shrink_to_fit();
    Ok(output)
}

/// Makes room for more by half of what is there: doubling a buffer of five megabytes would waste as much again.
fn reserve(buffer: &mut Vec<u8>, more: usize) {
    if buffer.capacity() - buffer.len() < more {
        buffer.reserve_exact(more.max(buffer.len() / 2).max(512));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Read as _;

    use super::*;

    const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

    /// Documents that compress about as badly as real ones.
    fn documents(bytes: usize) -> Vec<String> {
        let mut state = 7_u64;
        let mut total = 0;
        let mut documents = Vec::new();
        while total < bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let document = format!(r#"{{"InvoiceNo":"{}","StockCode":"{:x}","Country":"France"}}"#, state >> 40, state);
            total += document.len() + 1;
            documents.push(document);
        }
        documents
    }

    /// The object in parts, and the most that its encoder held.
    fn encode(compression: Compression, documents: &[String]) -> (Vec<Vec<u8>>, usize) {
        let mut encoder = Encoder::new(compression);
        let (mut parts, mut held) = (Vec::new(), 0);
        for document in documents {
            encoder.push(document.as_bytes()).unwrap();
            held = held.max(encoder.footprint());
            parts.extend(encoder.take_part());
        }
        parts.push(encoder.finish().unwrap());
        (parts, held)
    }

    fn decode(compression: Compression, object: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => object.to_vec(),
            Compression::Gzip => {
                // A decoder that stops after the first member, as many readers do.
                let mut lines = Vec::new();
                flate2::read::GzDecoder::new(object).read_to_end(&mut lines).unwrap();
                lines
            }
            Compression::Zstd => {
                let frame = zstd::zstd_safe::find_frame_compressed_size(object).unwrap();
                assert_eq!(frame, object.len(), "more than one frame");
                zstd::decode_all(object).unwrap()
            }
        }
    }

    fn lines(documents: &[String]) -> Vec<u8> {
        documents.iter().flat_map(|document| [document.as_bytes(), b"\n"].concat()).collect()
    }

    #[test]
    fn every_size_reads_back_as_one_member_or_frame() {
        for bytes in [0, 1, 1000, PROMOTE_BYTES - 1, PROMOTE_BYTES, PROMOTE_BYTES + 1, 3 * PROMOTE_BYTES] {
            let documents = documents(bytes);
            for compression in ALL {
                let (parts, _) = encode(compression, &documents);
                let read = decode(compression, &parts.concat());
                assert!(read == lines(&documents), "{compression:?} {bytes}");
            }
        }
    }

    #[test]
    fn large_objects_come_in_parts_and_hold_little() {
        let documents = documents(40 << 20);
        for compression in ALL {
            let (parts, held) = encode(compression, &documents);
            assert!(parts.len() > 1, "{compression:?}");
            assert!(parts[..parts.len() - 1].iter().all(|part| part.len() >= PART_BYTES), "{compression:?}");
            assert!(held < 10 << 20, "{compression:?} held {held}");
            assert!(decode(compression, &parts.concat()) == lines(&documents), "{compression:?}");
        }
    }

    #[test]
    fn the_same_lines_give_the_same_bytes_however_parts_are_taken() {
        let documents = documents(3 * PROMOTE_BYTES);
        for compression in ALL {
            let (parts, _) = encode(compression, &documents);
            let mut in_one = Encoder::new(compression);
            for document in &documents {
                in_one.push(document.as_bytes()).unwrap();
            }
            assert!(parts.concat() == in_one.finish().unwrap(), "{compression:?}");
        }
    }
}
