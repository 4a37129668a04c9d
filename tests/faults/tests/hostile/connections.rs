//! Thousands of connections.

use std::io::Write;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::http::{JSON, answer, connect};
use crate::shop::{Shop, order};

const CONNECTIONS: usize = 5_000;
/// As the Pipeline has it by default.
const SERVED: usize = 1_024;
const PATIENCE: Duration = Duration::from_secs(30);

/// This process holds a file for each connection. The server was started with its own limit.
fn allow_open_files(wanted: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let possible = getrlimit(Resource::Nofile).current;
    assert!(possible.is_none_or(|files| files >= wanted), "this test needs {wanted} open files: ulimit -Hn {wanted}");
}

#[test]
fn five_thousand_connections_are_each_served_or_sent_away_and_the_source_goes_on() {
    // Opening so many may take longer on a busy machine than a connection may be idle.
    let mut shop = Shop::open_with(|pipeline| {
        pipeline.replacen("path: /orders  ", "limits: { bodyTimeout: 10m }\n        path: /orders  ", 1)
    });
    allow_open_files(CONNECTIONS as u64 + 500);
    let rows: Vec<_> = (0..CONNECTIONS).map(|number| order(&number.to_string())).collect();
    let mut open: Vec<_> = rows.iter().map(|_| connect(shop.addr())).collect();
    for (connection, row) in open.iter_mut().zip(&rows) {
        let body = row.to_string();
        let head = shop.head(&[("content-type", JSON)]);
        // Who was sent away already may find the connection closed.
        let _ = write!(connection, "{head}content-length: {}\r\n\r\n{body}", body.len());
    }
    let (mut accepted, mut told) = (0, 0);
    for (mut connection, row) in open.into_iter().zip(rows) {
        // Beyond those that are told why, connections are closed without a word.
        let Some(answer) = answer(&mut connection) else { continue };
        if answer.status == 200 {
            assert_eq!(answer.rows(), ["ok"]);
            accepted += 1;
            shop.expect(row);
        } else {
            assert_eq!(answer.problem(), (503, "too_many_connections".to_owned()));
            assert_eq!(answer.headers["retry-after"], "1");
            told += 1;
        }
    }
    eprintln!("{accepted} served, {told} told to come again");
    assert!(accepted >= SERVED && told > 0, "{accepted} served, {told} told to come again");
    let began = Instant::now();
    let late = order("late");
    while shop.post(JSON, late.to_string()).status != 200 {
        assert!(began.elapsed() < PATIENCE, "nobody is served any more");
    }
    shop.expect(late);
    shop.closes_well();
}
