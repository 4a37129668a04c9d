//! An input that may pause: a thread reads it, so that waiting rows can be sent and a stop is seen meanwhile.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

const CHUNK_BYTES: usize = 64 << 10;
const CHUNKS: usize = 4;
/// An input that gives nothing for so long is said to wait.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads from a thread of its own. Gives `WouldBlock` when nothing comes for a while, and an error when it is told to
/// stop meanwhile.
pub(super) struct Waiting {
    chunks: Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    taken: usize,
    stop: CancellationToken,
}

impl Waiting {
    pub(super) fn new(mut input: impl Read + Send + 'static, stop: CancellationToken) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(CHUNKS);
        // The thread is not joined: it may sit in a read that never ends.
        std::thread::Builder::new().name("input".to_owned()).spawn(move || {
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = match input.read(&mut chunk) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    other => other,
                };
                let last = !matches!(read, Ok(1..));
                let message = read.map(|length| {
                    chunk.truncate(length);
                    chunk
                });
                if sender.send(message).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Self { chunks, current: Vec::new(), taken: 0, stop })
    }
}

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.current.len() {
            match self.chunks.recv_timeout(PAUSE) {
                Ok(chunk) => {
                    self.current = chunk?;
                    self.taken = 0;
                    if self.current.is_empty() {
                        return Ok(0);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                Err(RecvTimeoutError::Timeout) if self.stop.is_cancelled() => {
                    return Err(io::Error::other("stopped while waiting for input"));
                }
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
        let length = buffer.len().min(self.current.len() - self.taken);
        buffer[..length].copy_from_slice(&self.current[self.taken..self.taken + length]);
        self.taken += length;
        Ok(length)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Gives what a channel gives.
    struct Fed(mpsc::Receiver<&'static [u8]>);

    impl Read for Fed {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.recv() {
                Ok(bytes) => {
                    buffer[..bytes.len()].copy_from_slice(bytes);
                    Ok(bytes.len())
                }
                Err(_) => Ok(0),
            }
        }
    }

    /// Reads through pauses, of which a busy machine makes more than there are.
    fn read_on(waiting: &mut Waiting, buffer: &mut [u8]) -> usize {
        loop {
            match waiting.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other.unwrap(),
            }
        }
    }

    #[test]
    fn a_pause_is_told_and_what_comes_later_is_read() {
        let (feed, fed) = mpsc::channel();
        let mut waiting = Waiting::new(Fed(fed), CancellationToken::new()).unwrap();
        let mut buffer = [0; 16];
        feed.send(&b"one"[..]).unwrap();
        assert_eq!(read_on(&mut waiting, &mut buffer), 3);
        assert_eq!(waiting.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        feed.send(&b"two!"[..]).unwrap();
        assert_eq!(read_on(&mut waiting, &mut buffer), 4);
        drop(feed);
        assert_eq!(read_on(&mut waiting, &mut buffer), 0);
    }

    #[test]
    fn a_stop_ends_the_waiting() {
        let (_feed, fed) = mpsc::channel();
        let stop = CancellationToken::new();
        let mut waiting = Waiting::new(Fed(fed), stop.clone()).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(waiting.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        stop.cancel();
        assert_eq!(waiting.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::Other);
    }
}
