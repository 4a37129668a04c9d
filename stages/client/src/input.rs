//! Where rows come from: opening, unpacking, and finding out about a file before the first row is sent.
//!
//! A file is read twice: once for its hash (which the ids of its rows are made of) and its character set, once for
//! its rows. Standard input and pipes are read once, so less is known about them.

pub(crate) mod charset;
pub(crate) mod dates;
pub(crate) mod dialect;
mod fields;
pub(crate) mod records;
mod stdin;
mod transcode;

use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::error::SendError;
use crate::options::Input;
use crate::progress::{Phase, Progress};
use charset::{Charset, Decoding, Detector};
use records::ReadError;
use transcode::Transcoder;

const CHUNK_BYTES: usize = 256 << 10;
/// What is looked at to tell the delimiter, and everything else about an input that can be read only once.
const SAMPLE_BYTES: usize = 64 << 10;

pub(crate) type Bytes = Box<dyn Read + Send>;

/// What is known about the input before its rows are read.
pub(crate) struct Survey {
    /// Its name, for messages.
    pub(crate) name: String,
    /// SHA-256 of the unpacked content; nothing for what can be read only once.
    pub(crate) hash: Option<String>,
    pub(crate) charset: Charset,
    source: Source,
}

enum Source {
    File { path: PathBuf, state: FileState },
    Once { rest: Option<Bytes> },
}

/// What changes when somebody writes to a file.
#[derive(Debug, PartialEq, Eq)]
struct FileState {
    length: u64,
    modified: Option<SystemTime>,
}

impl FileState {
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// An input at its first byte, as text: UTF-8, or a single-byte set that is decoded record by record.
pub(crate) struct Opened {
    pub(crate) reader: Bytes,
    pub(crate) decoding: Decoding,
    /// The beginning, which `reader` gives again.
    pub(crate) sample: Vec<u8>,
    /// Whether the sample is everything.
    pub(crate) sample_is_all: bool,
}

/// Finds out about the input: hash and character set of a file, the beginning of anything else.
pub(crate) fn survey(
    input: &Input,
    encoding: Option<&str>,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Survey, SendError> {
    let named = encoding.map(Charset::named).transpose()?;
    let name = input.to_string();
    match input {
        Input::File(path) => {
            let open_error = |source| SendError::Open { name: name.clone(), source };
            let metadata = std::fs::metadata(path).map_err(open_error)?;
            if metadata.is_file() {
                return survey_file(path, name, named, &metadata, progress, stop);
            }
            if metadata.is_dir() {
                return Err(open_error(io::ErrorKind::IsADirectory.into()));
            }
            let pipe = File::open(path).map_err(open_error)?;
            survey_once(pipe, name, named, progress, stop)
        }
        Input::Stdin { .. } => survey_once(io::stdin(), name, named, progress, stop),
    }
}

fn survey_file(
    path: &Path,
    name: String,
    named: Option<Charset>,
    metadata: &Metadata,
    progress: &Progress,
    stop: &CancellationToken,
) -> Result<Survey, SendError> {
    progress.enter(Phase::Looking);
    let read_error = |error: io::Error| SendError::Read { name: name.clone(), source: ReadError::Io(error) };
    let file = File::open(path).map_err(|source| SendError::Open { name: name.clone(), source })?;
    let mut reader = unpack(Box::new(file)).map_err(read_error)?;
    let mut hash = Sha256::new();
    let mut detector = Detector::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        if stop.is_cancelled() {
            return Err(SendError::Interrupted);
        }
        let read = fill(&mut reader, &mut buffer).map_err(read_error)?;
        let chunk = &buffer[..read];
        if chunk.is_empty() {
            break;
        }
        hash.update(chunk);
        if named.is_none() {
            detector.feed(chunk);
        }
        total += read as u64;
    }
    progress.set_total_bytes(total);
    Ok(Survey {
        charset: named.unwrap_or_else(|| detector.charset(true)),
        hash: Some(hex::encode(hash.finalize())),
        source: Source::File { path: path.to_owned(), state: FileState::of(metadata) },
        name,
    })
}

fn survey_once(
    input: impl Read + Send + 'static,
    name: String,
    named: Option<Charset>,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Survey, SendError> {
    let read_error = |error: io::Error| match stop.is_cancelled() {
        true => SendError::Interrupted,
        false => SendError::Read { name: name.clone(), source: ReadError::Io(error) },
    };
    let waiting = stdin::Waiting::new(input, stop.clone()).map_err(read_error)?;
    let mut reader = unpack(Box::new(waiting)).map_err(read_error)?;
    let (sample, at_end) = sample(&mut reader).map_err(read_error)?;
    let mut detector = Detector::new();
    detector.feed(&sample);
    let rest: Bytes = Box::new(Cursor::new(sample).chain(reader));
    Ok(Survey {
        charset: named.unwrap_or_else(|| detector.charset(at_end)),
        hash: None,
        source: Source::Once { rest: Some(Box::new(Counted { inner: rest, progress: progress.clone() })) },
        name,
    })
}

impl Survey {
    /// Opens the input at its first byte. What can be read only once can be opened only once.
    pub(crate) fn open(&mut self, progress: &Arc<Progress>) -> Result<Opened, SendError> {
        let name = self.name.clone();
        let bytes: Bytes = match &mut self.source {
            Source::Once { rest } => {
                rest.take().ok_or_else(|| SendError::Defect(format!("{name} was opened twice")))?
            }
            Source::File { path, .. } => {
                let file = File::open(path).map_err(|source| SendError::Open { name: name.clone(), source })?;
                let inner = unpack(Box::new(file))
                    .map_err(|error| SendError::Read { name: name.clone(), source: error.into() })?;
                Box::new(Counted { inner, progress: progress.clone() })
            }
        };
        let decoding = self.charset.decoding();
        let mut reader = match decoding {
            Decoding::Transcoded => Box::new(Transcoder::new(bytes, self.charset.encoding)),
            Decoding::Utf8 | Decoding::SingleByte(_) => bytes,
        };
        let (sample, sample_is_all) =
            sample(&mut reader).map_err(|error| SendError::Read { name, source: error.into() })?;
        Ok(Opened { reader: Box::new(Cursor::new(sample.clone()).chain(reader)), decoding, sample, sample_is_all })
    }

    /// Whether it can be opened more than once.
    pub(crate) fn can_reopen(&self) -> bool {
        matches!(self.source, Source::File { .. })
    }

    /// An error when a file was written to since it was hashed.
    pub(crate) fn check_unchanged(&self) -> Result<(), SendError> {
        let Source::File { path, state } = &self.source else { return Ok(()) };
        match std::fs::metadata(path) {
            Ok(metadata) if FileState::of(&metadata) == *state => Ok(()),
            _ => Err(SendError::InputChanged { name: self.name.clone() }),
        }
    }
}

/// Unpacks gzip and zstd, told by their first bytes and not by a file's name.
pub(crate) fn unpack(mut packed: Bytes) -> io::Result<Bytes> {
    let mut magic = [0; 4];
    let mut got = 0;
    while got < magic.len() {
        match packed.read(&mut magic[got..]) {
            Ok(0) => break,
            Ok(read) => got += read,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    let whole = Cursor::new(magic[..got].to_vec()).chain(packed);
    Ok(match magic {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

/// Reads until the buffer is full or the input ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The first [`SAMPLE_BYTES`], or less when the input ends or pauses behind its first line. True when it ended.
fn sample(reader: &mut impl Read) -> io::Result<(Vec<u8>, bool)> {
    let mut sample = vec![0; SAMPLE_BYTES];
    let mut filled = 0;
    while filled < sample.len() {
        match reader.read(&mut sample[filled..]) {
            Ok(0) => {
                sample.truncate(filled);
                return Ok((sample, true));
            }
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if sample[..filled].contains(&b'\n') {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    sample.truncate(filled);
    Ok((sample, false))
}

/// Tells the progress how many bytes were read.
struct Counted {
    inner: Bytes,
    progress: Arc<Progress>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.read_bytes(read as u64);
        Ok(read)
    }
}
