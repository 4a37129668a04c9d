//! Taking a compressed body apart, with a bound on what comes out.

use std::io::{self, BufRead, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use crate::budget::Hold;
use crate::headers::Coding;
use crate::problem::{Problem, ProblemKind};

/// So much is decompressed before the bounds are looked at again.
const STEP: usize = 64 << 10;
/// So much is given to a body at first.
const SMALL: usize = 1 << 20;
/// And so much when that is not enough: the most that it may be, by default.
const LARGE: usize = 64 << 20;
/// The largest window of a zstd frame, as a power of two: what RFC 9659 says for HTTP. Without a bound a
/// frame of a few bytes may ask for gigabytes.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Decompresses the body to at most `max_bytes`, counting them against the hold beside the body itself.
///
/// Runs for as long as the processor needs: for a thread that may block.
pub(crate) fn decompress(coding: Coding, body: Bytes, max_bytes: u64, hold: &mut Hold) -> Result<Bytes, Problem> {
    match coding {
        Coding::Identity => Ok(body),
        Coding::Gzip => read_out(MultiGzDecoder::new(body.as_ref()), body.len(), max_bytes, hold),
        Coding::Zstd => {
            let decoder = zstd_decoder(body.as_ref()).map_err(|error| damaged(&error))?;
            read_out(decoder, body.len(), max_bytes, hold)
        }
    }
}

fn zstd_decoder<R: BufRead>(body: R) -> io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

fn read_out(decoder: impl Read, compressed: usize, max_bytes: u64, hold: &mut Hold) -> Result<Bytes, Problem> {
    let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(compressed.saturating_mul(4).min(max_bytes).min(SMALL) + 2 * STEP);
    let mut decoder = decoder;
    loop {
        hold.try_reach(compressed + out.len() + STEP).map_err(|_| overloaded())?;
        if out.capacity() - out.len() < 2 * STEP {
            // Growing by doubling would hold old and new side by side, beyond what is counted. What is reserved and
            // not written costs no memory.
            let next = out.len().saturating_mul(2).max(LARGE).min(max_bytes);
            out.reserve_exact((next - out.len()).saturating_add(2 * STEP));
        }
        let before = out.len();
        (&mut decoder).take(STEP as u64).read_to_end(&mut out).map_err(|error| damaged(&error))?;
        if out.len() > max_bytes {
            let detail = format!(
                "the body decompresses to more than {max_bytes} bytes, which is the most that is taken; \
                 send fewer rows in one request"
            );
            return Err(Problem::new(ProblemKind::DecompressedTooLarge, detail));
        }
        if out.len() == before {
            return Ok(out.into());
        }
    }
}

pub(crate) fn overloaded() -> Problem {
    Problem::new(
        ProblemKind::Overloaded,
        "other requests take all the memory that there is for bodies; send the request again after the time in \
         Retry-After, or send fewer rows in one request",
    )
}

fn damaged(error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let detail = "the compressed body ends too early; nothing of it was taken, send it again";
        return Problem::new(ProblemKind::IncompleteBody, detail);
    }
    let detail = format!("the compressed body cannot be read ({error}); nothing of it was taken");
    Problem::new(ProblemKind::MalformedBody, detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::budget::Budget;

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    fn zstd(data: &[u8]) -> Bytes {
        zstd::encode_all(data, 3).unwrap().into()
    }

    fn read(coding: Coding, body: Bytes, max_bytes: u64) -> Result<Bytes, ProblemKind> {
        decompress(coding, body, max_bytes, &mut Budget::new(1 << 24).hold()).map_err(|problem| problem.kind())
    }

    #[test]
    fn what_was_compressed_comes_back_also_in_several_members() {
        for (coding, compress) in [(Coding::Gzip, gzip as fn(&[u8]) -> Bytes), (Coding::Zstd, zstd)] {
            let two = [compress(b"one"), compress(b"two")].concat();
            assert_eq!(read(coding, two.into(), 6).unwrap(), "onetwo");
            let long = vec![b'x'; 300_000];
            assert_eq!(read(coding, compress(&long), 300_000).unwrap(), long);
        }
    }

    #[test]
    fn decompression_stops_at_the_bound() {
        let long = vec![0; 3_000_000];
        for (coding, body) in [(Coding::Gzip, gzip(&long)), (Coding::Zstd, zstd(&long))] {
            assert!(body.len() < 10_000);
            assert_eq!(read(coding, body.clone(), 2_999_999), Err(ProblemKind::DecompressedTooLarge));
            let mut small = Budget::new(1 << 20).hold();
            let problem = decompress(coding, body, 1 << 30, &mut small).unwrap_err();
            assert_eq!(problem.kind(), ProblemKind::Overloaded);
        }
    }

    #[test]
    fn half_a_body_and_a_damaged_one_are_told_apart() {
        for (coding, body) in [(Coding::Gzip, gzip(b"some text")), (Coding::Zstd, zstd(b"some text"))] {
            assert_eq!(read(coding, body.slice(..body.len() - 3), 100), Err(ProblemKind::IncompleteBody));
            assert_eq!(read(coding, Bytes::from_static(b"no such thing at all"), 100), Err(ProblemKind::MalformedBody));
        }
    }

    #[test]
    fn a_zstd_frame_may_not_ask_for_a_large_window() {
        // Magic, no content size, window of 2^30: exponent 20 over 2^10.
        let frame = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 20 << 3, 0x01, 0x00, 0x00];
        assert_eq!(read(Coding::Zstd, Bytes::copy_from_slice(&frame), 100), Err(ProblemKind::MalformedBody));
    }
}
