//! The `aws-chunked` encoding, in which SDKs send bodies: chunks with their sizes (and signatures, which are not
//! checked here), then trailers with the checksum.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>

use bytes::{Buf as _, Bytes, BytesMut};

/// The longest line: a size with a signature, or a trailer.
const MAX_LINE: usize = 4096;
/// Trailers per body.
const MAX_TRAILERS: usize = 32;

/// A body that is not in the encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChunkError {
    /// A line is no chunk header and no trailer.
    #[error("the aws-chunked body is malformed")]
    Malformed,
    /// It ended before its last chunk.
    #[error("the aws-chunked body broke off")]
    Incomplete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a chunk's size.
    Header,
    /// Inside a chunk; so many bytes are left.
    Data(u64),
    /// After a chunk's data, before its line end.
    DataEnd,
    /// After the last chunk.
    Trailers,
    Done,
}

/// Takes an encoded body piece by piece.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    buffer: BytesMut,
    trailers: Vec<(String, String)>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { state: State::Header, buffer: BytesMut::new(), trailers: Vec::new() }
    }

    /// Takes the next piece and gives out the data in it.
    pub(super) fn push(&mut self, piece: &Bytes) -> Result<Vec<Bytes>, ChunkError> {
        self.buffer.extend_from_slice(piece);
        let mut data = Vec::new();
        while self.advance(&mut data)? {}
        Ok(data)
    }

    /// Does one step; false when more bytes are needed.
    fn advance(&mut self, data: &mut Vec<Bytes>) -> Result<bool, ChunkError> {
        match self.state {
            State::Header => {
                let Some(line) = self.line()? else { return Ok(false) };
                let digits = line.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(digits, 16).map_err(|_| ChunkError::Malformed)?;
                self.state = if size == 0 { State::Trailers } else { State::Data(size) };
            }
            State::Data(left) => {
                if self.buffer.is_empty() {
                    return Ok(false);
                }
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                data.push(self.buffer.split_to(taken).freeze());
                let left = left - taken as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
            }
            State::DataEnd => {
                if self.buffer.len() < 2 {
                    return Ok(false);
                }
                if &self.buffer[..2] != b"\r\n" {
                    return Err(ChunkError::Malformed);
                }
                self.buffer.advance(2);
                self.state = State::Header;
            }
            State::Trailers => {
                let Some(line) = self.line()? else { return Ok(false) };
                if line.is_empty() {
                    self.state = State::Done;
                } else {
                    self.trailer(&line)?;
                }
            }
            State::Done => return Ok(false),
        }
        Ok(true)
    }

    fn trailer(&mut self, line: &str) -> Result<(), ChunkError> {
        let (name, value) = line.split_once(':').ok_or(ChunkError::Malformed)?;
        if self.trailers.len() >= MAX_TRAILERS {
            return Err(ChunkError::Malformed);
        }
        self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        Ok(())
    }

    /// The next line without its end, once it is there.
    fn line(&mut self) -> Result<Option<String>, ChunkError> {
        let Some(end) = self.buffer.windows(2).take(MAX_LINE).position(|pair| pair == b"\r\n") else {
            return if self.buffer.len() > MAX_LINE { Err(ChunkError::Malformed) } else { Ok(None) };
        };
        let line = self.buffer.split_to(end);
        self.buffer.advance(2);
        String::from_utf8(line.to_vec()).map(Some).map_err(|_| ChunkError::Malformed)
    }

    /// The trailers, when the body has ended as it should.
    pub(super) fn finish(self) -> Result<Vec<(String, String)>, ChunkError> {
        match self.state {
            State::Done => Ok(self.trailers),
            // Some clients leave out the empty line after the last chunk or trailer.
            State::Trailers if self.buffer.is_empty() => Ok(self.trailers),
            _ => Err(ChunkError::Incomplete),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(body: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<(String, String)>), ChunkError> {
        let mut decoder = Decoder::new();
        let mut out = Vec::new();
        for piece in body.chunks(piece) {
            for data in decoder.push(&Bytes::copy_from_slice(piece))? {
                out.extend_from_slice(&data);
            }
        }
        Ok((out, decoder.finish()?))
    }

    #[test]
    fn signed_chunks_and_trailers_are_read_in_pieces_of_any_size() {
        let body = b"5;chunk-signature=00\r\nhello\r\n6;chunk-signature=11\r\n world\r\n0;chunk-signature=22\r\n\
                     x-amz-checksum-crc32:AAAA\r\nx-amz-trailer-signature:33\r\n\r\n";
        for piece in 1..=body.len() {
            let (data, trailers) = decode(body, piece).unwrap();
            assert_eq!(data, b"hello world");
            assert_eq!(trailers[0], ("x-amz-checksum-crc32".into(), "AAAA".into()));
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_incomplete_and_one_with_wrong_sizes_is_malformed() {
        assert_eq!(decode(b"5\r\nhel", 4), Err(ChunkError::Incomplete));
        assert_eq!(decode(b"5\r\nhello\r\n", 4), Err(ChunkError::Incomplete));
        assert_eq!(decode(b"4\r\nhello\r\n0\r\n\r\n", 4), Err(ChunkError::Malformed));
        assert_eq!(decode(b"zz\r\n", 4), Err(ChunkError::Malformed));
        assert_eq!(decode(&[b'1'; 5000], 100), Err(ChunkError::Malformed));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(data in proptest::collection::vec(any::<u8>(), 0..2000), chunk in 1_usize..300, piece in 1_usize..300) {
            let mut body = Vec::new();
            for part in data.chunks(chunk) {
                body.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                body.extend_from_slice(part);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(decode(&body, piece).unwrap().0, data);
        }
    }
}
