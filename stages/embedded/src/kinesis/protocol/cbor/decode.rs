//! From CBOR to JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium_ll::{Decoder, Header, simple};

use super::{Kind, TIME};
use crate::kinesis::error::{ApiError, ErrorKind};

/// How deep values may lie in each other. The deepest request of the API has three levels.
const DEPTH: usize = 16;
/// The longest request. As JSON it is then no longer than a request in JSON may be.
const MAX_BODY: usize = 12 * 1024 * 1024;

/// A request in CBOR as the same request in JSON.
pub(in super::super::super) fn to_json(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    if body.len() > MAX_BODY {
        let message = format!("A request in CBOR has at most {MAX_BODY} bytes; this one has {}.", body.len());
        return Err(ApiError::new(ErrorKind::RequestTooLarge, message));
    }
    let mut reading = Reading { body, at: 0, json: Vec::with_capacity(body.len() / 3 * 4 + 64) };
    reading.value(Kind::Plain, "", DEPTH)?;
    if reading.at != body.len() {
        return Err(reading.refuse("something follows the request"));
    }
    Ok(reading.json)
}

struct Reading<'a> {
    body: &'a [u8],
    at: usize,
    json: Vec<u8>,
}

impl Reading<'_> {
    /// Reads the value of a member of this kind and name, or an element of it.
    fn value(&mut self, kind: Kind, name: &str, depth: usize) -> Result<(), ApiError> {
        if depth == 0 {
            return Err(self.refuse("values lie too deep in each other"));
        }
        let header = self.header()?;
        match (kind, header) {
            (_, Header::Simple(simple::NULL)) => self.json.extend_from_slice(b"null"),
            (Kind::Time, Header::Tag(TIME)) => self.time()?,
            (Kind::Time, _) => return Err(self.refuse("a time is an integer of milliseconds with tag 1")),
            (Kind::Bytes, Header::Bytes(length)) => self.bytes(length)?,
            (Kind::Bytes, _) => return Err(self.refuse("data is a byte string")),
            (Kind::Plain, header) => self.plain(header, name, depth)?,
        }
        Ok(())
    }

    fn plain(&mut self, header: Header, name: &str, depth: usize) -> Result<(), ApiError> {
        match header {
            Header::Positive(number) => self.number(number),
            // The bits of the number are inverted: -1 is 0.
            Header::Negative(number) => self.number(i128::from(number) ^ !0),
            Header::Float(number) if number.is_finite() => self.number(number),
            Header::Simple(simple::FALSE) => self.json.extend_from_slice(b"false"),
            Header::Simple(simple::TRUE) => self.json.extend_from_slice(b"true"),
            Header::Text(length) => {
                let text = self.text(length)?;
                // Writing a text into memory cannot fail.
                drop(serde_json::to_writer(&mut self.json, &text));
            }
            Header::Array(length) => self.array(length, name, depth)?,
            Header::Map(length) => self.map(length, name, depth)?,
            _ => return Err(self.refuse("no member of the API has a value of this type")),
        }
        Ok(())
    }

    fn array(&mut self, length: Option<usize>, name: &str, depth: usize) -> Result<(), ApiError> {
        self.json.push(b'[');
        let mut read = 0;
        while self.has_next(length, read)? {
            self.comma(read);
            self.value(Kind::Plain, name, depth - 1)?;
            read += 1;
        }
        self.json.push(b']');
        Ok(())
    }

    fn map(&mut self, length: Option<usize>, parent: &str, depth: usize) -> Result<(), ApiError> {
        self.json.push(b'{');
        let mut read = 0;
        while self.has_next(length, read)? {
            self.comma(read);
            let Header::Text(name_length) = self.header()? else {
                return Err(self.refuse("the name of a member is a text"));
            };
            let name = self.text(name_length)?;
            // Writing a text into memory cannot fail.
            drop(serde_json::to_writer(&mut self.json, &name));
            self.json.push(b':');
            self.value(Kind::of_member(&name, parent), &name, depth - 1)?;
            read += 1;
        }
        self.json.push(b'}');
        Ok(())
    }

    /// Whether a list goes on: it says how long it is, or it ends with a break.
    fn has_next(&mut self, length: Option<usize>, read: usize) -> Result<bool, ApiError> {
        let Some(length) = length else {
            let before = self.at;
            if self.header()? == Header::Break {
                return Ok(false);
            }
            self.at = before;
            return Ok(true);
        };
        Ok(read < length)
    }

    fn comma(&mut self, read: usize) {
        if read > 0 {
            self.json.push(b',');
        }
    }

    fn time(&mut self) -> Result<(), ApiError> {
        let Header::Positive(millis) = self.header()? else {
            return Err(self.refuse("a time is an integer of milliseconds since 1970"));
        };
        self.json.extend_from_slice(format!("{}.{:03}", millis / 1000, millis % 1000).as_bytes());
        Ok(())
    }

    fn number(&mut self, number: impl serde::Serialize) {
        // Writing a number into memory cannot fail.
        drop(serde_json::to_writer(&mut self.json, &number));
    }

    fn bytes(&mut self, length: Option<usize>) -> Result<(), ApiError> {
        let bytes = self.string(length, |header| match header {
            Header::Bytes(Some(length)) => Some(length),
            _ => None,
        })?;
        self.json.push(b'"');
        let start = self.json.len();
        self.json.resize(start + bytes.len().div_ceil(3) * 4, 0);
        // The room is exactly what Base64 needs.
        drop(STANDARD.encode_slice(&bytes, &mut self.json[start..]));
        self.json.push(b'"');
        Ok(())
    }

    fn text(&mut self, length: Option<usize>) -> Result<String, ApiError> {
        let bytes = self.string(length, |header| match header {
            Header::Text(Some(length)) => Some(length),
            _ => None,
        })?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.refuse("a text is not UTF-8")),
        }
    }
}

impl<'a> Reading<'a> {
    /// A string, which comes in one piece or, without a length, in several and a break.
    fn string(
        &mut self,
        length: Option<usize>,
        length_of_piece: impl Fn(Header) -> Option<usize>,
    ) -> Result<std::borrow::Cow<'a, [u8]>, ApiError> {
        if let Some(length) = length {
            return Ok(self.take(length)?.into());
        }
        let mut whole = Vec::new();
        loop {
            let header = self.header()?;
            if header == Header::Break {
                return Ok(whole.into());
            }
            let piece = length_of_piece(header).ok_or_else(|| self.refuse("a string has a piece of another type"))?;
            whole.extend_from_slice(self.take(piece)?);
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ApiError> {
        let rest = &self.body[self.at..];
        let taken = rest.get(..length).ok_or_else(|| self.refuse("it ends in the middle of a string"))?;
        self.at += length;
        Ok(taken)
    }

    fn header(&mut self) -> Result<Header, ApiError> {
        let mut decoder = Decoder::from(&self.body[self.at..]);
        let header = decoder.pull().map_err(|_| self.refuse("there is no value"))?;
        self.at += decoder.offset();
        Ok(header)
    }

    fn refuse(&self, why: &str) -> ApiError {
        let message = format!("The request cannot be read: {why} at byte {} of its CBOR.", self.at);
        ApiError::new(ErrorKind::Serialization, message)
    }
}
