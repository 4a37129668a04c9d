//! Every kind of call of a whole life fails, in every way: what comes of it is the same as when nothing fails.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use futures::stream::{self, StreamExt as _};
use penstock_control_plane::{Answer, Call, Fault, Plane, Target, Wire, World, full, shared};
use tokio::sync::OnceCell;

use crate::story::{Life, story};

/// Lives at one time. Most of their time they wait.
const AT_ONCE: usize = 12;

/// A kind of call: the same verb on the same kind of resource, of the same service. All children are deleted alike.
type CallKind = (Target, String, String);

fn kind(call: &Call) -> CallKind {
    let parts: Vec<_> = call.path.split('/').collect();
    let in_namespace = parts.iter().position(|part| *part == "namespaces").and_then(|at| parts.get(at + 2..));
    // A resource, and the subresource after the name.
    let resource = in_namespace.map_or_else(String::new, |path| match path {
        [resource, _, subresource] => format!("{resource}/{subresource}"),
        [resource, ..] => (*resource).to_owned(),
        [] => String::new(),
    });
    // Children go one after the other, and each failure makes the next try later.
    let resource = if call.verb == "DELETE" { "child".to_owned() } else { resource };
    let lists = call.target == Target::Kubernetes && in_namespace.is_some_and(|path| path.len() == 1);
    let verb = match (call.verb.as_str(), call.watch) {
        (_, true) => "WATCH",
        ("GET", false) if lists => "LIST",
        (verb, _) => verb,
    };
    (call.target, verb.to_owned(), resource)
}

/// Each kind of call to a service fails the first few times.
fn first_of_each_kind(target: Target, times: u32, fault: Fault) -> Wire {
    let mut failed: BTreeMap<_, u32> = BTreeMap::new();
    Wire::new(move |call| {
        if call.target != target {
            return Fault::None;
        }
        let failed = failed.entry(kind(call)).or_default();
        *failed += 1;
        if *failed <= times { fault.clone() } else { Fault::None }
    })
}

async fn live(plane: &Plane, prefix: &str, wire: &Wire) -> anyhow::Result<Life> {
    let world = World::new(plane, prefix).await?;
    let _operator = world.operator(wire).await?;
    story(&world, &[wire]).await
}

/// A life in which nothing fails, and the kinds of calls in it.
async fn unharmed(plane: &Plane) -> anyhow::Result<&'static (Life, BTreeSet<CallKind>)> {
    static UNHARMED: OnceCell<(Life, BTreeSet<CallKind>)> = OnceCell::const_new();
    UNHARMED
        .get_or_try_init(|| async {
            let wire = Wire::default();
            let life = live(plane, "unharmed", &wire).await?;
            let kinds = wire.calls().iter().map(|outcome| kind(&outcome.call)).collect();
            Ok((life, kinds))
        })
        .await
}

async fn comes_to_the_same(plane: &Plane, name: &str, wire: &Wire) -> anyhow::Result<()> {
    let (unharmed, _) = unharmed(plane).await?;
    let harmed = live(plane, "fault", wire).await.with_context(|| format!("with {name}"))?;
    let differences = unharmed.differences(&harmed);
    ensure!(differences.is_empty(), "with {name}: {differences:#?}");
    Ok(())
}

async fn come_to_the_same(wires: Vec<(String, Wire)>) {
    let Some(plane) = shared().unwrap() else { return };
    let lives = wires.iter().map(|(name, wire)| comes_to_the_same(plane, name, wire));
    let failed: Vec<_> = stream::iter(lives)
        .buffer_unordered(AT_ONCE)
        .filter_map(async |outcome| outcome.err().map(|error| format!("{error:#}")))
        .collect()
        .await;
    assert!(failed.is_empty(), "{failed:#?}");
}

fn each_kind_once(faults: &[(Target, Fault)]) -> Vec<(String, Wire)> {
    let wire = |(target, fault): &(Target, Fault)| {
        (format!("{fault:?} of {target:?}"), first_of_each_kind(*target, 1, fault.clone()))
    };
    faults.iter().map(wire).collect()
}

fn answer(status: u16, reason: &'static str) -> Fault {
    Fault::Answer(Answer { status, reason, retry_after: (status == 429).then_some(1) })
}

#[tokio::test]
async fn refusals_of_kubernetes_pass() {
    let refusals = [
        (409, "Conflict"),
        (410, "Expired"),
        (429, "TooManyRequests"),
        (403, "Forbidden"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
    ];
    let faults = refusals.map(|(status, reason)| (Target::Kubernetes, answer(status, reason)));
    come_to_the_same(each_kind_once(&faults)).await;
}

#[tokio::test]
async fn refusals_of_aws_pass() {
    let refusals = [
        (400, "ThrottlingException"),
        (400, "AccessDeniedException"),
        (400, "LimitExceededException"),
        (500, "InternalFailure"),
    ];
    let faults = refusals.map(|(status, reason)| (Target::Aws, answer(status, reason)));
    come_to_the_same(each_kind_once(&faults)).await;
}

#[tokio::test]
async fn broken_connections_pass_whether_the_call_was_carried_out_or_not() {
    let faults = [Target::Kubernetes, Target::Aws].map(|target| [(target, Fault::Reset), (target, Fault::ResetAfter)]);
    come_to_the_same(each_kind_once(faults.as_flattened())).await;
}

#[tokio::test]
async fn a_storm_of_refusals_passes() {
    let storm = |target, status, reason| {
        (format!("a storm of {reason}"), first_of_each_kind(target, 2, answer(status, reason)))
    };
    come_to_the_same(vec![
        storm(Target::Kubernetes, 429, "TooManyRequests"),
        storm(Target::Kubernetes, 503, "ServiceUnavailable"),
        storm(Target::Aws, 400, "ThrottlingException"),
    ])
    .await;
}

/// In the short form one kind for each way in which the operator waits for an answer.
#[tokio::test]
async fn a_call_that_is_accepted_and_never_answered_is_given_up() {
    const TYPICAL: [(Target, &str, &str); 12] = [
        (Target::Kubernetes, "LIST", "pipelines"),
        (Target::Kubernetes, "LIST", "services"),
        (Target::Kubernetes, "WATCH", "deployments"),
        (Target::Kubernetes, "GET", "secrets"),
        (Target::Kubernetes, "GET", "configmaps"),
        (Target::Kubernetes, "GET", "pipelines"),
        (Target::Kubernetes, "PATCH", "deployments"),
        (Target::Kubernetes, "PATCH", "pipelines/status"),
        (Target::Kubernetes, "DELETE", "child"),
        (Target::Kubernetes, "POST", "events"),
        (Target::Aws, "CreateStream", ""),
        (Target::Aws, "DescribeTable", ""),
    ];
    let Some(plane) = shared().unwrap() else { return };
    let (_, kinds) = unharmed(plane).await.unwrap();
    let typical = TYPICAL.map(|(target, verb, resource)| (target, verb.to_owned(), resource.to_owned()));
    for kind in &typical {
        assert!(kinds.contains(kind), "a life has no {kind:?}: {kinds:#?}");
    }
    let tried: Vec<_> = if full() { kinds.iter().cloned().collect() } else { typical.to_vec() };
    let wires: Vec<_> = tried.iter().map(|hanging| (format!("{hanging:?} hanging"), hang(hanging.clone()))).collect();
    come_to_the_same(wires.clone()).await;
    for (name, wire) in wires {
        assert!(wire.is_struck(), "{name}: it never came to that");
    }
}

/// The first call of a kind is accepted, and no answer comes; it is carried out or not by turns.
fn hang(hanging: CallKind) -> Wire {
    let mut hung = false;
    Wire::new(move |call| {
        let hangs = !hung && kind(call) == hanging;
        hung |= hangs;
        match hangs {
            true if call.write.is_some_and(|number| number % 2 == 0) => Fault::Lose,
            true => Fault::Withhold,
            false => Fault::None,
        }
    })
}
