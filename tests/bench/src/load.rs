//! Load on an HTTP endpoint: prepared requests over connections that stay open, with the time until each answer.
//!
//! Closed: each connection sends its next request when it has the answer to the last. Open: requests are due at fixed
//! times, and an answer's time counts from when its request was due, so that a server that stalls is not spared the
//! requests that would have come meanwhile (coordinated omission).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// As fast as answers come.
    Closed,
    /// So many a second, over all connections.
    Open(f64),
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests that were answered with 2xx.
    pub answered: u64,
    /// The time until each answer, in microseconds, sorted.
    pub micros: Vec<u32>,
}

impl Seen {
    /// The time below which a share of the answers came, in milliseconds.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place"
        )]
        let place = ((self.micros.len() as f64 * share).ceil() as usize).saturating_sub(1);
        self.micros.get(place).map_or(f64::NAN, |micros| f64::from(*micros) / 1_000.0)
    }
}

/// A POST as bytes.
#[must_use]
pub fn post(path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends requests, each in its turn, for so long.
///
/// # Errors
/// When the server cannot be reached, breaks a connection, or answers with anything but 2xx.
pub async fn run(
    addr: SocketAddr,
    requests: &[Vec<u8>],
    connections: usize,
    rate: Rate,
    time: Duration,
) -> anyhow::Result<Seen> {
    ensure!(!requests.is_empty() && connections > 0, "there is nothing to send");
    let requests: std::sync::Arc<[Vec<u8>]> = requests.into();
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        tasks.spawn(connection(addr, requests.clone(), number, connections, rate, began, time));
    }
    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        let seen = seen??;
        all.answered += seen.answered;
        all.micros.extend(seen.micros);
    }
    all.micros.sort_unstable();
    Ok(all)
}

async fn connection(
    addr: SocketAddr,
    requests: std::sync::Arc<[Vec<u8>]>,
    number: usize,
    connections: usize,
    rate: Rate,
    began: Instant,
    time: Duration,
) -> anyhow::Result<Seen> {
    let mut connection = Connection::open(addr).await?;
    let (mut seen, mut place) = (Seen::default(), number);
    #[allow(clippy::cast_precision_loss, reason = "small")]
    let every = match rate {
        Rate::Closed => None,
        Rate::Open(rate) => Some((connections as f64 / rate, number as f64 / rate)),
    };
    loop {
        let due = match every {
            None => Instant::now(),
            #[allow(clippy::cast_precision_loss, reason = "small")]
            Some((every, first)) => began + Duration::from_secs_f64(first + every * seen.answered as f64),
        };
        if due.duration_since(began) >= time {
            return Ok(seen);
        }
        tokio::time::sleep_until(due.into()).await;
        connection.send(&requests[place % requests.len()]).await?;
        seen.answered += 1;
        seen.micros.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
        place += connections;
    }
}

/// A connection that stays open.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(addr).await.context("connecting")?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(16 << 10) })
    }

    /// Sends a request and reads its answer whole.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is anything but 2xx.
    pub async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.socket.write_all(request).await?;
        self.buffer.clear();
        loop {
            self.read().await?;
            let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else { continue };
            let length = content_length(&self.buffer, end)?;
            while self.buffer.len() < end + 4 + length {
                self.read().await?;
            }
            return Ok(());
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        ensure!(self.socket.read_buf(&mut self.buffer).await? > 0, "the server broke the connection");
        Ok(())
    }
}

/// Of an answer whose head ends there.
fn content_length(answer: &[u8], end: usize) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(&answer[..end])?.to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 2"), "an answer that is not 2xx: {}", String::from_utf8_lossy(answer));
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    Ok(length.context("an answer without content-length")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let seen = Seen { answered: 4, micros: vec![1_000, 2_000, 3_000, 50_000] };
        assert_eq!((seen.quantile(0.5), seen.quantile(0.99)), (2.0, 50.0));
    }
}
