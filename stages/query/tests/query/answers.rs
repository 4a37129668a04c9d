//! What is answered: items, pages, conditions, filters, totals, groups, orders, formats.

use crate::common::{Asked, Tables, number, text};
use axum::http::Method;
use serde_json::json;

const LISTS: &str = r#"
routes:
  - { path: "/lines/{no}", table: lines, limits: { page: 4, maxPage: 50 } }
  - { path: "/newest/{no}", table: lines, order: Descending, limits: { page: 3 } }
  - { path: "/line/{no}/{code}", table: lines, sort: { equals: "{code}" } }
  - { path: "/begins/{no}", table: lines, sort: { prefix: "{begin}" } }
  - { path: "/between/{no}", table: lines, sort: { between: { from: "{from}", to: "{to}" } } }
  - { path: "/newer/{no}", table: lines, sort: { newerThan: "{than}" } }
  - path: /chosen/{no}
    table: lines
    fields: [{ name: id, attribute: code }, { name: amount }, { name: absent }]
    filters:
      - { attribute: kind, operator: Equals, value: "{kind}" }
      - { attribute: amount, operator: AtLeast, value: "{least}" }
    parameters: [{ name: least, type: Number }]
    limits: { page: 3 }
  - { path: "/moments/{id}", table: moments, sort: { between: { from: "{from}", to: "{to}" } } }
  - { path: "/single/{id}", table: single, empty: EmptyList }
"#;

async fn ask() -> (Tables, Asked) {
    let tables = Tables::start().await;
    tables.lines("A", 10).await;
    tables.lines("B", 2).await;
    let asked = Asked::start(&tables.url, LISTS).await;
    (tables, asked)
}

fn codes(items: &[serde_json::Value]) -> Vec<&str> {
    items.iter().map(|item| item["code"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_to_the_whole_partition_in_order_and_the_last_has_no_next() {
    let (_tables, asked) = ask().await;
    let (items, pages) = asked.pages("/lines/A").await;
    assert_eq!(pages, 3);
    assert_eq!(codes(&items), ["000", "001", "002", "003", "004", "005", "006", "007", "008", "009"]);
    assert_eq!(
        items[3],
        json!({ "no": "A", "code": "003", "amount": 3.1, "kind": "odd" }),
        "what the sink keeps is left out"
    );
    let (items, pages) = asked.pages("/lines/A?limit=5").await;
    assert_eq!((items.len(), pages), (10, 2), "a page that ends with the partition is the last");
    let (items, _) = asked.pages("/newest/A").await;
    assert_eq!(codes(&items[..3]), ["009", "008", "007"]);
    assert_eq!(items.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_found_by_its_whole_key() {
    let (_tables, asked) = ask().await;
    assert_eq!(asked.get("/line/A/007").await.json()["amount"], 7.1);
    assert_eq!(asked.get("/line/A/070").await.problem(), (404, "not_found".to_owned()));
    assert_eq!(asked.get("/single/x").await.problem(), (404, "not_found".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_on_the_sort_key_choose_and_without_their_parameter_do_not_count() {
    let (tables, asked) = ask().await;
    for (path, wanted) in [
        ("/begins/A?begin=00", 10),
        ("/begins/A?begin=003", 1),
        ("/begins/A", 10),
        ("/between/A?from=002&to=004", 3),
        ("/between/A?from=008", 2),
        ("/between/A?to=001", 2),
        ("/newer/A?than=008", 1),
        ("/newer/A?than=zzz", 0),
        ("/begins/nobody", 0),
    ] {
        let found = asked.get(path).await.json();
        assert_eq!(found["items"].as_array().unwrap().len(), wanted, "{path}");
    }
    for at in ["9", "10", "-3.5"] {
        tables.put("moments", &[("id", number("1")), ("at", number(at))]).await;
    }
    let found = asked.get("/moments/1?from=-4&to=9.5").await.json();
    assert_eq!(
        found["items"],
        json!([{ "id": 1, "at": -3.5 }, { "id": 1, "at": 9 }]),
        "numbers are ordered as numbers"
    );
    let twisted = asked.get("/between/A?from=004&to=002").await;
    assert_eq!(twisted.problem().0, 400);
    assert_eq!(asked.get("/moments/1?from=10&to=9").await.problem().0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_chosen_and_renamed_and_pages_of_what_filters_leave_are_full() {
    let (_tables, asked) = ask().await;
    let (items, pages) = asked.pages("/chosen/A?kind=odd").await;
    assert_eq!((items.len(), pages), (5, 2));
    assert_eq!(items[0], json!({ "id": "001", "amount": 1.1, "absent": null }));
    let (items, _) = asked.pages("/chosen/A?kind=odd&least=5.1").await;
    assert_eq!(items.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_are_answered_as_they_are_stored() {
    let (tables, asked) = ask().await;
    let digits = "12345678901234567890123456789.012345678";
    tables.put("lines", &[("no", text("D")), ("code", text("x")), ("amount", number(digits))]).await;
    let body = asked.get("/lines/D").await.text();
    assert!(body.contains(&format!("\"amount\":{digits}")), "{body}");
}

const TOTALS: &str = r#"
routes:
  - path: /history/{no}
    table: lines
    fields: [{ name: code }, { name: amount }]
    totals: &totals
      - { name: lines, aggregate: Count }
      - { name: sum, aggregate: Sum, attribute: amount }
      - { name: average, aggregate: Average, attribute: amount }
      - { name: least, aggregate: Min, attribute: amount }
      - { name: most, aggregate: Max, attribute: amount }
    limits: { page: 4 }
    empty: NotFound
  - { path: "/sum/{no}", table: lines, answer: Totals, totals: *totals, sort: { prefix: "{begin}" } }
  - { path: "/kinds/{no}", table: lines, groupBy: [kind], totals: *totals, orderBy: sum, order: Descending }
  - { path: "/both", table: lines, partitions: [A, B], groupBy: [no], totals: *totals }
  - { path: "/top/{no}", table: lines, fields: [{ name: code }, { name: amount }], orderBy: amount, order: Descending, limits: { page: 3 } }
  - { path: "/few/{no}", table: lines, answer: Totals, totals: *totals, limits: { readItems: 9 } }
  - { path: "/small/{no}", table: lines, answer: Totals, totals: *totals, limits: { readBytes: "100" } }
"#;

async fn ask_totals() -> (Tables, Asked) {
    let tables = Tables::start().await;
    tables.lines("A", 10).await;
    tables.lines("B", 2).await;
    let asked = Asked::start(&tables.url, TOTALS).await;
    (tables, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_over_the_whole_answer_whatever_its_pages() {
    let (_tables, asked) = ask_totals().await;
    let wanted = json!({ "lines": 10, "sum": 46, "average": 4.6, "least": 0.1, "most": 9.1 });
    let first = asked.get("/history/A").await.json();
    assert_eq!((first["items"].as_array().unwrap().len(), &first["totals"]), (4, &wanted));
    let (items, pages) = asked.pages("/history/A").await;
    assert_eq!((items.len(), pages), (10, 3));
    assert_eq!(asked.get("/sum/A").await.json(), wanted);
    assert_eq!(asked.get("/history/nobody").await.problem(), (404, "not_found".to_owned()));
    let of_none = json!({ "lines": 0, "sum": 0, "average": null, "least": null, "most": null });
    assert_eq!(asked.get("/sum/nobody").await.json(), of_none);
    assert_eq!(asked.get("/sum/A?begin=009").await.json()["sum"], 9.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_added_up_and_ordered() {
    let (_tables, asked) = ask_totals().await;
    let kinds = asked.get("/kinds/A").await.json();
    let line = |index: usize| (kinds["items"][index]["kind"].clone(), kinds["items"][index]["sum"].clone());
    assert_eq!(line(0), (json!("odd"), json!(25.5)));
    assert_eq!(line(1), (json!("even"), json!(20.5)));
    assert!(kinds.get("totals").is_none(), "{kinds}");
    let both = asked.get("/both").await.json();
    assert_eq!((&both["items"][0]["sum"], &both["items"][1]["sum"]), (&json!(46), &json!(1.2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_an_order_are_its_first_page() {
    let (_tables, asked) = ask_totals().await;
    let top = asked.get("/top/A?limit=2").await.json();
    assert_eq!(top["items"], json!([{ "code": "009", "amount": 9.1 }, { "code": "008", "amount": 8.1 }]));
    let (items, pages) = asked.pages("/top/A").await;
    assert_eq!((items.len(), pages, &items[9]["code"]), (10, 4, &json!("000")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_take_too_much_reading_is_refused() {
    let (_tables, asked) = ask_totals().await;
    assert_eq!(asked.get("/few/A").await.problem(), (422, "too_much_to_read".to_owned()));
    assert_eq!(asked.get("/small/A").await.problem(), (422, "too_much_to_read".to_owned()));
    assert_eq!(asked.get("/few/B").await.json()["lines"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_as_lines_whole_or_page_by_page() {
    let (_tables, asked) = ask().await;
    let csv = asked.send(Method::GET, "/chosen/A", &[("accept", "text/csv")]).await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(csv.text().lines().count(), 11);
    assert!(csv.text().starts_with("id,amount,absent\r\n000,0.1,\r\n001,1.1,\r\n"), "{}", csv.text());
    let lines = asked.get("/chosen/A?format=ndjson&kind=odd").await.text();
    assert_eq!(lines.lines().count(), 5);
    assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    let page = asked.get("/chosen/A?format=csv&limit=2").await;
    assert_eq!(page.text().lines().count(), 3);
    let link = page.header("link").to_owned();
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    assert_eq!(asked.get(next).await.text(), "id,amount,absent\r\n002,2.1,\r\n003,3.1,\r\n");
    let without_fields = asked.get("/lines/A?format=csv").await;
    assert_eq!(without_fields.problem(), (406, "not_acceptable".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_streamed_over_several_reads_and_compressed_as_it_goes() {
    let tables = Tables::start().await;
    let long = "x".repeat(100_000);
    for index in 0..30 {
        let code = format!("{index:03}");
        tables.put("lines", &[("no", text("L")), ("code", text(&code)), ("amount", text(&long))]).await;
    }
    let asked = Asked::start(&tables.url, LISTS).await;
    let plain = asked.get("/chosen/L?format=csv").await;
    assert_eq!((plain.text().lines().count(), plain.header("content-encoding")), (31, ""));
    let packed = asked.send(Method::GET, "/chosen/L?format=csv", &[("accept-encoding", "zstd")]).await;
    assert_eq!(packed.header("content-encoding"), "zstd");
    assert!(zstd::decode_all(&packed.body[..]).unwrap() == plain.body);
    assert!(packed.body.len() < 20_000);
}
