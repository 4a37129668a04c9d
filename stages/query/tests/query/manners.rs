//! How the API behaves towards whoever asks: keys, rates, bad parameters, tokens, caches, origins, failures.

use crate::common::{Asked, Tables, stage};
use axum::http::Method;
use axum::response::IntoResponse as _;
use serde_json::json;
use tokio::net::TcpListener;

const OPEN: &str = r#"
cors: { origins: ["https://shop.example"], maxAge: 1h }
routes:
  - path: /lines/{no}
    description: The lines <of> an invoice.
    table: lines
    parameters: [{ name: kind, values: [odd, even] }]
    filters: [{ attribute: kind, operator: Equals, value: "{kind}" }]
    limits: { page: 2, maxPage: 5 }
  - { path: "/other/{no}", table: lines, limits: { page: 2 } }
  - { path: "/days/{day}", table: lines, partition: "{day}", parameters: [{ name: day, type: Date }], consistentReads: Never }
  - { path: "/whole/{no}", table: lines, totals: [{ name: n, aggregate: Count }], limits: { page: 2 } }
  - { path: "/must", table: lines, partition: "{no}" }
"#;

async fn ask() -> (Tables, Asked) {
    let tables = Tables::start().await;
    tables.lines("A", 6).await;
    tables.lines("B", 6).await;
    let asked = Asked::start(&tables.url, OPEN).await;
    (tables, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_parameter_is_told_with_what_was_expected() {
    let (_tables, asked) = ask().await;
    for (path, expected) in [
        ("/lines/A?limit=0", "from 1 to 5"),
        ("/lines/A?limit=6", "from 1 to 5"),
        ("/lines/A?limit=x", "from 1 to 5"),
        ("/lines/A?limit=%2B1", "from 1 to 5"),
        ("/lines/A?kind=prime", "odd, even"),
        ("/lines/A?kind=odd&kind=even", "more than once"),
        ("/lines/A?limits=1", "kind, limit, next, format, consistent"),
        ("/lines/A?format=xml", "json, ndjson or csv"),
        ("/lines/A?consistent=yes", "true or false"),
        ("/days/2010-02-30", "a day such as 2010-12-01"),
        ("/days/2010-02-03?consistent=true", "limit, next, format"),
        ("/lines/%FF", "UTF-8"),
        ("/must", "it is missing"),
        ("/must?no=", "1 to 256"),
    ] {
        let answer = asked.get(path).await;
        assert_eq!(answer.problem(), (400, "bad_parameter".to_owned()), "{path}");
        assert!(answer.text().contains(expected), "{path}: {}", answer.text());
    }
    let long = "x".repeat(257);
    assert_eq!(asked.get(&format!("/lines/{long}")).await.problem().0, 400);
    assert_eq!(asked.get("/lines/A?consistent=true").await.status, 200);
    assert_eq!(asked.get("/lines/a%2Fb%20%22%00").await.json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_not_there_and_a_method_that_it_has_not_are_told() {
    let (_tables, asked) = ask().await;
    for path in ["/nothing", "/lines", "/lines/", "/lines/A/", "/lines/A/b"] {
        assert_eq!(asked.get(path).await.problem(), (404, "no_route".to_owned()), "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = asked.send(method, "/lines/A", &[]).await;
        assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()));
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
    }
    let head = asked.send(Method::HEAD, "/lines/A", &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert!(!head.header("etag").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_question_alone_and_after_a_restart() {
    let (tables, asked) = ask().await;
    let next = asked.get("/lines/A?kind=odd").await.json()["next"].as_str().unwrap().to_owned();
    let again = Asked::start(&tables.url, OPEN).await;
    let page = again.get(&format!("/lines/A?kind=odd&next={next}")).await.json();
    assert_eq!(page["items"][0]["code"], "005");
    let mut tampered = next.clone();
    tampered.replace_range(20..21, if &next[20..21] == "A" { "B" } else { "A" });
    let whole = asked.get("/whole/A").await.json()["next"].as_str().unwrap().to_owned();
    for path in [
        format!("/lines/B?kind=odd&next={next}"),
        format!("/lines/A?kind=even&next={next}"),
        format!("/lines/A?next={next}"),
        format!("/other/A?next={next}"),
        format!("/whole/A?next={next}"),
        format!("/lines/A?next={whole}"),
        format!("/lines/A?kind=odd&next={tampered}"),
        format!("/lines/A?kind=odd&next={}", &next[1..]),
        "/lines/A?kind=odd&next=".to_owned(),
        format!("/lines/A?kind=odd&next={}", "A".repeat(5000)),
    ] {
        assert_eq!(asked.get(&path).await.problem(), (400, "bad_token".to_owned()), "{path}");
    }
    let other_key = Asked::start(&tables.url, &format!("auth: {{ apiKeys: {{ secretName: keys }} }}{OPEN}")).await;
    let key = [("x-api-key", "key-of-the-shop")];
    let answer = other_key.send(Method::GET, &format!("/lines/A?kind=odd&next={next}"), &key).await;
    assert_eq!(answer.problem().1, "bad_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_client_has_is_not_sent_again() {
    let (tables, asked) = ask().await;
    let first = asked.get("/lines/A").await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = asked.send(Method::GET, "/lines/A", &[("if-none-match", &format!("\"x\", {tag}"))]).await;
    assert_eq!((again.status.as_u16(), again.body.len(), again.header("etag")), (304, 0, tag.as_str()));
    tables
        .put(
            "lines",
            &[
                ("no", crate::common::text("A")),
                ("code", crate::common::text("000")),
                ("new", crate::common::number("1")),
            ],
        )
        .await;
    let changed = asked.send(Method::GET, "/lines/A", &[("if-none-match", &tag)]).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), tag);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_needed_and_each_has_a_rate_of_its_own() {
    let tables = Tables::start().await;
    let api =
        format!("auth: {{ apiKeys: {{ secretName: keys }} }}\nrateLimit: {{ requestsPerSecond: 1, burst: 2 }}{OPEN}");
    let asked = Asked::start(&tables.url, &api).await;
    let with = |key: &'static str| [("authorization", key)];
    let none = asked.get("/lines/A").await;
    assert_eq!(none.problem(), (401, "missing_key".to_owned()));
    assert!(none.header("www-authenticate").starts_with("Bearer"));
    let wrong = asked.send(Method::GET, "/lines/A", &with("Bearer wrong")).await;
    assert_eq!(wrong.problem(), (403, "wrong_key".to_owned()));
    assert_eq!(asked.get("/nothing").await.problem().0, 401, "a path is nobody's business without a key");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(asked.send(Method::GET, "/lines/A", &with("Bearer key-of-the-shop")).await.status.as_u16());
    }
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses[2..].contains(&429), "{statuses:?}");
    assert_eq!(asked.send(Method::GET, "/lines/A", &[("x-api-key", "key-of-the-till")]).await.status, 200);
    assert_eq!(asked.get("/openapi.json").await.status, 200, "how to ask is told to everybody");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_declared_origins_may_read_answers() {
    let (_tables, asked) = ask().await;
    let from = |origin: &'static str| [("origin", origin), ("access-control-request-method", "GET")];
    let known = asked.send(Method::GET, "/lines/A", &from("https://shop.example")).await;
    assert_eq!(known.header("access-control-allow-origin"), "https://shop.example");
    let unknown = asked.send(Method::GET, "/lines/A", &from("https://evil.example")).await;
    assert_eq!(unknown.header("access-control-allow-origin"), "");
    let preflight = asked.send(Method::OPTIONS, "/lines/A", &from("https://shop.example")).await;
    assert_eq!((preflight.status.as_u16(), preflight.header("access-control-max-age")), (204, "3600"));
    assert_eq!(preflight.header("access-control-allow-methods"), "GET, HEAD");
}

/// A service that answers everything with one failure.
async fn failing(code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body =
        json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "stand-in" }).to_string();
    let answer = move || async move {
        (axum::http::StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.0")], body).into_response()
    };
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_throttled_or_missing_is_asked_again_later() {
    for (code, wanted) in [
        ("ProvisionedThroughputExceededException", "table_throttled"),
        ("ResourceNotFoundException", "table_missing"),
        ("AccessDeniedException", "table_unavailable"),
    ] {
        let asked = Asked::start(&failing(code).await, OPEN).await;
        for path in ["/lines/A", "/whole/A", "/lines/A?format=ndjson"] {
            let answer = asked.get(path).await;
            assert_eq!(answer.problem(), (503, wanted.to_owned()), "{path}");
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_answer_costs_no_more_than_the_time_that_an_answer_may_take() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stage = stage(OPEN);
    stage.timeout_millis = 200;
    let asked = Asked::start_stage(&format!("http://{}", listener.local_addr().unwrap()), stage).await;
    for path in ["/lines/A", "/lines/A?format=ndjson"] {
        assert_eq!(asked.get(path).await.problem(), (504, "too_slow".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_describes_itself_to_programs_and_to_people() {
    let (_tables, asked) = ask().await;
    let document = asked.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let operation = &document["paths"]["/lines/{no}"]["get"];
    assert_eq!(operation["summary"], "The lines <of> an invoice.");
    let names: Vec<_> = operation["parameters"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["no", "kind", "limit", "next", "format", "consistent"]);
    assert_eq!(operation["parameters"][1]["schema"]["enum"], json!(["odd", "even"]));
    let page = asked.get("/").await;
    assert!(page.text().contains("The lines &lt;of&gt; an invoice."), "{}", page.text());
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.text().contains("<script") && !page.text().contains("http://") && !page.text().contains("https://"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_asked_to_end_ends() {
    let (_tables, asked) = ask().await;
    assert_eq!(asked.get("/lines/A").await.status, 200);
    asked.stop.drain.cancel();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), asked.running.finished());
    ended.await.unwrap().unwrap();
}
