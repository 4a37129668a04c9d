//! Several Pipelines, as the operator of a cluster shows them: those in trouble first.

use std::sync::Arc;

use penstock_api::spec::{Condition, ConditionStatus, Pipeline};
use penstock_console::{Access, Admin, Event, Events, Fixed, ProcessAt, StageAt, Subject, serve};
use penstock_faults::root;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{browser, pictures, press_tab_of};

fn condition(condition_type: &str, is_so: bool, reason: &str, message: &str) -> Condition {
    Condition {
        condition_type: condition_type.to_owned(),
        status: if is_so { ConditionStatus::True } else { ConditionStatus::False },
        observed_generation: Some(1),
        last_transition_time: "2026-11-27T08:00:00Z".to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

fn events() -> Vec<Event> {
    let event = |last: &str, times, is_warning, reason: &str, message: &str| Event {
        last: last.to_owned(),
        times,
        is_warning,
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    let throttled = "AWS throttles the operator: it is tried again in 4 s";
    vec![
        event("2026-11-27T08:00:00Z", 1, false, "Ready", "4 of 4 stages work"),
        event("2026-11-27T07:58:00Z", 3, true, "Throttled", throttled),
    ]
}

/// A process that says that it is ready, whatever it is asked; gives its URL.
async fn process() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            // Whoever sends nothing gets no answer; who asked may have gone.
            let _ = connection.read(&mut [0; 1024]).await;
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    url
}

/// A Pipeline of the shop whose stages have a process that is ready each, but for what Kubernetes says of `raw`.
fn subject(name: &str, conditions: Vec<Condition>, ready: &str, raw: Option<Admin>) -> Arc<Subject> {
    let text = std::fs::read_to_string(root().join("examples/ecommerce/pipeline.yaml")).unwrap();
    let mut pipeline: Pipeline = serde_yaml::from_str(&text).unwrap();
    pipeline.metadata.name = name.to_owned();
    pipeline.metadata.namespace = Some("shop".to_owned());
    let stage = |stage: &str| {
        let of_raw = raw.clone().filter(|_| stage == "raw");
        let admin = of_raw.unwrap_or_else(|| Admin::At(ready.to_owned()));
        let process = ProcessAt { name: format!("{name}-{stage}-6d4f8"), admin };
        StageAt { name: stage.to_owned(), processes: vec![process], ..StageAt::default() }
    };
    let stages = ["orders", "raw", "tables", "shop"].map(stage).into();
    let events = Events { newest: events(), trouble: None };
    Arc::new(Subject { pipeline: Arc::new(pipeline), stages, conditions, events, trouble: None, stores: None })
}

fn cluster(ready: &str) -> Fixed {
    let denied = "the operator may not create the table \"returns-customers\": add dynamodb:CreateTable to its policy; \
                  `penstock iam-policy` prints what it needs";
    let stalled =
        vec![condition("Ready", false, "AccessDenied", denied), condition("Stalled", true, "AccessDenied", denied)];
    let works = condition("Ready", true, "Ready", "4 of 4 stages work");
    let fine = || vec![works.clone(), condition("Stalled", false, "NothingToDo", "nobody has to act")];
    let rolls = vec![condition("Ready", false, "RollingOut", "the stage \"raw\" is rolling out")];
    let died = Admin::Broken("CrashLoopBackOff: back-off 5m0s restarting failed container".to_owned());
    let mut all = vec![
        subject("returns", stalled, ready, None),
        subject("checkout", fine(), ready, Some(died)),
        subject("prices", rolls, ready, Some(Admin::Starting("ContainerCreating".to_owned()))),
    ];
    all.extend((1..=10).map(|number| subject(&format!("branch-{number}"), fine(), ready, None)));
    Fixed(all)
}

/// How many charts leave a hole in some row, taking away one after the other.
const HOLES: &str = "
    const grid = document.querySelector('.charts.flowing'), right = grid.getBoundingClientRect().right, holes = [];
    while (grid.children.length > 0) {
      const ends = new Map();
      for (const chart of grid.children) {
        const box = chart.getBoundingClientRect();
        ends.set(box.top, Math.max(ends.get(box.top) ?? 0, box.right));
      }
      if ([...ends.values()].some((end) => right - end > 1)) holes.push(grid.children.length);
      grid.lastElementChild.remove();
    }
    return holes;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charts_leave_no_hole_whatever_their_number_and_the_width_of_the_window() {
    let stop = CancellationToken::new();
    let all = Arc::new(cluster(&process().await));
    let addr = serve("127.0.0.1:0".parse().unwrap(), Access::Loopback, all, stop.clone()).await.unwrap();
    for width in [1300, 1000, 420] {
        let Some(browser) = browser(width, 900, false).await else { return };
        browser.open(&format!("http://{addr}/#/shop/checkout")).await.unwrap();
        let drawn = "return document.querySelectorAll('.charts.flowing > section').length === 7";
        browser.eventually("seven charts are there", drawn).await.unwrap();
        assert_eq!(browser.run(HOLES).await.unwrap(), json!([]), "in a window of {width}");
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_pipelines_are_listed_by_trouble_and_found_by_name_and_by_keyboard() {
    let stop = CancellationToken::new();
    let addr =
        serve("127.0.0.1:0".parse().unwrap(), Access::Loopback, Arc::new(cluster(&process().await)), stop.clone())
            .await
            .unwrap();
    let url = format!("http://{addr}/");
    let folder = tempfile::tempdir().unwrap();
    for (width, height, dark, file) in [
        (1300, 760, false, "page-list.png"),
        (1300, 760, true, "page-list-dark.png"),
        (420, 900, false, "page-list-phone.png"),
    ] {
        let Some(browser) = browser(width, height, dark).await else { return };
        browser.open(&url).await.unwrap();
        let first = "const names = [...document.querySelectorAll('tbody a')].map((link) => link.textContent); \
                     return names.length === 13 && names.slice(0, 3)";
        let first = browser.eventually("all are listed", first).await.unwrap();
        assert_eq!(first, json!(["returns", "checkout", "prices"]));
        browser.picture(&pictures(folder.path()).join(file)).await.unwrap();
    }

    let Some(browser) = browser(1300, 2040, false).await else { return };
    browser.open(&url).await.unwrap();
    browser
        .eventually(
            "there is a field to find one",
            "return document.querySelector('input[type=search]')?.checkVisibility() ?? false",
        )
        .await
        .unwrap();
    browser.run("document.querySelector('input[type=search]').focus()").await.unwrap();
    browser.press("check").await.unwrap();
    browser.eventually("one is found", "return document.querySelectorAll('tbody a').length === 1").await.unwrap();
    press_tab_of(&browser, "checkout").await;
    let told = "return document.querySelector('.trouble')?.innerText.includes('CrashLoopBackOff') ?? false";
    browser.eventually("it says what its stage died of", told).await.unwrap();
    let inside = "return document.body.innerText.includes('The operator has no right to read what a Pipeline stores')";
    browser.eventually("it says why there is no look inside", inside).await.unwrap();
    let conditions = "return document.body.innerText.includes('4 of 4 stages work')";
    browser.eventually("conditions are shown", conditions).await.unwrap();
    let events = "return document.body.innerText.includes('AWS throttles the operator')";
    browser.eventually("events are shown", events).await.unwrap();
    browser.picture(&pictures(folder.path()).join("page-cluster.png")).await.unwrap();

    stop.cancel();
}
