//! Endpoints that fail.

use std::time::Duration;

use penstock_client::End;
use server::Fault;
use tokio::net::TcpListener;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn rows_arrive_in_order_through_lost_answers_broken_connections_and_busy_servers() {
    let shop = Shop::new(3_000);
    let server = Server::start(shop_endpoint()).await;
    let kinds = [
        Fault::LoseAnswer,
        Fault::Status(503, Some(0)),
        Fault::Break,
        Fault::Status(500, None),
        Fault::RetryLast(30),
        Fault::Status(429, Some(0)),
        Fault::LoseAnswer,
        Fault::Status(502, None),
    ];
    server.fail_with(kinds.into_iter().cycle().take(24));
    let summary = run(options(&shop.file(), &server)).await.unwrap();
    assert_eq!((summary.exit_code(), summary.counts.rows_accepted), (0, 3_000));
    let rows = server.rows();
    assert_whole_shop(&rows, &shop);
    assert_order_per_key(&rows, "InvoiceNo");
    let twice = rows.len() as u64 - 3_000;
    let counts = summary.counts;
    assert!(twice > 0, "answers were lost");
    assert!(twice <= counts.rows_doubtful && counts.rows_doubtful <= counts.rows_sent_again, "{twice} {counts:?}");
    assert_eq!(counts.rows_sent, 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_endpoint_cannot_take_for_now_are_sent_again_before_what_is_behind_them() {
    let shop = Shop::new(1_000);
    let server = Server::start(shop_endpoint()).await;
    server.fail_with((0..10).map(|round| Fault::RetryLast(if round < 3 { 100 } else { 40 })));
    let summary = run(options(&shop.file(), &server)).await.unwrap();
    assert_eq!(summary.counts.rows_accepted, 1_000);
    assert_eq!(server.rows().len(), 1_000, "nothing is sent twice that was taken");
    assert!(summary.counts.rows_sent_again > 0 && summary.counts.rows_doubtful == 0);
    assert_order_per_key(&server.rows(), "InvoiceNo");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_put_off_twice_are_the_same_rows_the_second_time() {
    let shop = Shop::new(1_000);
    let server = Server::start(Config { partition_key: None, ..shop_endpoint() }).await;
    server.fail_with([Fault::RetryLast(40), Fault::RetryLast(20), Fault::RetryLast(10)]);
    let summary = run(options(&shop.file(), &server)).await.unwrap();
    assert_eq!((summary.exit_code(), summary.counts.rows_accepted), (0, 1_000));
    assert_whole_shop(&server.rows(), &shop);
    assert_eq!(server.rows().len(), 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_too_large_are_halved_and_later_ones_are_smaller() {
    let shop = Shop::new(2_000);
    let server = Server::start(Config { max_body: Some(4_000), ..shop_endpoint() }).await;
    let summary = run(options(&shop.file(), &server)).await.unwrap();
    assert_eq!((summary.exit_code(), server.rows().len()), (0, 2_000));
    assert_order_per_key(&server.rows(), "InvoiceNo");
    assert_whole_shop(&server.rows(), &shop);
    // Four lanes learn the limit at the same time, each from a request of its own.
    assert!(summary.counts.rows_sent_again < 2_000, "{:?}", summary.counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_row_that_is_too_large_is_refused_and_the_others_arrive() {
    let text = format!("InvoiceNo,Text\n1,a\n2,{}\n3,b\n", "x".repeat(5_000));
    let (_folder, path) = file(text);
    let server = Server::start(Config { max_body: Some(1_000), ..Config::default() }).await;
    let summary = run(options(&path, &server)).await.unwrap();
    assert_eq!((summary.counts.rows_accepted, summary.counts.rows_refused, summary.exit_code()), (2, 1, 3));
    let rejects = std::fs::read_to_string(summary.rejects.unwrap()).unwrap();
    assert!(rejects.contains("3,too_large,,the body is too large,"), "{rejects}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_comes_up_later_is_waited_for() {
    let shop = Shop::new(100);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let progress = Arc::new(Progress::new());
    let options = SendOptions::new(Input::File(shop.file()), Some(format!("http://{address}/orders")));
    let running = tokio::spawn(send(options, progress.clone(), CancellationToken::new()));
    wait_for(|| progress.snapshot().trouble.is_some()).await;
    let server = Server::on(TcpListener::bind(address).await.unwrap(), shop_endpoint());
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.exit_code(), server.rows().len()), (0, 100));
    assert_eq!(progress.snapshot().trouble, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gives_up_when_it_was_told_to() {
    let shop = Shop::new(1_000);
    let server = Server::start(shop_endpoint()).await;
    server.fail_with(std::iter::repeat_n(Fault::Status(503, None), 1_000));
    let mut options = options(&shop.file(), &server);
    options.give_up_after = Some(Duration::from_millis(300));
    let summary = run(options.clone()).await.unwrap();
    assert!(matches!(summary.end, End::GaveUp { .. }), "{:?}", summary.end);
    assert_eq!((summary.exit_code(), summary.counts.rows_accepted), (4, 0));
    assert_eq!(summary.rows_unsent, summary.counts.rows_selected);
    drop(server);
    let error = run(options).await.unwrap_err();
    assert_eq!((error.reason(), error.exit_code()), ("gave_up", 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hangs_is_ended_and_sent_again() {
    let shop = Shop::new(100);
    let server = Server::start(shop_endpoint()).await;
    server.fail_with([Fault::Hang]);
    let mut options = options(&shop.file(), &server);
    options.request_timeout = Duration::from_millis(300);
    let summary = run(options).await.unwrap();
    assert_eq!((summary.exit_code(), server.rows().len()), (0, 100));
    assert!(summary.counts.rows_doubtful > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_of_an_ingest_endpoint_end_the_run() {
    let shop = Shop::new(100);
    for (fault, reason) in [
        (Fault::Answer(200, "text/html", "<html>hello</html>"), "protocol"),
        (Fault::Answer(200, "application/json", "{\"accepted\":1,\"refused\":0}"), "protocol"),
        (Fault::Answer(404, "text/plain", "nothing here"), "refused"),
        (Fault::Answer(307, "text/plain", ""), "refused"),
        (Fault::Answer(422, "application/problem+json", "{\"detail\":\"no\"}"), "refused"),
        (Fault::Answer(501, "text/plain", ""), "refused"),
    ] {
        let server = Server::start(shop_endpoint()).await;
        server.fail_with(std::iter::repeat_n(fault.clone(), 100));
        let summary = run(options(&shop.file(), &server)).await.unwrap();
        let End::Failed(error) = &summary.end else { panic!("{fault:?}: {:?}", summary.end) };
        assert_eq!((error.reason(), summary.exit_code()), (reason, 1), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_while_it_is_sent_is_told() {
    let shop = Shop::new(2_000);
    let server = Server::start(shop_endpoint()).await;
    // The lane whose request waits fills up, and the reader with it.
    let release = Arc::new(tokio::sync::Notify::new());
    server.fail_with([Fault::Wait(release.clone())]);
    let running = tokio::spawn(run(options(&shop.file(), &server)));
    server.took(1).await;
    let mut file = std::fs::OpenOptions::new().append(true).open(shop.file()).unwrap();
    std::io::Write::write_all(&mut file, b"1,2,3,4,12/1/2011 8:00,6,7,8\r\n").unwrap();
    release.notify_one();
    let summary = running.await.unwrap().unwrap();
    let error = summary.end.error().unwrap();
    assert!(summary.exit_code() == 1 && error.contains("changed"), "{error}");
}

/// Waits for a condition, with a deadline.
pub(crate) async fn wait_for(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the condition came true in time");
}
