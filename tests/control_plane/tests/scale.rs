//! Many Pipelines and the operator as it ships: what it costs when nothing happens, and how fast it is when something does.
//! A program of its own, so that nothing else runs beside what is measured.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures::stream::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use penstock_control_plane::{Installation, Manifest, OperatorProcess, Plane, World, condition, full, steady};
use serde_json::json;

/// What an operator could write.
const WRITTEN: [&str; 9] = [
    "pipelines",
    "deployments",
    "configmaps",
    "services",
    "serviceaccounts",
    "networkpolicies",
    "poddisruptionbudgets",
    "events",
    "secrets",
];
/// What it may take with a thousand Pipelines.
const MEMORY: u64 = 64 << 20;
/// An edit shows in the child within this, 99 times of 100. Measured in the full form only.
const EDIT: Duration = Duration::from_secs(1);
/// Between one Pipeline that becomes ready and the next, and between an edit and its effect, on a busy machine.
const PROGRESS: Duration = Duration::from_secs(120);
/// Pipelines that are made at one time.
const AT_ONCE: usize = 8;

/// How much there is of everything.
struct Size {
    pipelines: usize,
    quiet: Duration,
    edits: usize,
}

impl Size {
    fn wanted() -> Self {
        if full() {
            Self { pipelines: 1000, quiet: Duration::from_secs(600), edits: 300 }
        } else {
            Self { pipelines: 40, quiet: Duration::from_secs(20), edits: 20 }
        }
    }
}

/// The writes that the API server has answered, whoever made them.
async fn writes(world: &World) -> anyhow::Result<f64> {
    let metrics = world.client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let lines = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    let counted = lines.filter(|line| {
        let is =
            |label: &str, values: &[&str]| values.iter().any(|value| line.contains(&format!("{label}=\"{value}\"")));
        is("verb", &["POST", "PUT", "PATCH", "APPLY", "DELETE"]) && is("resource", &WRITTEN)
    });
    Ok(counted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

async fn make(world: &World, many: usize) -> anyhow::Result<()> {
    let minimal = Manifest::example("minimal")?;
    let api = world.pipelines();
    let made = (0..many).map(|number| {
        let mut manifest = minimal.clone();
        manifest.0["metadata"]["name"] = json!(format!("scale-{number}"));
        let api = api.clone();
        async move { anyhow::Ok(api.create(&PostParams::default(), &serde_json::from_value(manifest.0)?).await?) }
    });
    futures::stream::iter(made).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
    all_ready(world, many).await
}

/// Waits until they are ready: however long AWS's limits make it take, it must go on.
async fn all_ready(world: &World, many: usize) -> anyhow::Result<()> {
    // Told by a watch: a thousand of them listed again and again would keep the machine busy.
    let mut changes =
        watcher(world.pipelines(), watcher::Config::default()).default_backoff().applied_objects().boxed();
    let mut ready = HashSet::new();
    while ready.len() < many {
        let seen = ready.len();
        let progress = async {
            while ready.len() == seen {
                let pipeline = changes.try_next().await?.context("the watch has ended")?;
                if condition(&pipeline, "Ready").is_some_and(|ready| ready["status"] == "True") {
                    ready.insert(pipeline.name_any());
                }
            }
            anyhow::Ok(())
        };
        let waited = tokio::time::timeout(PROGRESS, progress).await;
        waited.with_context(|| format!("no more than {seen} of {many} become ready"))??;
    }
    Ok(())
}

/// How long it takes from the answer to an edit to the changed Deployment, in ascending order.
async fn edit(world: &World, edits: usize, pipelines: usize) -> anyhow::Result<Vec<Duration>> {
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut seen = HashMap::new();
    let mut events = watcher(deployments, watcher::Config::default()).default_backoff().boxed();
    loop {
        match events.try_next().await?.context("the watch has ended")? {
            watcher::Event::InitApply(deployment) => {
                seen.insert(deployment.name_any(), configuration(&deployment));
            }
            watcher::Event::InitDone => break,
            _ => {}
        }
    }
    let mut latencies = Vec::new();
    for number in 0..edits {
        let name = format!("scale-{}", number * 7919 % pipelines);
        let age = json!({ "spec": { "sinks": [{ "name": "archive", "from": "stream", "s3": {
            "bucket": "acme-lake", "key": "events/", "rotate": { "age": format!("{}m", number + 6) },
        } }] } });
        world.pipelines().patch(&name, &PatchParams::default(), &Patch::Merge(&age)).await?;
        let begun = Instant::now();
        changed(&mut events, &format!("{name}-archive"), &mut seen).await?;
        latencies.push(begun.elapsed());
    }
    latencies.sort();
    Ok(latencies)
}

type Events = Pin<Box<dyn Stream<Item = watcher::Result<watcher::Event<Deployment>>> + Send>>;

/// Waits until the configuration of a Deployment is another one.
async fn changed(events: &mut Events, name: &str, seen: &mut HashMap<String, String>) -> anyhow::Result<()> {
    let change = async {
        loop {
            let Some(event) = events.try_next().await? else { bail!("the watch has ended") };
            let watcher::Event::Apply(deployment) = event else { continue };
            let now = configuration(&deployment);
            if seen.insert(deployment.name_any(), now.clone()).is_some_and(|before| before != now)
                && deployment.name_any() == name
            {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(PROGRESS, change).await.with_context(|| format!("{name} does not change"))?
}

fn configuration(deployment: &Deployment) -> String {
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let annotations = template.and_then(|metadata| metadata.annotations.as_ref());
    annotations.and_then(|all| all.get("penstock.dev/config-hash")).cloned().unwrap_or_default()
}

fn share(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

/// The longest of what is here, by far: AWS may be asked about four streams a second.
#[tokio::test]
#[allow(clippy::print_stderr, reason = "the figures")]
async fn many_pipelines_cost_nothing_while_nothing_happens_and_an_edit_of_one_is_carried_out_at_once() {
    let Size { pipelines, quiet, edits } = Size::wanted();
    // Its counters are about this test alone.
    let Some(plane) = Plane::start().unwrap() else { return };
    let world = World::new(&plane, "scale").await.unwrap();
    let installation = Installation::new(&plane, &world.account.endpoint_url()).await.unwrap();
    let operator = installation.start("first").await.unwrap();
    let begun = Instant::now();
    make(&world, pipelines).await.unwrap();
    eprintln!("{pipelines} Pipelines are ready after {:?}", begun.elapsed());

    let settled = steady("the writes", Duration::from_secs(3), async || writes(&world).await).await.unwrap();
    assert!(settled > pipelines as f64 * 10.0, "{settled} writes were counted: not ours");
    tokio::time::sleep(quiet).await;
    assert_eq!(writes(&world).await.unwrap() - settled, 0.0, "writes while nothing happened");
    let (now, highest) = operator.memory().unwrap();
    eprintln!("no write in {quiet:?}; resident memory {} KiB, highest {} KiB", now >> 10, highest >> 10);

    let latencies = edit(&world, edits, pipelines).await.unwrap();
    let [half, most] = [50, 99].map(|percent| share(&latencies, percent));
    eprintln!("{edits} edits: a changed child after {half:?} (p50), {most:?} (p99)");
    assert!(!full() || most < EDIT, "{most:?}");
    steady("the writes", Duration::from_secs(3), async || writes(&world).await).await.unwrap();
    let (_, highest) = operator.memory().unwrap();
    let with_page = look(&operator, &world, pipelines).await.unwrap();
    operator.stop().await.unwrap();

    starts_cold(&plane, &installation, &world).await.unwrap();
    // At last, so that all figures are told first.
    assert!(highest < MEMORY, "{highest} bytes");
    assert!(with_page < MEMORY, "{with_page} bytes with the page");
}

/// Somebody looks at the page: at the list, and at one of them. Gives the highest memory so far.
#[allow(clippy::print_stderr, reason = "the figures")]
async fn look(operator: &OperatorProcess, world: &World, pipelines: usize) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let list = operator.page().list().await?;
    let first = begun.elapsed();
    ensure!(list["all"] == pipelines && list["pipelines"][0]["word"] == "ready", "{list}");
    let begun = Instant::now();
    operator.page().list().await?;
    let again = begun.elapsed();
    operator.page().one(&world.namespace, "scale-7").await?;
    let (now, highest) = operator.memory()?;
    eprintln!(
        "the page's list after {first:?}, and again after {again:?}; resident memory {} KiB, highest {} KiB",
        now >> 10,
        highest >> 10
    );
    Ok(highest)
}

/// Another operator takes over: it lists each kind once, reads nothing else, and writes nothing but its lease.
#[allow(clippy::print_stderr, reason = "the figures")]
async fn starts_cold(plane: &Plane, installation: &Installation, world: &World) -> anyhow::Result<()> {
    let from = plane.audit.end();
    let begun = Instant::now();
    let operator = installation.start("second").await?;
    eprintln!("another operator leads and is ready after {:?}", begun.elapsed());
    let before = writes(world).await?;
    steady("its requests", Duration::from_secs(8), async || {
        let requests = plane.audit.since(from)?;
        Ok(requests.iter().filter(|request| request.resource != "leases").count())
    })
    .await?;
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for request in plane.audit.since(from)? {
        // The next page of a list belongs to it.
        if request.user == installation.user() && request.resource != "leases" && !request.uri.contains("continue=") {
            *counts.entry((request.verb, request.resource)).or_default() += 1;
        }
    }
    let kinds = [
        "configmaps",
        "deployments",
        "networkpolicies",
        "pipelines",
        "poddisruptionbudgets",
        "serviceaccounts",
        "services",
    ];
    let expected =
        ["list", "watch"].into_iter().flat_map(|verb| kinds.map(|kind| ((verb.to_owned(), kind.to_owned()), 1)));
    ensure!(counts == expected.collect(), "{counts:?}");
    ensure!(writes(world).await? == before, "it has written something");
    let (now, highest) = operator.memory()?;
    eprintln!("after its start: resident memory {} KiB, highest {} KiB", now >> 10, highest >> 10);
    ensure!(highest < MEMORY, "{highest} bytes");
    operator.stop().await
}
