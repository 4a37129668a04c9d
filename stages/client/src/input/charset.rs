//! Which character set a file is in.
//!
//! The whole file is looked at, not its beginning: a shop's file may hold its first pound sign in its last line. But
//! only lines that are not ASCII are guessed by: the others say nothing, and to weigh them costs more than all else that
//! is done to a file.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use memchr::memchr_iter;

use crate::error::SendError;

/// So much of lines that are not ASCII is enough for a guess.
const MAX_GUESS_BYTES: usize = 1 << 20;

/// A character set and how it became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charset {
    pub(crate) encoding: &'static Encoding,
    pub(crate) how: How,
}

/// How a character set became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The caller named it.
    Named,
    /// A byte order mark says so.
    Mark,
    /// There is nothing but ASCII in what was looked at.
    Ascii,
    /// Everything is valid UTF-8, which nothing else is by accident.
    Valid,
    /// By the frequency of characters.
    Guessed,
}

/// How a record's bytes become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoding {
    /// They are UTF-8.
    Utf8,
    /// Each record by itself.
    SingleByte(&'static Encoding),
    /// The stream was turned into UTF-8 before; broken characters are `U+FFFD` in it. In such sets a byte that
    /// looks like a delimiter may be half a character.
    Transcoded,
}

impl Decoding {
    /// The text of some bytes of the stream that is read, with � for what is none.
    pub(crate) fn lossy(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Self::SingleByte(encoding) => encoding.decode_without_bom_handling(bytes).0,
            Self::Utf8 | Self::Transcoded => String::from_utf8_lossy(bytes),
        }
    }
}

impl Charset {
    /// The character set that the caller names.
    pub(crate) fn named(name: &str) -> Result<Self, SendError> {
        let encoding = Encoding::for_label_no_replacement(name.trim().as_bytes())
            .ok_or_else(|| SendError::UnknownEncoding(name.to_owned()))?;
        Ok(Self { encoding, how: How::Named })
    }

    pub(crate) fn decoding(self) -> Decoding {
        if self.encoding == UTF_8 {
            Decoding::Utf8
        } else if self.encoding.is_single_byte() {
            Decoding::SingleByte(self.encoding)
        } else {
            Decoding::Transcoded
        }
    }

    /// For people: the name, and where it comes from.
    pub(crate) fn describe(self) -> (String, &'static str) {
        let how = match self.how {
            How::Named => "named",
            How::Mark => "detected by its byte order mark",
            How::Ascii => "detected, all ASCII",
            How::Valid => "detected",
            How::Guessed => "detected; --encoding names another",
        };
        (self.encoding.name().to_ascii_lowercase(), how)
    }
}

/// Looks at a file piece by piece.
pub(crate) struct Detector {
    mark: Option<&'static Encoding>,
    first: bool,
    ascii: bool,
    utf8: Utf8Check,
    guess: EncodingDetector,
    /// Whether anything was fed to `guess` that is not ASCII.
    letters: bool,
    guessed_bytes: usize,
}

impl Detector {
    pub(crate) fn new() -> Self {
        Self {
            mark: None,
            first: true,
            ascii: true,
            utf8: Utf8Check::default(),
            guess: EncodingDetector::new(Iso2022JpDetection::Deny),
            letters: false,
            guessed_bytes: 0,
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.first && !bytes.is_empty() {
            self.first = false;
            self.mark = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
        }
        if self.mark.is_some() {
            return;
        }
        if bytes.is_ascii() {
            self.utf8.feed_ascii(bytes);
            return;
        }
        self.ascii = false;
        self.utf8.feed(bytes);
        for line in lines(bytes).filter(|line| !line.is_ascii()) {
            if self.guessed_bytes >= MAX_GUESS_BYTES {
                break;
            }
            let letters = without_lone_signs(line);
            self.letters |= !letters.is_ascii();
            self.guessed_bytes += line.len();
            self.guess.feed(&letters, false);
        }
    }

    /// What the file is in, if it ends here (`complete`) or somewhere behind what was fed.
    pub(crate) fn charset(mut self, complete: bool) -> Charset {
        if let Some(encoding) = self.mark {
            return Charset { encoding, how: How::Mark };
        }
        if self.ascii {
            return Charset { encoding: UTF_8, how: How::Ascii };
        }
        if self.utf8.valid && (!complete || self.utf8.carried.is_empty()) {
            return Charset { encoding: UTF_8, how: How::Valid };
        }
        if !self.letters {
            return Charset { encoding: WINDOWS_1252, how: How::Guessed };
        }
        self.guess.feed(b"", true);
        Charset { encoding: self.guess.guess(None, Utf8Detection::Deny), how: How::Guessed }
    }
}

/// The lines with their line ends; what is behind the last of those is a line too.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr_iter(b'\n', bytes).map(|at| at + 1).chain([bytes.len()]).map(move |end| {
        let line = &bytes[start..end];
        start = end;
        line
    })
}

/// Blanks out what is not ASCII and stands alone, such as the pound sign of ` \xa340.00`: a guess by the frequency of
/// letters would take it for a letter of a language that nothing else in the file speaks of.
fn without_lone_signs(bytes: &[u8]) -> Vec<u8> {
    let wordly = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
    let mut letters = bytes.to_vec();
    for (index, _) in bytes.iter().enumerate().filter(|(_, byte)| !byte.is_ascii()) {
        let before = index.checked_sub(1).and_then(|index| bytes.get(index));
        if !wordly(before) && !wordly(bytes.get(index + 1)) {
            letters[index] = b' ';
        }
    }
    letters
}

/// UTF-16 without a byte order mark shows by NULs in its header.
pub(crate) fn looks_like_utf16(header: &str, encoding: &'static Encoding) -> bool {
    header.contains('\0') && encoding != UTF_16LE && encoding != UTF_16BE
}

/// Whether bytes that come in pieces are UTF-8.
struct Utf8Check {
    valid: bool,
    /// The beginning of a character whose rest is in the next piece.
    carried: Vec<u8>,
}

impl Default for Utf8Check {
    fn default() -> Self {
        Self { valid: true, carried: Vec::new() }
    }
}

impl Utf8Check {
    fn feed_ascii(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() && !self.carried.is_empty() {
            self.valid = false;
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        if !self.valid {
            return;
        }
        if self.carried.is_empty() {
            self.check(bytes);
        } else {
            let mut joined = std::mem::take(&mut self.carried);
            joined.extend_from_slice(bytes);
            self.check(&joined);
        }
    }

    fn check(&mut self, bytes: &[u8]) {
        let rest = &bytes[Encoding::utf8_valid_up_to(bytes)..];
        match std::str::from_utf8(rest) {
            Ok(_) => {}
            // Without a length the error is that the piece ends too early.
            Err(error) if error.error_len().is_none() => self.carried = rest.to_vec(),
            Err(_) => self.valid = false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn detect(pieces: &[&[u8]]) -> (&'static str, How) {
        let mut detector = Detector::new();
        for piece in pieces {
            detector.feed(piece);
        }
        let charset = detector.charset(true);
        (charset.encoding.name(), charset.how)
    }

    #[test]
    fn a_pound_sign_in_the_last_line_is_found() {
        let plain = b"539492,22752,SET 7 BABUSHKA NESTING BOXES,2\r\n".repeat(2_000);
        let last = b"539492,gift,Dotcomgiftshop Gift Voucher \xa340.00,1\r\n";
        assert_eq!(detect(&[&plain, &plain, last]), ("windows-1252", How::Guessed));
        assert_eq!(
            detect(&[&plain, b"CAF\xc9 AU LAIT, CR\xc8ME BR\xdbL\xc9E, \xa35 CARD, 25\xb0C\r\n"]).0,
            "windows-1252"
        );
        let (polish, _, _) = encoding_rs::WINDOWS_1250.encode("Łyżka, żółty kubek, świąteczna gęś");
        assert_eq!(detect(&[&plain, &polish, last]).0, "windows-1250");
    }

    #[test]
    fn utf8_is_known_also_when_a_character_is_cut_in_two() {
        assert_eq!(detect(&["café £40".as_bytes()]), ("UTF-8", How::Valid));
        assert_eq!(detect(&[b"caf\xc3", b"\xa9 au lait"]), ("UTF-8", How::Valid));
        assert_eq!(detect(&[b"caf\xc3", b"plain"]).1, How::Guessed);
        assert_eq!(detect(&[b"caf\xc3"]).1, How::Guessed, "a file that ends in half a character is not UTF-8");
    }

    #[test]
    fn ascii_and_byte_order_marks_are_told_apart() {
        assert_eq!(detect(&[b"a,b\n"]), ("UTF-8", How::Ascii));
        assert_eq!(detect(&[b"\xef\xbb\xbfa"]), ("UTF-8", How::Mark));
        assert_eq!(detect(&[b"\xff\xfea\0"]), ("UTF-16LE", How::Mark));
        assert_eq!(detect(&[b"\xfe\xff\0a"]), ("UTF-16BE", How::Mark));
    }

    #[test]
    fn other_character_sets_are_guessed() {
        let (text, _, _) = encoding_rs::WINDOWS_1251.encode("Набор из семи матрёшек, красный фонарь, скидка");
        assert_eq!(detect(&[&text]).0, "windows-1251");
        let (text, _, _) = encoding_rs::SHIFT_JIS.encode("ガラスの星のキャンドルホルダー、赤い提灯");
        assert_eq!(detect(&[&text]).0, "Shift_JIS");
    }

    #[test]
    fn names_of_character_sets_are_those_of_the_web() {
        assert_eq!(Charset::named("iso-8859-1").unwrap().encoding.name(), "windows-1252");
        assert_eq!(Charset::named(" UTF-8 ").unwrap().decoding(), Decoding::Utf8);
        assert_eq!(Charset::named("gb18030").unwrap().decoding(), Decoding::Transcoded);
        assert!(Charset::named("latin-99").is_err());
    }
}
