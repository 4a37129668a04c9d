//! Clients that are killed or stopped, and go on.

use penstock_client::{End, JournalOptions};
use server::Fault;

use super::*;

fn resumable(shop: &Shop, server: &Server) -> SendOptions {
    let mut options = options(&shop.file(), server);
    options.journal = Some(JournalOptions { path: shop.path("journal"), resume: true });
    options
}

/// Runs again for as long as the client that was killed has not let go of the journal.
async fn resume(options: &SendOptions) -> Summary {
    loop {
        match run(options.clone()).await {
            Err(SendError::JournalBusy { .. }) => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_at_any_moment_goes_on_where_it_was() {
    let shop = Shop::new(4_000);
    let server = Server::start(shop_endpoint()).await;
    let options = resumable(&shop, &server);
    let mut random = fastrand::Rng::with_seed(7);
    let mut target = 0;
    for _ in 0..12 {
        target += random.usize(1..320);
        server.fail_with([Fault::LoseAnswer, Fault::RetryLast(10)]);
        let running = tokio::spawn({
            let options = options.clone();
            async move { resume(&options).await }
        });
        server.took(target).await;
        running.abort();
        let _ = running.await;
    }
    let summary = resume(&options).await;
    assert!(matches!(summary.end, End::Complete), "{:?}", summary.end);
    assert_eq!(summary.exit_code(), 0);
    assert!(summary.counts.rows_settled_before > 0);
    assert_eq!(summary.total.accepted, 4_000);
    let rows = server.rows();
    assert_whole_shop(&rows, &shop);
    // Each kill repeats at most what was on its way or not yet noted, not the file.
    assert!(rows.len() < 4_000 + 13 * 4 * 3 * 100, "{}", rows.len());
    assert!(rows.len() < 12_000, "{}", rows.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_asked_to_stop_notes_what_was_settled_and_repeats_nothing() {
    let shop = Shop::new(4_000);
    let server = Server::start(shop_endpoint()).await;
    let mut options = resumable(&shop, &server);
    options.rate = std::num::NonZeroU32::new(5_000);
    let stop = CancellationToken::new();
    let running = tokio::spawn(send(options.clone(), Arc::new(Progress::new()), stop.clone()));
    server.took(500).await;
    stop.cancel();
    let summary = running.await.unwrap().unwrap();
    assert!(matches!(summary.end, End::Interrupted) && summary.exit_code() == 130);
    let before = server.rows().len() as u64;
    assert_eq!(summary.counts.rows_accepted, before, "every row that was taken is counted");
    assert!(before < 4_000);
    options.rate = None;
    let summary = run(options).await.unwrap();
    assert_eq!(summary.counts.rows_settled_before, before);
    assert_eq!(server.rows().len(), 4_000, "nothing came twice");
    assert_whole_shop(&server.rows(), &shop);
    assert_eq!((summary.exit_code(), summary.counts.rows_sent), (0, 4_000 - before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_sent_to_its_end_is_not_sent_again() {
    let shop = Shop::new(500);
    let server = Server::start(Config { refuse: Some("\"C5"), ..shop_endpoint() }).await;
    let options = resumable(&shop, &server);
    let first = run(options.clone()).await.unwrap();
    assert_eq!(first.exit_code(), 3);
    let requests = server.requests().len();
    let again = run(options.clone()).await.unwrap();
    assert!(matches!(again.end, End::AlreadyComplete), "{:?}", again.end);
    assert_eq!((again.exit_code(), again.total), (3, first.total), "the outcome is that of the whole file");
    assert_eq!(server.requests().len(), requests);
    assert!(shop.path("orders.csv.rejected.csv").exists(), "the rejects of the first run stay");
    let mut anew = options;
    anew.journal = Some(JournalOptions { path: shop.path("journal"), resume: false });
    assert_eq!(run(anew).await.unwrap_err().reason(), "journal_exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_of_runs_that_were_stopped_are_there_once_each() {
    let shop = Shop::new(3_000);
    let server = Server::start(Config { refuse: Some("\"C5"), ..shop_endpoint() }).await;
    let options = resumable(&shop, &server);
    for target in [200, 700, 1_300] {
        let running = tokio::spawn({
            let options = options.clone();
            async move { resume(&options).await }
        });
        server.took(target).await;
        running.abort();
        let _ = running.await;
    }
    let summary = resume(&options).await;
    assert_eq!(summary.total.refused, shop.totals.cancellation_rows);
    let rejects = csv::Reader::from_path(summary.rejects.unwrap()).unwrap().into_records().map(|row| row.unwrap());
    let lines: Vec<String> = rejects.map(|row| row[0].to_owned()).collect();
    assert_eq!(lines.len() as u64, shop.totals.cancellation_rows);
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_another_file_or_choice_is_refused() {
    let (shop, other) = (Shop::new(100), Shop::new(101));
    let server = Server::start(shop_endpoint()).await;
    let options = resumable(&shop, &server);
    run(options.clone()).await.unwrap();
    let mut changed = options.clone();
    changed.input = Input::File(other.file());
    let error = run(changed).await.unwrap_err();
    assert!(error.reason() == "journal_mismatch" && error.to_string().contains("--journal"), "{error}");
    let mut changed = options;
    changed.select.limit = Some(10);
    assert_eq!(run(changed).await.unwrap_err().reason(), "journal_mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_without_a_name_cannot_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let server = Server::start(shop_endpoint()).await;
    let mut options = options(&path, &server);
    options.journal = Some(JournalOptions { path: folder.path().join("journal"), resume: true });
    let running = tokio::spawn(run(options));
    tokio::task::spawn_blocking(move || std::fs::write(path, "InvoiceNo,StockCode,Quantity,UnitPrice\n1,2,3,4\n"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(running.await.unwrap().unwrap_err().reason(), "nameless_journal");
}
