//! Whole lists on their way: however long, broken off, and to clients that do not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Asked, Tables, number, stage, text};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// A route that holds little, and one that holds what is long.
const LISTS: &str = r#"
routes:
  - path: /lines/{no}
    table: lines
    fields: [{ name: code }, { name: amount }]
    limits: { page: 2, readItems: 3, readBytes: 1Mi }
  - path: /none/{no}
    table: lines
    fields: [{ name: code }]
    filters: [{ attribute: code, operator: Equals, value: none }]
  - { path: "/whole/{no}", table: lines, fields: [{ name: amount }], orderBy: amount }
"#;
const DEADLINE: Duration = Duration::from_secs(60);

/// Lines of 100,000 bytes each; a read of the table takes ten.
async fn long_lines(tables: &Tables, no: &str, count: usize) {
    let long = "x".repeat(100_000);
    for index in 0..count {
        let code = format!("{index:03}");
        tables.put("lines", &[("no", text(no)), ("code", text(&code)), ("amount", text(&long))]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_as_lines_is_sent_to_its_end_however_little_the_route_may_hold() {
    let tables = Tables::start().await;
    tables.lines("A", 10).await;
    long_lines(&tables, "L", 30).await;
    let asked = Asked::start(&tables.url, LISTS).await;
    for (path, lines) in [("/lines/A?format=ndjson", 10), ("/lines/L?format=ndjson", 30), ("/lines/L?format=csv", 31)] {
        let list = asked.get(path).await;
        assert_eq!((list.status.as_u16(), list.text().lines().count()), (200, lines), "{path}");
    }
    assert_eq!(asked.get("/lines/A").await.json()["items"].as_array().unwrap().len(), 2, "others are pages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_one_read_has_a_tag_and_is_not_sent_again() {
    let tables = Tables::start().await;
    tables.lines("A", 10).await;
    let asked = Asked::start(&tables.url, LISTS).await;
    let list = asked.get("/lines/A?format=csv").await;
    let tag = list.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{:?}", list.headers);
    assert_eq!(list.header("content-length"), list.body.len().to_string());
    let again = asked.send(Method::GET, "/lines/A?format=csv", &[("if-none-match", &tag)]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    tables.put("lines", &[("no", text("A")), ("code", text("010")), ("amount", number("1"))]).await;
    let changed = asked.send(Method::GET, "/lines/A?format=csv", &[("if-none-match", &tag)]).await;
    assert_eq!((changed.status.as_u16(), changed.text().lines().count()), (200, 12));
}

/// The engine behind a proxy that lets some reads through and then throttles some.
async fn throttled(tables: &Tables, after: usize, times: usize) -> String {
    proxy(tables, after, times, Duration::ZERO).await
}

/// The engine behind a proxy that takes a while for each read, lets some through and then throttles some.
async fn proxy(tables: &Tables, after: usize, times: usize, takes: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let (engine, calls) = (tables.url.clone(), Arc::new(AtomicUsize::new(0)));
    let answer = move |mut request: Request| {
        let (client, engine, calls) = (client.clone(), engine.clone(), calls.clone());
        async move {
            tokio::time::sleep(takes).await;
            let call = calls.fetch_add(1, Ordering::SeqCst);
            if (after..after.saturating_add(times)).contains(&call) {
                return throttling();
            }
            *request.uri_mut() = engine.parse().unwrap();
            client.request(request).await.unwrap().into_response()
        }
    };
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn throttling() -> Response {
    let code = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
    let body = json!({ "__type": code, "message": "stand-in" }).to_string();
    (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.0")], body).into_response()
}

/// Asks over a connection of its own.
async fn connect(asked: &Asked, path: &str, version: &str, headers: &str) -> TcpStream {
    ask(TcpStream::connect(asked.addr).await.unwrap(), path, version, headers).await
}

async fn ask(mut stream: TcpStream, path: &str, version: &str, headers: &str) -> TcpStream {
    let request = format!("GET {path} {version}\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// All that the server sends until it closes the connection.
async fn received(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A connection may end with a reset: that is an end as well.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut all)).await.unwrap();
    all
}

fn begins(answer: &[u8], start: &str) -> bool {
    answer.starts_with(start.as_bytes())
}

/// The chunk that ends a body.
fn is_complete(answer: &[u8]) -> bool {
    answer.ends_with(b"\r\n0\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_broken_off_never_looks_complete() {
    let tables = Tables::start().await;
    long_lines(&tables, "L", 30).await;
    for coding in ["identity", "gzip", "zstd"] {
        let url = throttled(&tables, 1, usize::MAX).await;
        let mut stage = stage(LISTS);
        stage.timeout_millis = 2_000;
        let asked = Asked::start_stage(&url, stage).await;
        let header = format!("accept-encoding: {coding}\r\n");
        let broken = received(connect(&asked, "/lines/L?format=csv", "HTTP/1.1", &header).await).await;
        assert!(begins(&broken, "HTTP/1.1 200"), "{}", String::from_utf8_lossy(&broken[..200]));
        assert!(!is_complete(&broken), "{coding}");
    }
    let asked = Asked::start(&tables.url, LISTS).await;
    let complete = received(connect(&asked, "/lines/L?format=csv", "HTTP/1.1", "").await).await;
    assert!(is_complete(&complete));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_not_read_without_bound_for_a_filter_that_nothing_passes() {
    let tables = Tables::start().await;
    long_lines(&tables, "L", 120).await;
    let slow = proxy(&tables, 0, 0, Duration::from_millis(400)).await;
    let mut stage = stage(LISTS);
    stage.timeout_millis = 1_000;
    let asked = Asked::start_stage(&slow, stage).await;
    let nothing = received(connect(&asked, "/none/L?format=csv", "HTTP/1.1", "").await).await;
    assert!(begins(&nothing, "HTTP/1.1 200") && !is_complete(&nothing), "{}", String::from_utf8_lossy(&nothing));
    let all = received(connect(&asked, "/lines/L?format=csv", "HTTP/1.1", "").await).await;
    assert!(is_complete(&all), "it takes longer, and something comes all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_outlasts_a_throttling_that_passes() {
    let tables = Tables::start().await;
    long_lines(&tables, "L", 30).await;
    // The SDK makes three attempts by itself.
    let url = throttled(&tables, 1, 4).await;
    let asked = Asked::start(&url, LISTS).await;
    assert_eq!(asked.get("/lines/L?format=ndjson").await.text().lines().count(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_could_not_tell_the_end_from_a_break_is_told_so() {
    let tables = Tables::start().await;
    tables.lines("A", 10).await;
    long_lines(&tables, "L", 30).await;
    let asked = Asked::start(&tables.url, LISTS).await;
    let refused = received(connect(&asked, "/lines/L?format=csv", "HTTP/1.0", "").await).await;
    assert!(begins(&refused, "HTTP/1.0 426"), "{}", String::from_utf8_lossy(&refused[..200]));
    assert!(String::from_utf8_lossy(&refused).contains("proxy_http_version 1.1"));
    let short = received(connect(&asked, "/lines/A?format=csv", "HTTP/1.0", "").await).await;
    assert!(begins(&short, "HTTP/1.0 200"));
}

/// Clients that have begun to get an answer and do not read on.
async fn stuck(asked: &Asked, path: &str, count: usize) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        // So that the system takes no more than a part of the answer for it.
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(asked.addr).await.unwrap();
        let mut client = ask(stream, path, "HTTP/1.1", "").await;
        let mut start = [0; 12];
        timeout(DEADLINE, client.read_exact(&mut start)).await.unwrap().unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        clients.push(client);
    }
    clients
}

/// With one request at a time there is room for 8 MiB on their way: four lists.
fn narrow() -> penstock_api::plan::ApiStage {
    let mut stage = stage(LISTS);
    stage.max_requests = 1;
    stage.timeout_millis = 120_000;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_keep_nobody_from_being_answered() {
    let tables = Tables::start().await;
    tables.lines("A", 10).await;
    long_lines(&tables, "L", 120).await;
    let asked = Asked::start_stage(&tables.url, narrow()).await;
    let clients = stuck(&asked, "/lines/L?format=csv", 3).await;
    assert_eq!(asked.get("/lines/A").await.status, 200);
    let list = asked.get("/lines/L?format=csv").await;
    assert_eq!((list.status.as_u16(), list.text().lines().count()), (200, 121));
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_on_their_way_are_bounded_and_who_does_not_read_is_given_up() {
    let tables = Tables::start().await;
    tables.lines("A", 10).await;
    long_lines(&tables, "L", 120).await;
    let patient = Asked::start_stage(&tables.url, narrow()).await;
    let held = stuck(&patient, "/lines/L?format=csv", 4).await;
    for path in ["/lines/L?format=csv", "/whole/L?format=csv"] {
        assert_eq!(patient.get(path).await.problem(), (503, "overloaded".to_owned()), "{path}");
    }
    assert_eq!(patient.get("/lines/A").await.status, 200, "small answers need no room");
    drop(held);

    let mut stage = narrow();
    stage.timeout_millis = 2_000;
    let impatient = Asked::start_stage(&tables.url, stage).await;
    let given_up = stuck(&impatient, "/lines/L?format=csv", 4).await;
    // A list that is taken at once gets room when the others have lost it.
    let taken = async {
        while impatient.get("/lines/L?format=csv").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, taken).await.unwrap();
    for client in given_up {
        assert!(!is_complete(&received(client).await));
    }
}
