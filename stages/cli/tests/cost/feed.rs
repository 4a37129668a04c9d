//! Requests that come by chance, as those of many clients do.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Connections; more than are ever busy at one time.
const CONNECTIONS: usize = 16;

/// Where to post.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Host and port.
    pub(crate) address: String,
    pub(crate) path: String,
    pub(crate) key: String,
}

/// Sends each of the bodies when its time has come: so many a second, by chance. Ends when all are answered.
pub(crate) fn start(target: Target, bodies: Vec<String>, per_second: f64) -> JoinHandle<()> {
    thread::spawn(move || {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| worker(target.clone())).collect();
        let (began, mut due, mut random) = (Instant::now(), 0.0, dice(5));
        for (number, body) in bodies.into_iter().enumerate() {
            due -= (1.0 - random()).ln() / per_second;
            thread::sleep(Duration::from_secs_f64(due).saturating_sub(began.elapsed()));
            workers[number % CONNECTIONS].0.send(body).unwrap();
        }
        for (bodies, worker) in workers {
            drop(bodies);
            worker.join().unwrap();
        }
    })
}

/// A connection that sends what it is given, one after the other.
fn worker(target: Target) -> (mpsc::Sender<String>, JoinHandle<()>) {
    let (sender, bodies) = mpsc::channel::<String>();
    let worker = thread::spawn(move || {
        let mut connection = BufReader::new(TcpStream::connect(&target.address).unwrap());
        connection.get_ref().set_nodelay(true).unwrap();
        for body in bodies {
            post(&mut connection, &target, &body);
        }
    });
    (sender, worker)
}

fn post(connection: &mut BufReader<TcpStream>, target: &Target, body: &str) {
    let Target { address, path, key } = target;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: application/x-ndjson\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.get_mut().write_all(request.as_bytes()).unwrap();
    let status = answer(connection).0;
    assert!(status.contains(" 200 "), "{status}");
}

/// What is at a place: `/metrics`.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut connection = BufReader::new(TcpStream::connect(address).unwrap());
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes()).unwrap();
    answer(&mut connection).1
}

/// The first line of an answer, and its body.
fn answer(connection: &mut BufReader<TcpStream>) -> (String, String) {
    let mut line = || {
        let mut line = String::new();
        connection.read_line(&mut line).unwrap();
        line.trim_end().to_ascii_lowercase()
    };
    let status = line();
    let mut length = None;
    loop {
        let header = line();
        if header.is_empty() {
            break;
        }
        length = header.strip_prefix("content-length:").map(|text| text.trim().parse().unwrap()).or(length);
    }
    let mut body = vec![0; length.unwrap_or_else(|| panic!("an answer without a length: {status}"))];
    connection.read_exact(&mut body).unwrap();
    (status, String::from_utf8(body).unwrap())
}

/// Numbers from 0 up to 1, the same each time.
fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[allow(clippy::cast_precision_loss, reason = "53 bits")]
        let number = (state >> 11) as f64 / (1_u64 << 53) as f64;
        number
    }
}
