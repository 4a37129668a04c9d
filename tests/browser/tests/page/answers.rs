//! What apis answer, drawn: the shop's own charts.

use std::time::{Duration, Instant};

use penstock_browser::Browser;
use penstock_faults::Ready;
use serde_json::{Value, json};

use super::{ROWS, browser, pictures, run_example, send};

/// The heading of a chart, the route that it draws, its name and its number.
const CHARTS: [(&str, &str, &str, &str); 4] = [
    ("Revenue by day", "/months/2010-12/sales-by-day?limit=366", "Day", "revenue"),
    ("Revenue by country", "/months/2010-12/sales-by-country?limit=10", "Country", "revenue"),
    ("Most sold products", "/months/2010-12/most-sold?limit=10", "Description", "pieces"),
    ("Most valuable products", "/months/2010-12/most-valuable?limit=10", "Description", "revenue"),
];

/// How long a chart may take to show what is stored: it is asked for anew every ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name and the number of each line that the api answers, asked with its key.
async fn answered(ready: &Ready, (_, path, name, number): (&str, &str, &str, &str)) -> Vec<(String, f64)> {
    let api = &ready.apis[0];
    let key = std::fs::read_to_string(api.api_key_file.as_ref().unwrap()).unwrap();
    let url = format!("{}{path}", api.url.trim_end_matches('/'));
    let answer = penstock_browser::get_json(&url, key.trim()).await.unwrap();
    let line = |line: &Value| (line[name].as_str().unwrap_or("–").to_owned(), line[number].as_f64().unwrap());
    answer["items"].as_array().unwrap().iter().map(line).collect()
}

/// What a chart shows, as its table has it.
async fn shown(browser: &Browser, heading: &str) -> Vec<(String, f64)> {
    let rows = format!(
        "const chart = [...document.querySelectorAll('section.answer')].find((one) => one.innerText.startsWith('{heading}')); \
         return [...(chart?.querySelectorAll('tbody tr') ?? [])].map((row) => [row.cells[0].textContent, Number(row.cells[1].textContent.replaceAll(',', ''))]);"
    );
    serde_json::from_value(browser.run(&rows).await.unwrap()).unwrap()
}

fn are_same(left: &[(String, f64)], right: &[(String, f64)]) -> bool {
    let is_same = |((left, a), (right, b)): (&(String, f64), &(String, f64))| left == right && (a - b).abs() < 0.001;
    left.len() == right.len() && left.iter().zip(right).all(is_same)
}

/// Waits until a chart shows these.
async fn draws(browser: &Browser, heading: &str, expected: &[(String, f64)]) {
    let begun = Instant::now();
    loop {
        let shown = shown(browser, heading).await;
        if are_same(&shown, expected) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{heading}: {shown:?} is shown, {expected:?} is answered");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whole months make the better pictures.
fn rows() -> u32 {
    if std::env::var_os("PENSTOCK_PICTURES").is_some() { ROWS } else { 4_000 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shops_charts_show_what_its_api_answers_and_can_be_asked_for_another_month() {
    let Some(browser) = browser(1300, 1500, false).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = run_example(folder.path(), "ecommerce/analytics.yaml");
    let mut client = send(&server.ready, folder.path(), rows());
    while client.ended().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    browser.open(&server.ready.page_url).await.unwrap();
    let all = "return fetch('api/pipelines/default/ecommerce').then((answer) => answer.json()).then(({ nodes }) => \
               nodes.find((node) => node.title === 'tables')?.numbers.find((number) => number.name === 'stored in all').value)";
    let is_stored = format!("return (async () => {{ {all} }})().then((stored) => stored === {})", rows());
    browser.eventually("all rows are stored", &is_stored).await.unwrap();
    for chart in CHARTS {
        let expected = answered(&server.ready, chart).await;
        assert!(!expected.is_empty(), "{chart:?}");
        draws(&browser, chart.0, &expected).await;
    }
    picture(&browser, folder.path(), "page-charts.png").await;

    // By keyboard: along the line, and into the field of the month.
    browser.run("document.querySelector('.of-line').focus()").await.unwrap();
    browser.press("\u{e014}").await.unwrap();
    let first = answered(&server.ready, CHARTS[0]).await.remove(0).0;
    let told = format!(
        "return document.querySelector('.of-line').closest('section').querySelector('.told').textContent.startsWith('{first}: ')"
    );
    browser.eventually("the first day is told", &told).await.unwrap();
    browser.run("document.querySelector('section.answer input[name=Month]').focus()").await.unwrap();
    browser.press("1999-01\u{e007}").await.unwrap();
    let is_empty = "return [...document.querySelectorAll('.told')].some((told) => told.textContent.includes('nothing of this is stored'))";
    browser.eventually("there is nothing of another month", is_empty).await.unwrap();
    drop(browser);

    for (width, height, dark, file) in
        [(1300, 1500, true, "page-charts-dark.png"), (420, 1500, false, "page-charts-phone.png")]
    {
        let Some(browser) = super::browser(width, height, dark).await else { return };
        browser.open(&server.ready.page_url).await.unwrap();
        let drawn = "return document.querySelectorAll('section.answer tbody tr').length > 20";
        browser.eventually("charts are drawn", drawn).await.unwrap();
        let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(browser.run(fits).await.unwrap(), json!(true), "{file}: it is wider than the window");
        picture(&browser, folder.path(), file).await;
    }
    assert!(server.drain(Duration::from_secs(60)).unwrap().success());
}

async fn picture(browser: &Browser, folder: &std::path::Path, file: &str) {
    browser.run("document.querySelector('section.answer').parentElement.previousElementSibling.scrollIntoView(); window.scrollBy(0, -90)").await.unwrap();
    browser.picture(&pictures(folder).join(file)).await.unwrap();
}
