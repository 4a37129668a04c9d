//! Thousands of connections.

use std::time::Duration;

use crate::common::{JSON, Served, StandIn, row, stage};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As many connections as are wanted, or as the system lets this process open: each takes two files here.
fn connections(wanted: u64) -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let possible = getrlimit(Resource::Nofile).current.map_or(wanted, |files| files.saturating_sub(200) / 2);
    if possible < wanted {
        eprintln!("only {possible} of {wanted} connections: raise the limit of open files (ulimit -n)");
    }
    wanted.min(possible)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_connections_do_not_bring_it_down() {
    let stream = StandIn::start(1).await;
    let mut limited = stage();
    limited.max_connections = 500;
    let stage = Served::start(limited, &stream.endpoint_url()).await;
    let addr = stage.running.local_addr();
    // One that was there before keeps working through it all.
    let mut kept = TcpStream::connect(addr).await.unwrap();
    let body = row("a", 1).to_string();
    let post = format!(
        "POST /orders HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut post_on_kept = async || {
        kept.write_all(post.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        kept.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        let mut rest = vec![0; 4096];
        assert!(kept.read(&mut rest).await.unwrap() > 0);
    };
    post_on_kept().await;

    let mut open = Vec::new();
    for _ in 0..connections(5000) {
        open.push(TcpStream::connect(addr).await.unwrap());
    }
    post_on_kept().await;
    // The first are served when they ask; those beyond the limit are told why, or closed.
    let first = crate::common::http::head("POST", "/orders", &[JSON, ("content-length", "2")]);
    open[0].write_all(format!("{first}\r\n{{}}").as_bytes()).await.unwrap();
    assert_eq!(crate::common::http::answer(&mut open[0]).await.unwrap().status, 422);
    let beyond = open.split_off(500);
    let mut told = 0;
    for mut connection in beyond {
        if let Some(answer) = crate::common::http::answer(&mut connection).await {
            assert_eq!(answer.problem(), (503, "too_many_connections".to_owned()));
            assert_eq!(answer.headers["retry-after"], "1");
            told += 1;
        }
    }
    assert!(told > 0);
    drop(open);
    let served = async {
        loop {
            if stage.post(&[JSON], &body).await.status == 200 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), served).await.unwrap();
    stage.end().await;
}
