//! Every kind of call fails once, in every way: it converges all the same.

use std::collections::HashSet;

use penstock_control_plane::{Answer, Call, Fault, Manifest, Target, Wire, World, shared};

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

async fn converges(prefix: &str, wire: Wire) {
    let Some(plane) = shared().unwrap() else { return };
    let world = World::new(plane, prefix).await.unwrap();
    let operator = world.operator(&wire).await.unwrap();
    world.apply(&Manifest::example("ecommerce").unwrap()).await.unwrap();
    world.ready("ecommerce").await.unwrap();
    let doubled: Vec<_> = wire
        .writes()
        .into_iter()
        .filter(|outcome| outcome.call.target == Target::Aws && outcome.call.verb.starts_with("Create"))
        .filter(|outcome| outcome.status == Some(200))
        .map(|outcome| outcome.call.to_string())
        .collect();
    let different: HashSet<_> = doubled.iter().collect();
    assert_eq!(doubled.len(), different.len(), "{doubled:?}");
    drop(operator);
}

fn answer(status: u16, reason: &'static str) -> Fault {
    Fault::Answer(Answer { status, reason, retry_after: (status == 429).then_some(1) })
}

#[tokio::test]
async fn kubernetes_says_conflict() {
    converges("conflict", first_of_each_kind(Target::Kubernetes, answer(409, "Conflict"))).await;
}

#[tokio::test]
async fn kubernetes_says_that_the_version_is_too_old() {
    converges("expired", first_of_each_kind(Target::Kubernetes, answer(410, "Expired"))).await;
}

#[tokio::test]
async fn kubernetes_says_too_many_requests() {
    converges("throttled", first_of_each_kind(Target::Kubernetes, answer(429, "TooManyRequests"))).await;
}

#[tokio::test]
async fn kubernetes_forbids_and_then_allows() {
    converges("forbidden", first_of_each_kind(Target::Kubernetes, answer(403, "Forbidden"))).await;
}

#[tokio::test]
async fn kubernetes_fails() {
    converges("failing", first_of_each_kind(Target::Kubernetes, answer(500, "InternalError"))).await;
}

#[tokio::test]
async fn connections_to_kubernetes_break() {
    converges("reset", first_of_each_kind(Target::Kubernetes, Fault::Reset)).await;
    converges("unanswered", first_of_each_kind(Target::Kubernetes, Fault::ResetAfter)).await;
}

#[tokio::test]
async fn kubernetes_accepts_and_never_answers() {
    let mut hung = false;
    let wire = Wire::new(move |call| {
        let hangs = !hung && call.verb == "PATCH" && call.path.contains("/deployments/");
        hung |= hangs;
        if hangs { Fault::Lose } else { Fault::None }
    });
    converges("hanging", wire.clone()).await;
    assert!(wire.is_struck() || shared().unwrap().is_none());
}

#[tokio::test]
async fn aws_throttles() {
    converges("aws-throttles", first_of_each_kind(Target::Aws, answer(400, "ThrottlingException"))).await;
}

#[tokio::test]
async fn aws_denies_and_then_allows() {
    converges("aws-denies", first_of_each_kind(Target::Aws, answer(400, "AccessDeniedException"))).await;
}

#[tokio::test]
async fn aws_fails() {
    converges("aws-fails", first_of_each_kind(Target::Aws, answer(500, "InternalFailure"))).await;
}

#[tokio::test]
async fn connections_to_aws_break() {
    converges("aws-reset", first_of_each_kind(Target::Aws, Fault::Reset)).await;
    converges("aws-unanswered", first_of_each_kind(Target::Aws, Fault::ResetAfter)).await;
}
