//! The operator dies after any write, and before the answer to any write: what comes of it is the same.

use anyhow::Context;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use penstock_control_plane::{Plane, Wire, World, full, shared};

use crate::story::{Life, story};

/// Crashes that are tried at one time.
const AT_ONCE: usize = 4;
/// In the short form, every so many writes there is a crash.
const STEP: usize = 3;

/// A life in which the operator is ended when the wire strikes, and another one goes on.
async fn live(plane: &Plane, wire: Wire) -> anyhow::Result<Life> {
    let world = World::new(plane, "crash").await?;
    let mut operator = Some(world.operator(&wire).await?);
    let second = Wire::default();
    let takes_over = async {
        wire.struck().await;
        if let Some(operator) = operator.take() {
            operator.crash().await;
        }
        // Until the life is over.
        let _second = world.operator(&second).await?;
        std::future::pending::<anyhow::Result<_>>().await
    };
    let wires = [&wire, &second];
    tokio::select! {
        life = story(&world, &wires) => life,
        failed = takes_over => failed?,
    }
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "how many there were")]
async fn a_crash_at_any_write_changes_nothing_of_what_comes_of_it() {
    let Some(plane) = shared().unwrap() else { return };
    let wire = Wire::default();
    let unharmed = live(plane, wire.clone()).await.unwrap();
    assert!(unharmed.made_and_deleted.values().all(|count| *count == 1), "{:?}", unharmed.made_and_deleted);
    let left: Vec<_> = unharmed.left.keys().map(String::as_str).collect();
    // Also the leases of the sink that was taken away are gone.
    assert_eq!((unharmed.deployments, left), (0, vec!["bucket/acme-lake"]));
    let writes = wire.writes().len();
    assert!(writes > 30, "{writes} writes");

    let unharmed = &unharmed;
    let points = (0..writes).flat_map(|write| [(write, true), (write, false)]);
    // In the short form by turns before and after the write is carried out.
    let points = points.filter(|(write, committed)| full() || write % (2 * STEP) == if *committed { 0 } else { STEP });
    let struck = stream::iter(points)
        .map(|(write, committed)| async move {
            let wire = Wire::crash_at(write, committed);
            let harmed = live(plane, wire.clone()).await.with_context(|| format!("a crash at {write}, {committed}"))?;
            let last = wire.writes().last().map(|outcome| outcome.call.to_string());
            let differences = unharmed.differences(&harmed);
            assert!(differences.is_empty(), "a crash at write {write} ({committed}), {last:?}: {differences:#?}");
            anyhow::Ok(usize::from(wire.is_struck()))
        })
        .buffer_unordered(AT_ONCE)
        .try_fold(0, |sum, one| async move { anyhow::Ok(sum + one) })
        .await
        .unwrap();
    eprintln!("{struck} crashes in a life of {writes} writes");
    assert!(struck * STEP >= writes / 2, "only {struck} of the crashes came to be, of {writes} writes");
}
