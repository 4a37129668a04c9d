//! The page in a real browser, while a real month of rows flows.
#![allow(clippy::unwrap_used, reason = "tests")]

mod answers;
mod inside;
mod list;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use penstock_api::spec::Pipeline;
use penstock_browser::Browser;
use penstock_conformance::{may_skip, penstock};
use penstock_console::{Access, Events, Fixed, ProcessAt, StageAt, Subject, serve};
use penstock_faults::{Client, Ready, Server, ServerOptions, root, sample};
use tokio_util::sync::CancellationToken;

const ROWS: u32 = 42_481;
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

/// A browser, or a word about why the test is left out.
async fn browser(width: u32, height: u32, dark: bool) -> Option<Browser> {
    match Browser::start(width, height, dark).await {
        Ok(browser) => Some(browser),
        Err(error) => {
            may_skip("the page's tests", &error).unwrap();
            eprintln!("left out: {error:#}");
            None
        }
    }
}

fn run(folder: &Path) -> Server {
    run_example(folder, "ecommerce/pipeline.yaml")
}

fn run_example(folder: &Path, example: &str) -> Server {
    let pipeline = root().join("examples").join(example);
    let options = ServerOptions::new(&penstock().unwrap(), &pipeline, &folder.join("data")).unwrap();
    Server::start(&options).unwrap()
}

fn send(ready: &Ready, folder: &Path, rows: u32) -> Client {
    let file = folder.join("shop.csv");
    sample(&penstock().unwrap(), rows.into(), 3, &file).unwrap();
    Client::start(&penstock().unwrap(), &file, &ready.sources[0], &folder.join("journal"), &[]).unwrap()
}

/// The number under a name in the box of a part, as the page shows it.
fn number(part: &str, name: &str) -> String {
    format!(
        "const box = [...document.querySelectorAll('.graph g')].find((group) => \
           group.querySelector('text.title')?.textContent === '{part}'); \
         const texts = [...(box?.querySelectorAll('text') ?? [])]; \
         const at = texts.findIndex((text) => text.textContent === '{name}'); \
         return at < 0 ? null : texts[at + 1].textContent;"
    )
}

/// Where pictures go: into `docs/` when asked for, else nowhere that stays.
fn pictures(folder: &Path) -> PathBuf {
    std::env::var_os("PENSTOCK_PICTURES").map_or_else(|| folder.to_owned(), PathBuf::from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_flows_while_the_page_is_open_and_its_figures_are_those_of_the_stores() {
    let Some(browser) = browser(1300, 1850, false).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = run(folder.path());
    browser.open(&server.ready.page_url).await.unwrap();
    browser
        .eventually("all stages are ready", "return document.querySelectorAll('.glyph-ready').length === 4")
        .await
        .unwrap();
    let mut client = send(&server.ready, folder.path(), ROWS);
    browser.eventually("rows flow", "return document.querySelectorAll('path.flow').length > 0").await.unwrap();
    browser.picture(&pictures(folder.path()).join("page-flowing.png")).await.unwrap();
    let all = "42.5k";
    // The object of the other sink is still open: nothing is stored before it is whole.
    for (part, name) in [("orders", "accepted in all"), ("tables", "stored in all")] {
        let same = format!("return (() => {{ {} }})() === '{all}'", number(part, name));
        browser.eventually(&format!("{part}: {name} is {all}"), &same).await.unwrap();
    }
    while client.ended().unwrap().is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for (stage, url) in &server.ready.admin {
        let metrics = penstock_browser::get_text(&format!("{url}/metrics")).await.unwrap();
        assert!(metrics.contains("penstock_"), "{stage} has no metrics");
        let of_nobody: Vec<_> = metrics.lines().filter(|line| line.contains("=\"\"")).collect();
        assert!(of_nobody.is_empty(), "{stage} counts for nobody: {of_nobody:?}");
    }
    // To the last row, by the data that the page draws.
    let exact = "return fetch('api/pipelines/default/ecommerce').then((answer) => answer.json()).then(({ nodes }) => \
                 nodes.filter((node) => node.title !== 'raw' && node.kind !== 'api').flatMap((node) => node.numbers.filter((number) => number.name.endsWith('in all')).map((number) => number.value)))";
    assert_eq!(browser.run(exact).await.unwrap(), serde_json::json!([ROWS, ROWS]));
    assert!(server.drain(std::time::Duration::from_secs(60)).unwrap().success());
}

/// Goes on by Tab to what bears this text, and presses Enter.
async fn press_tab_of(browser: &Browser, text: &str) {
    for _ in 0..60 {
        let focused = browser.run("return document.activeElement.textContent").await.unwrap();
        if focused == text {
            return browser.press(&ENTER.to_string()).await.unwrap();
        }
        browser.press(&TAB.to_string()).await.unwrap();
    }
    panic!("{text} cannot be reached by keyboard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_that_die_are_shown_with_since_when() {
    let Some(browser) = browser(420, 1600, false).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = run(folder.path());
    let pipeline = std::fs::read_to_string(root().join("examples/ecommerce/pipeline.yaml")).unwrap();
    let pipeline: Pipeline = serde_yaml::from_str(&pipeline).unwrap();
    let stages = server.ready.admin.iter().map(|(name, url)| StageAt {
        name: name.clone(),
        processes: vec![ProcessAt::at(url.clone())],
        ..StageAt::default()
    });
    let subject = Subject {
        pipeline: Arc::new(pipeline),
        stages: stages.collect(),
        conditions: Vec::new(),
        events: Events::default(),
        trouble: None,
        stores: None,
    };
    let subjects = Arc::new(Fixed(vec![Arc::new(subject)]));
    let stop = CancellationToken::new();
    // A page of its own, which lives on when the stages die.
    let listen = "127.0.0.1:0".parse().unwrap();
    let addr = serve(listen, Access::Loopback, subjects, stop.clone()).await.unwrap();
    browser.open(&format!("http://{addr}/")).await.unwrap();
    browser
        .eventually("all stages are ready", "return document.querySelectorAll('.glyph-ready').length === 4")
        .await
        .unwrap();
    server.kill().unwrap();
    let told = "return document.querySelectorAll('.trouble').length === 4 && \
                document.querySelector('.trouble').innerText.includes('does not answer, since')";
    browser.eventually("four stages do not answer, since a time", told).await.unwrap();
    browser.picture(&pictures(folder.path()).join("page-died.png")).await.unwrap();
    stop.cancel();
    let silent = "return document.getElementById('live').innerText.includes('the console does not answer since')";
    browser.eventually("the page says that nobody answers it", silent).await.unwrap();
}
