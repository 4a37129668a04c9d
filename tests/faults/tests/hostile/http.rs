//! A plain HTTP/1.1 client that can also misbehave.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::stores::position;

/// Longer than the server takes for anything.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) const JSON: &str = "application/json";
pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const CSV: &str = "text/csv";

/// What a server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Status and code of a problem document, which must be whole.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status);
        for part in ["type", "title", "detail"] {
            assert!(document[part].as_str().is_some_and(|text| !text.is_empty()), "{document}");
        }
        (self.status, document["code"].as_str().unwrap().to_owned())
    }

    /// The code of each row in order, `ok` for one that was accepted; the field behind it where one is named.
    pub(crate) fn rows(&self) -> Vec<String> {
        let document = self.json();
        let rows = document["rows"].as_array().unwrap_or_else(|| panic!("{document}"));
        let told: Vec<_> = rows.iter().map(told).collect();
        let accepted = told.iter().filter(|row| *row == "ok").count();
        assert_eq!((&document["accepted"], &document["refused"]), (&accepted.into(), &(rows.len() - accepted).into()));
        told
    }

    /// Where the stream has each row that was accepted.
    pub(crate) fn positions(&self) -> Vec<String> {
        let document = self.json();
        let rows = document["rows"].as_array().unwrap();
        rows.iter().filter(|row| row["status"] == "accepted").map(position).collect()
    }
}

fn told(row: &Value) -> String {
    if row["status"] == "accepted" {
        assert!(!position(row).is_empty());
        return "ok".to_owned();
    }
    assert!(row["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{row}");
    let code = row["code"].as_str().unwrap();
    row["field"].as_str().map_or_else(|| code.to_owned(), |field| format!("{code} {field}"))
}

/// A connection that does not wait for ever.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The head of a `POST` without what says how its body ends, and without the empty line.
pub(crate) fn head(path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head
}

pub(crate) fn post(addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = connect(addr);
    let head = format!("{}content-length: {}\r\n\r\n", head(path, headers), body.len());
    stream.write_all(head.as_bytes()).unwrap();
    // The server may answer, and close, before it has read everything.
    let _ = stream.write_all(body);
    answer(&mut stream).unwrap_or_else(|| panic!("the server closed the connection without an answer"))
}

/// Reads an answer to its end; `None` when the connection closes without one.
pub(crate) fn answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A reset after the answer is no answer lost.
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, v)| (name.to_lowercase(), v.to_owned())).collect();
    Some(Answer { status, headers, body: bytes[end + 4..].to_vec() })
}
