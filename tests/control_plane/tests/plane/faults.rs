//! Every kind of call fails once, in every way: it converges all the same.

use std::collections::HashSet;

use anyhow::{Context, ensure};
use futures::future::join_all;
use penstock_control_plane::{Answer, Call, Fault, Manifest, Plane, Target, Wire, World, shared};

/// Every kind of call fails the first time: the same verb on the same kind of resource.
fn first_of_each_kind(target: Target, fault: Fault) -> Wire {
    let mut seen = HashSet::new();
    Wire::new(move |call| {
        let first = call.target == target && seen.insert(kind(call));
        if first { fault.clone() } else { Fault::None }
    })
}

fn kind(call: &Call) -> (String, String) {
    let parts: Vec<_> = call.path.split('/').collect();
    let resource = parts.iter().position(|part| *part == "namespaces").and_then(|at| parts.get(at + 2));
    let watch = if call.watch { "WATCH " } else { "" };
    (format!("{watch}{}", call.verb), resource.map_or_else(String::new, |resource| (*resource).to_owned()))
}

async fn converges(plane: &Plane, prefix: &str, wire: &Wire) -> anyhow::Result<()> {
    let world = World::new(plane, prefix).await?;
    let _operator = world.operator(wire).await?;
    world.apply(&Manifest::example("ecommerce")?).await?;
    world.ready("ecommerce").await?;
    let created: Vec<_> = wire
        .writes()
        .into_iter()
        .filter(|outcome| outcome.call.target == Target::Aws && outcome.call.verb.starts_with("Create"))
        .filter(|outcome| outcome.status == Some(200))
        .map(|outcome| outcome.call.to_string())
        .collect();
    let different: HashSet<_> = created.iter().collect();
    ensure!(created.len() == different.len(), "made twice: {created:?}");
    Ok(())
}

/// All at one time, since each of them mostly waits.
async fn converge(faults: &[(&str, Target, Fault)]) {
    let Some(plane) = shared().unwrap() else { return };
    let all = faults.iter().map(async |(name, target, fault)| {
        let wire = first_of_each_kind(*target, fault.clone());
        converges(plane, name, &wire).await.with_context(|| format!("with {name}"))
    });
    let failed: Vec<_> = join_all(all).await.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn answer(status: u16, reason: &'static str) -> Fault {
    Fault::Answer(Answer { status, reason, retry_after: (status == 429).then_some(1) })
}

#[tokio::test]
async fn refusals_of_kubernetes_pass() {
    converge(&[
        ("conflict", Target::Kubernetes, answer(409, "Conflict")),
        ("expired", Target::Kubernetes, answer(410, "Expired")),
        ("too-many-requests", Target::Kubernetes, answer(429, "TooManyRequests")),
        ("forbidden", Target::Kubernetes, answer(403, "Forbidden")),
        ("internal-error", Target::Kubernetes, answer(500, "InternalError")),
    ])
    .await;
}

#[tokio::test]
async fn refusals_of_aws_pass() {
    converge(&[
        ("aws-throttling", Target::Aws, answer(400, "ThrottlingException")),
        ("aws-access-denied", Target::Aws, answer(400, "AccessDeniedException")),
        ("aws-internal-failure", Target::Aws, answer(500, "InternalFailure")),
    ])
    .await;
}

#[tokio::test]
async fn broken_connections_pass_whether_the_call_was_carried_out_or_not() {
    converge(&[
        ("reset", Target::Kubernetes, Fault::Reset),
        ("reset-after", Target::Kubernetes, Fault::ResetAfter),
        ("aws-reset", Target::Aws, Fault::Reset),
        ("aws-reset-after", Target::Aws, Fault::ResetAfter),
    ])
    .await;
}

#[tokio::test]
async fn a_call_that_is_accepted_and_never_answered_is_given_up() {
    let Some(plane) = shared().unwrap() else { return };
    let mut hung = false;
    let wire = Wire::new(move |call| {
        let hangs = !hung && call.verb == "PATCH" && call.path.contains("/deployments/");
        hung |= hangs;
        if hangs { Fault::Lose } else { Fault::None }
    });
    converges(plane, "hanging", &wire).await.unwrap();
    assert!(wire.is_struck());
}
