//! The streams, tables and consumers that a Pipeline's status writes down: what it has, and what a former spec had. Pure.
//!
//! Each is written down before it is made, so that what a crash leaves is known. What the spec names no more goes when
//! its last policy was `Delete`; a lease table shares the fate of its stream, also when its sink went long before. A consumer
//! that no sink is registered as any more always goes: it holds nothing, and is paid for.

use std::collections::BTreeSet;

use penstock_api::plan::{Resources, TablePurpose};
use penstock_api::spec::{DeletionPolicy, ResourceKind, ResourceStatus};
use penstock_provision::{Doomed, Kind};

/// What the status holds (see its schema). A Pipeline names 168 at most.
const MOST: usize = 512;

/// What is to be written down, from what was and what the spec names.
#[must_use]
pub fn next(before: &[ResourceStatus], resources: &Resources) -> Vec<ResourceStatus> {
    let named = named(resources);
    let is_named = |doomed: &Doomed| named.iter().any(|there| of(there) == *doomed);
    let mut left: Vec<_> = before.iter().filter(|there| !is_named(&of(there))).cloned().collect();
    for there in left.iter_mut().filter(|there| there.kind == ResourceKind::Table) {
        let stream = there.stream.as_deref().and_then(|stream| find(&named, stream).or_else(|| find(before, stream)));
        there.deletion_policy = stream.map_or(there.deletion_policy, |stream| stream.deletion_policy);
    }
    let is_read = |stream: &str| is_named(&Doomed::new(Kind::Stream, stream));
    let shares_a_fate = |there: &ResourceStatus| there.stream.as_deref().is_some_and(is_read);
    left.retain(|there| there.deletion_policy == DeletionPolicy::Delete || shares_a_fate(there));
    // Those that are to go come first: of the others some may be forgotten, which only keeps them.
    left.sort_by_key(|there| there.deletion_policy == DeletionPolicy::Retain);
    left.truncate(MOST.saturating_sub(named.len()));
    let mut next: Vec<_> = named.into_iter().chain(left).collect();
    next.sort();
    next
}

fn find<'a>(among: &'a [ResourceStatus], stream: &str) -> Option<&'a ResourceStatus> {
    among.iter().find(|there| there.kind == ResourceKind::Stream && there.name == stream)
}

fn named(resources: &Resources) -> Vec<ResourceStatus> {
    let streams = resources.streams.iter().map(|plan| ResourceStatus {
        kind: ResourceKind::Stream,
        name: plan.name.clone(),
        deletion_policy: plan.deletion_policy,
        stream: None,
    });
    let tables = resources.tables.iter().map(|plan| ResourceStatus {
        kind: ResourceKind::Table,
        name: plan.name.clone(),
        deletion_policy: plan.deletion_policy,
        stream: match &plan.purpose {
            TablePurpose::Data => None,
            TablePurpose::Leases { stream } => Some(stream.clone()),
        },
    });
    let consumers = resources.streams.iter().flat_map(|plan| {
        plan.consumers.iter().map(|name| ResourceStatus {
            kind: ResourceKind::Consumer,
            // A sink that comes to read another stream bears the same name there, and the status keeps one of each.
            name: format!("{}/{name}", plan.name),
            deletion_policy: DeletionPolicy::Delete,
            stream: Some(plan.name.clone()),
        })
    });
    streams.chain(tables).chain(consumers).collect()
}

/// What goes with the Pipeline.
#[must_use]
pub fn doomed(inventory: &[ResourceStatus]) -> Vec<Doomed> {
    inventory.iter().filter(|there| there.deletion_policy == DeletionPolicy::Delete).map(of).collect()
}

/// What goes now, since the spec names it no more.
#[must_use]
pub fn superfluous(inventory: &[ResourceStatus], resources: &Resources) -> Vec<Doomed> {
    let named: BTreeSet<_> = named(resources).iter().map(of).collect();
    doomed(inventory).into_iter().filter(|doomed| !named.contains(doomed)).collect()
}

/// Without what is gone.
#[must_use]
pub fn without(mut inventory: Vec<ResourceStatus>, gone: &[Doomed]) -> Vec<ResourceStatus> {
    inventory.retain(|there| !gone.contains(&of(there)));
    inventory
}

fn of(there: &ResourceStatus) -> Doomed {
    match there.kind {
        ResourceKind::Stream => Doomed::new(Kind::Stream, &there.name),
        ResourceKind::Table => Doomed::new(Kind::Table, &there.name),
        ResourceKind::Consumer => {
            let name = there.name.rsplit('/').next().unwrap_or(&there.name);
            Doomed { stream: there.stream.clone(), ..Doomed::new(Kind::Consumer, name) }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::build::fixtures::{PipelineFixture, settings};
    use crate::validate::validate;

    fn resources(fixture: &PipelineFixture) -> Resources {
        validate(&fixture.object(), &settings()).unwrap().resources
    }

    fn names(doomed: &[Doomed]) -> Vec<&str> {
        doomed.iter().map(|doomed| doomed.name.as_str()).collect()
    }

    /// The example, with this policy for its stream and for one of its tables.
    fn ecommerce(policy: &str) -> PipelineFixture {
        PipelineFixture::ecommerce()
            .spec("/buffers/0/kinesis/deletionPolicy", policy)
            .spec("/sinks/1/dynamodb/tables/0/deletionPolicy", policy)
    }

    const RAW_LEASES: &str = "shop.ecommerce.raw.leases";
    const INVOICES: &str = "ecommerce-invoices";

    #[test]
    fn everything_that_is_named_is_written_down_in_an_order_of_its_own() {
        let resources = resources(&ecommerce("Retain"));
        let inventory = next(&[], &resources);
        assert_eq!(inventory.len(), resources.streams.len() + resources.tables.len());
        assert!(inventory.is_sorted());
        assert_eq!(next(&inventory, &resources), inventory, "nothing changes while nothing changes");
        assert!(doomed(&inventory).is_empty() && superfluous(&inventory, &resources).is_empty());
    }

    #[test]
    fn what_is_named_no_more_goes_when_its_last_policy_was_to_delete_it() {
        let before = next(&[], &resources(&ecommerce("Delete")));
        let smaller = resources(&ecommerce("Delete").without_sink("raw"));
        let inventory = next(&before, &smaller);
        assert_eq!(names(&superfluous(&inventory, &smaller)), [RAW_LEASES]);
        let gone = without(inventory.clone(), &superfluous(&inventory, &smaller));
        assert_eq!(gone, next(&[], &smaller));

        let without_table =
            resources(&ecommerce("Delete").spec("/apis", serde_json::Value::Null).without_table(INVOICES));
        assert_eq!(names(&superfluous(&next(&before, &without_table), &without_table)), [INVOICES]);
    }

    #[test]
    fn what_was_to_stay_stays_and_is_forgotten() {
        let before = next(&[], &resources(&ecommerce("Retain")));
        let smaller = resources(&ecommerce("Retain").spec("/apis", serde_json::Value::Null).without_sink("tables"));
        let inventory = next(&before, &smaller);
        assert!(superfluous(&inventory, &smaller).is_empty());
        assert!(!inventory.iter().any(|there| there.name == INVOICES), "{inventory:?}");
    }

    #[test]
    fn leases_share_the_fate_of_their_stream_also_when_their_sink_went_before() {
        let before = next(&[], &resources(&ecommerce("Retain")));
        let smaller = |policy| resources(&ecommerce(policy).without_sink("raw"));
        let kept = next(&before, &smaller("Retain"));
        assert!(kept.iter().any(|there| there.name == RAW_LEASES), "they are remembered");
        assert!(doomed(&kept).is_empty());
        let now_to_go = next(&kept, &smaller("Delete"));
        assert!(names(&doomed(&now_to_go)).contains(&RAW_LEASES));
        assert_eq!(names(&superfluous(&now_to_go, &smaller("Delete"))), [RAW_LEASES]);
        assert!(doomed(&next(&now_to_go, &smaller("Retain"))).is_empty(), "until it is to stay again");
    }

    #[test]
    fn a_consumer_goes_when_its_sink_goes_or_asks_for_records_again_and_one_that_has_a_name_of_its_own_stays() {
        const CONSUMER: &str = "shop.ecommerce.raw";
        const WRITTEN: &str = "shop.ecommerce.events/shop.ecommerce.raw";
        let reading = |fan_out| ecommerce("Retain").spec("/sinks/0/reading", serde_json::json!({ "fanOut": fan_out }));
        let by_default = next(&[], &resources(&reading(serde_json::json!({}))));
        let consumer = by_default.iter().find(|there| there.kind == ResourceKind::Consumer).unwrap();
        assert_eq!((consumer.name.as_str(), consumer.stream.as_deref()), (WRITTEN, Some("shop.ecommerce.events")));
        assert!(superfluous(&by_default, &resources(&reading(serde_json::json!({})))).is_empty());
        assert_eq!(names(&doomed(&by_default)), [CONSUMER], "it goes with the Pipeline, though the stream stays");
        for without in [ecommerce("Retain"), ecommerce("Retain").without_sink("raw")] {
            let without = resources(&without);
            let gone = superfluous(&next(&by_default, &without), &without);
            assert_eq!(gone, [of(consumer)]);
            let left = self::without(next(&by_default, &without), &gone);
            assert!(left.iter().all(|there| there.kind != ResourceKind::Consumer), "{left:?}");
        }
        let named = resources(&reading(serde_json::json!({ "consumer": "mine" })));
        assert!(next(&[], &named).iter().all(|there| there.kind != ResourceKind::Consumer));
    }

    #[test]
    fn a_consumer_of_a_sink_that_reads_another_stream_by_now_goes_from_the_former_only() {
        let reading = |stream: &str| {
            ecommerce("Retain")
                .spec("/buffers/0/kinesis/streamName", stream)
                .spec("/sinks/0/reading", serde_json::json!({ "fanOut": {} }))
        };
        let (former, now) = (resources(&reading("first")), resources(&reading("second")));
        let before = next(&[], &former);
        let inventory = next(&before, &now);
        let of_stream = |stream: &str| Doomed {
            stream: Some(stream.to_owned()),
            ..Doomed::new(Kind::Consumer, "shop.ecommerce.raw")
        };
        let consumers = |inventory: &[ResourceStatus]| {
            let of_kind = inventory.iter().filter(|there| there.kind == ResourceKind::Consumer);
            of_kind.map(|there| there.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(consumers(&inventory), ["first/shop.ecommerce.raw", "second/shop.ecommerce.raw"]);
        assert_eq!(superfluous(&inventory, &now), [of_stream("first")]);
        assert_eq!(doomed(&inventory), [of_stream("first"), of_stream("second")], "both go with the Pipeline");
        let gone = without(inventory, &[of_stream("first")]);
        assert_eq!(consumers(&next(&gone, &now)), ["second/shop.ecommerce.raw"]);
    }

    #[test]
    fn what_is_named_again_is_not_superfluous() {
        let all = resources(&ecommerce("Delete"));
        let removed = next(&next(&[], &all), &resources(&ecommerce("Delete").without_sink("raw")));
        assert!(superfluous(&next(&removed, &all), &all).is_empty());
    }
}
