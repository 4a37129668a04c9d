//! Turns a stream in a multi-byte character set into UTF-8. What is no text becomes `U+FFFD`, by which the reader of
//! records finds it.

use std::io::{self, Read};

use encoding_rs::{Decoder, Encoding};

const CHUNK_BYTES: usize = 64 << 10;

pub(super) struct Transcoder<R> {
    inner: R,
    decoder: Decoder,
    source: Vec<u8>,
    taken: usize,
    filled: usize,
    at_end: bool,
    text: Vec<u8>,
    given: usize,
    written: usize,
    finished: bool,
}

impl<R: Read> Transcoder<R> {
    pub(super) fn new(inner: R, encoding: &'static Encoding) -> Self {
        Self {
            inner,
            decoder: encoding.new_decoder_with_bom_removal(),
            source: vec![0; CHUNK_BYTES],
            taken: 0,
            filled: 0,
            at_end: false,
            text: vec![0; CHUNK_BYTES],
            given: 0,
            written: 0,
            finished: false,
        }
    }
}

impl<R: Read> Read for Transcoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.written {
            if self.finished {
                return Ok(0);
            }
            if self.taken == self.filled && !self.at_end {
                self.filled = self.inner.read(&mut self.source)?;
                self.taken = 0;
                self.at_end = self.filled == 0;
            }
            let source = &self.source[self.taken..self.filled];
            let (result, read, written, _) = self.decoder.decode_to_utf8(source, &mut self.text, self.at_end);
            self.taken += read;
            self.given = 0;
            self.written = written;
            self.finished = self.at_end && result == encoding_rs::CoderResult::InputEmpty;
        }
        let length = buffer.len().min(self.written - self.given);
        buffer[..length].copy_from_slice(&self.text[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn transcode(bytes: &[u8], encoding: &'static Encoding) -> String {
        let mut text = String::new();
        Transcoder::new(bytes, encoding).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn utf16_becomes_utf8_without_its_byte_order_mark() {
        let text = "Nom,Prix\r\nCafé,£40\r\n".repeat(10_000);
        let mut bytes = vec![0xff, 0xfe];
        bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(transcode(&bytes, encoding_rs::UTF_16LE), text);
    }

    #[test]
    fn what_is_no_text_is_marked() {
        assert_eq!(transcode(b"a\xff,b", encoding_rs::SHIFT_JIS), "a\u{fffd},b");
        assert_eq!(transcode(b"a\0b", encoding_rs::UTF_16LE), "a\u{fffd}");
    }
}
