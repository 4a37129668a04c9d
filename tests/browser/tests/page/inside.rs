//! A look inside: records, objects, items by key and dead letters.

use std::path::Path;
use std::time::Duration;

use penstock_browser::Browser;
use penstock_faults::{Client, Ready, Server, ServerOptions, root};
use serde_json::json;

use super::{ENTER, browser, number, penstock, pictures, press_tab_of, run, send};

/// What is shown of what was chosen.
const SHOWN: &str = "document.querySelector('[role=tablist] + div')";

async fn all_of(client: &mut Client) {
    while client.ended().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Scrolls to the look inside and writes a picture of it.
async fn picture(browser: &Browser, folder: &Path, file: &str) {
    let see = "document.querySelector('[role=tablist]').parentElement.scrollIntoView(); window.scrollBy(0, -90)";
    browser.run(see).await.unwrap();
    let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
    assert_eq!(browser.run(fits).await.unwrap(), json!(true), "{file}: it is wider than the window");
    browser.picture(&pictures(folder).join(file)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_inside_shows_records_items_and_dead_letters_by_keyboard() {
    let Some(browser) = browser(1300, 1000, true).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = run(folder.path());
    let mut client = send(&server.ready, folder.path(), 300);
    all_of(&mut client).await;
    browser.open(&server.ready.page_url).await.unwrap();
    browser
        .eventually("there is something to choose", "return document.querySelector('[role=tab]') !== null")
        .await
        .unwrap();

    press_tab_of(&browser, "Records of events").await;
    browser
        .eventually("records are shown", "return document.querySelectorAll('[role=tablist] + div td').length > 20")
        .await
        .unwrap();
    let invoice = "const record = document.querySelector('[role=tablist] + div pre').textContent; return JSON.parse(record).InvoiceNo";
    let invoice = browser.run(invoice).await.unwrap();
    picture(&browser, folder.path(), "page-records.png").await;

    // An item is looked for once, when somebody asks.
    let stored = format!("return (() => {{ {} }})() === '300'", number("tables", "stored in all"));
    browser.eventually("all rows are items", &stored).await.unwrap();
    press_tab_of(&browser, "Items of ecommerce-invoices").await;
    browser.press(&format!("{}{ENTER}", invoice.as_str().unwrap())).await.unwrap();
    let found =
        format!("return document.querySelector('[role=tablist] + div table')?.innerText.includes({invoice}) ?? false");
    browser.eventually("the invoice's items are shown", &found).await.unwrap();
    picture(&browser, folder.path(), "page-items.png").await;

    press_tab_of(&browser, "Dead letters of tables").await;
    browser
        .eventually("it says that there are none", "return document.body.innerText.includes('No dead letters')")
        .await
        .unwrap();
    assert!(server.drain(Duration::from_secs(60)).unwrap().success());
}

/// The shop, whose objects are closed after a second.
fn run_with_small_objects(folder: &Path) -> Server {
    let example = std::fs::read_to_string(root().join("examples/ecommerce/pipeline.yaml")).unwrap();
    let changed = example.replace("age: 5m", "age: 1s");
    assert_ne!(example, changed, "the example has another rotation");
    let file = folder.join("pipeline.yaml");
    std::fs::write(&file, changed).unwrap();
    Server::start(&ServerOptions::new(&penstock().unwrap(), &file, &folder.join("data")).unwrap()).unwrap()
}

/// Sends rows that the schema takes and DynamoDB refuses, of so many invoices that they come in several shards.
async fn send_spoilt(ready: &Ready, folder: &Path) {
    let row = |invoice: u32| {
        format!("{invoice},22423,REGENCY CAKESTAND 3 TIER,1,12/1/2010 8:26,1e200,17850,United Kingdom\n")
    };
    let rows: String = (540_000..540_012).map(row).collect();
    let file = folder.join("spoilt.csv");
    let head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
    std::fs::write(&file, format!("{head}{rows}")).unwrap();
    let source = &ready.sources[0];
    let mut client = Client::start(&penstock().unwrap(), &file, source, &folder.join("spoilt-journal"), &[]).unwrap();
    all_of(&mut client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_and_the_dead_letters_of_every_shard_are_shown_with_reason_and_original() {
    let folder = tempfile::tempdir().unwrap();
    let server = run_with_small_objects(folder.path());
    all_of(&mut send(&server.ready, folder.path(), 300)).await;
    send_spoilt(&server.ready, folder.path()).await;
    for (width, dark, kind) in [(1300, false, ""), (1300, true, "-dark"), (390, false, "-phone")] {
        let Some(browser) = browser(width, 1000, dark).await else { return };
        browser.open(&server.ready.page_url).await.unwrap();
        let counted = format!("return (() => {{ {} }})() === '12'", number("tables", "dead letters"));
        browser.eventually("twelve dead letters are counted", &counted).await.unwrap();
        press_tab_of(&browser, "Dead letters of tables").await;
        let all = format!(
            "const rows = [...{SHOWN}.querySelectorAll('tbody tr')]; return rows.length === 12 && rows.map((row) => row.cells[3].textContent)"
        );
        let letters = browser.eventually("all twelve are shown", &all).await.unwrap();
        assert!((540_000..540_012).all(|invoice| letters.to_string().contains(&invoice.to_string())), "{letters}");
        let shards = format!(
            "return new Set([...{SHOWN}.querySelectorAll('tbody tr')].map((row) => row.cells[2].textContent.split(' ')[0])).size > 1"
        );
        assert_eq!(browser.run(&shards).await.unwrap(), json!(true), "they are of one shard only");
        let says = format!("return {SHOWN}.querySelector('tbody tr').cells[1].textContent");
        let says = browser.run(&says).await.unwrap();
        assert!(says.as_str().unwrap().starts_with("Amount: the number"), "{says}");
        picture(&browser, folder.path(), &format!("page-letters{kind}.png")).await;

        press_tab_of(&browser, "Dead letters of raw").await;
        let none = format!("return {SHOWN}.innerText.includes('No dead letters')");
        browser.eventually("those of another sink are not shown", &none).await.unwrap();

        press_tab_of(&browser, "Objects of raw").await;
        let objects =
            format!("return {SHOWN}.querySelectorAll('tbody tr').length > 0 && {SHOWN}.innerText.includes('.jsonl')");
        browser.eventually("objects are shown", &objects).await.unwrap();
        picture(&browser, folder.path(), &format!("page-objects{kind}.png")).await;
    }
    let Some(browser) = browser(1300, 900, false).await else { return };
    browser.open(&server.ready.apis[0].url).await.unwrap();
    let routes = "return document.body.innerText.includes('GET /invoices/{InvoiceNo}')";
    browser.eventually("the api shows its routes", routes).await.unwrap();
    browser.picture(&pictures(folder.path()).join("page-api.png")).await.unwrap();
    assert!(server.drain(Duration::from_secs(60)).unwrap().success());
}
