//! The accounts and regions that Pipelines are in, and what is known of their resources.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use penstock_api::plan::{AwsTarget, PipelineRef, Resources};
use penstock_api::spec::Existing;
use penstock_provision::{Clients, Doomed, Kind, Options, Removed};

use super::budget::Budget;
use super::clients::AwsClients;
use super::drained;
use super::view::{ResourceView, ResourcesView};
use crate::build::{Drained, hash};
use crate::pipeline::Identity;
use crate::settings::Settings;
use crate::validate::ValidatedPipeline;

/// Looks at streams: DescribeStreamSummary may be called 20 times a second in an account and region, and
/// ListTagsForStream, which goes with it, 5 times.
const STREAM_LOOKS_A_SECOND: f64 = 4.0;
/// Looks at tables: ListTagsOfResource may be called 10 times a second.
const TABLE_LOOKS_A_SECOND: f64 = 8.0;
/// When a change is tried again that AWS does not let happen yet, or that would lose something.
pub(crate) const DEFERRED: Duration = Duration::from_secs(300);

/// The accounts and regions that Pipelines are in.
pub struct Accounts {
    factory: Arc<dyn AwsClients>,
    accounts: Mutex<HashMap<(String, Option<String>), Arc<Account>>>,
    known: Mutex<HashMap<String, Known>>,
    recheck: Duration,
    cluster: Option<String>,
}

/// One account and region.
struct Account {
    clients: Clients,
    streams: Budget,
    tables: Budget,
}

/// What is known of the resources of one Pipeline, by its UID.
enum Known {
    /// They were found ready, which is trusted for so long.
    Found { resources: String, at: Instant, fresh_for: Duration, view: ResourcesView },
    /// They were ready before this leadership began, as the status says.
    Trusted { resources: String, until: Instant },
    /// The look is ordered, and due then.
    Ordered { due: Instant },
}

/// Why the resources are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Somebody asked for it: what was found before does not count.
    pub afresh: bool,
    /// The status says that this very spec's resources were ready.
    pub was_ready: bool,
}

impl Accounts {
    pub(crate) fn new(factory: Arc<dyn AwsClients>, settings: &Settings) -> Self {
        Self {
            factory,
            accounts: Mutex::default(),
            known: Mutex::default(),
            recheck: settings.recheck,
            cluster: settings.cluster.clone(),
        }
    }

    /// Looks at the Pipeline's resources and takes the next step of each. I/O, but not while what was found ready is fresh.
    pub async fn look(&self, pipeline: &ValidatedPipeline, ask: Ask) -> ResourcesView {
        let uid = &pipeline.identity.uid;
        let fingerprint = fingerprint(&pipeline.aws, &pipeline.resources);
        if let Some(view) = self.known(uid, &fingerprint, ask) {
            return view;
        }
        let account = self.account(&pipeline.aws).await;
        let Resources { streams, tables, .. } = &pipeline.resources;
        if let Err(again_after) = self.may_look(uid, &account, (streams.len(), tables.len())) {
            return ResourcesView::NotLookedAt { again_after };
        }
        let progress =
            penstock_provision::advance(&pipeline.resources, &account.clients, &self.options(pipeline)).await;
        let view = ResourcesView::Known(progress.into_iter().map(ResourceView::of).collect());
        if view.is_ready() {
            let fresh_for = if view.is_deferred() { self.recheck.min(DEFERRED) } else { self.recheck };
            let found = Known::Found { resources: fingerprint, at: Instant::now(), fresh_for, view: view.clone() };
            self.known.lock().insert(uid.clone(), found);
        }
        view
    }

    /// What is known without a look.
    fn known(&self, uid: &str, fingerprint: &str, ask: Ask) -> Option<ResourcesView> {
        if ask.afresh {
            return None;
        }
        let now = Instant::now();
        let mut known = self.known.lock();
        match known.get(uid) {
            Some(Known::Found { resources, at, fresh_for, view }) => {
                (resources == fingerprint && at.elapsed() < *fresh_for).then(|| view.clone())
            }
            // Of a newer spec the status says nothing yet, even if its resources are the same.
            Some(Known::Trusted { resources, until }) => (ask.was_ready && resources == fingerprint && now < *until)
                .then(|| ResourcesView::Trusted { again_after: until.saturating_duration_since(now) }),
            Some(Known::Ordered { .. }) => None,
            None if ask.was_ready => {
                let again_after = self.recheck.mul_f64(fastrand::f64());
                let trusted = Known::Trusted { resources: fingerprint.to_owned(), until: now + again_after };
                known.insert(uid.to_owned(), trusted);
                Some(ResourcesView::Trusted { again_after })
            }
            None => None,
        }
    }

    /// Orders a look at some streams and tables, or picks up what was ordered.
    fn may_look(&self, key: &str, account: &Account, (streams, tables): (usize, usize)) -> Result<(), Duration> {
        let now = Instant::now();
        let mut known = self.known.lock();
        let due = match known.get(key) {
            Some(Known::Ordered { due }) => *due,
            _ => {
                let streams = account.streams.order(streams, now);
                let due = now + streams.max(account.tables.order(tables, now));
                known.insert(key.to_owned(), Known::Ordered { due });
                due
            }
        };
        if now < due {
            return Err(due.saturating_duration_since(now));
        }
        known.remove(key);
        Ok(())
    }

    /// Takes a step towards the deletion of what is to go. I/O.
    ///
    /// # Errors
    /// When AWS was asked often enough for now: how long to wait.
    pub async fn remove(&self, pipeline: &ValidatedPipeline, doomed: &[Doomed]) -> Result<Vec<Removed>, Duration> {
        let account = self.account(&pipeline.aws).await;
        let count = |kind| doomed.iter().filter(|doomed| doomed.kind == kind).count();
        // To deregister a consumer its stream is looked at.
        let looks = (count(Kind::Stream) + count(Kind::Consumer), count(Kind::Table));
        self.may_look(&removal_of(&pipeline.identity.uid), &account, looks)?;
        let Identity { namespace, name, .. } = pipeline.identity.clone();
        let owner = PipelineRef { namespace, name };
        Ok(penstock_provision::remove(doomed, &owner, &account.clients, &self.options(pipeline)).await)
    }

    /// Which sinks have stored everything that is in their stream. I/O.
    ///
    /// # Errors
    /// When AWS cannot say.
    pub async fn drained(&self, pipeline: &ValidatedPipeline, sinks: &[&str]) -> Result<Drained, drained::DrainError> {
        let account = self.account(&pipeline.aws).await;
        drained::drained(pipeline, sinks, &account.clients).await
    }

    pub(crate) fn forget(&self, uid: &str) {
        let mut known = self.known.lock();
        known.remove(uid);
        known.remove(&removal_of(uid));
    }

    async fn account(&self, target: &AwsTarget) -> Arc<Account> {
        let key = (target.region.clone(), target.endpoint_url.clone());
        if let Some(account) = self.accounts.lock().get(&key) {
            return Arc::clone(account);
        }
        let clients = self.factory.clients(target).await;
        Arc::clone(self.accounts.lock().entry(key).or_insert_with(|| Arc::new(Account::new(clients))))
    }

    fn options(&self, pipeline: &ValidatedPipeline) -> Options {
        Options {
            // Only an emulator has an endpoint of its own, and an emulator's buckets are nobody's.
            create_buckets: pipeline.aws.endpoint_url.is_some(),
            reshape: true,
            existing: Existing::Refuse,
            cluster: self.cluster.clone(),
        }
    }
}

impl Account {
    fn new(clients: Clients) -> Self {
        Self {
            clients,
            streams: Budget::new(STREAM_LOOKS_A_SECOND, STREAM_LOOKS_A_SECOND),
            tables: Budget::new(TABLE_LOOKS_A_SECOND, TABLE_LOOKS_A_SECOND),
        }
    }
}

/// Where the order for a removal is kept, beside what is known of the resources that stay.
fn removal_of(uid: &str) -> String {
    format!("{uid}/removal")
}

/// What is to be where: the same names in another region, or behind another endpoint, are other resources.
fn fingerprint(target: &AwsTarget, resources: &Resources) -> String {
    // Names and numbers: there is nothing that JSON could not hold.
    #[allow(clippy::expect_used, reason = "a plan's resources are always JSON")]
    let text = serde_json::to_string(&(target, resources)).expect("a plan's resources are always JSON");
    hash(&text)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use super::*;

    /// Clients that are never used: no call is made in these tests.
    struct Unused;

    impl AwsClients for Unused {
        fn clients<'a>(&'a self, _: &'a AwsTarget) -> Pin<Box<dyn Future<Output = Clients> + Send + 'a>> {
            Box::pin(async {
                let config = penstock_runtime::Aws::local("eu-west-1", "http://127.0.0.1:1").await.config;
                Clients {
                    kinesis: aws_sdk_kinesis::Client::new(&config),
                    dynamodb: aws_sdk_dynamodb::Client::new(&config),
                    s3: aws_sdk_s3::Client::new(&config),
                }
            })
        }
    }

    fn accounts() -> Accounts {
        Accounts::new(Arc::new(Unused), &Settings::new("image"))
    }

    const FIRST: Ask = Ask { afresh: false, was_ready: false };
    const AFTER_A_RESTART: Ask = Ask { afresh: false, was_ready: true };

    #[test]
    fn what_was_found_ready_is_trusted_until_the_plan_changes_or_somebody_asks() {
        let accounts = accounts();
        let view = ResourcesView::Known(Vec::new());
        let fresh_for = accounts.recheck;
        let found = Known::Found { resources: "a".to_owned(), at: Instant::now(), fresh_for, view: view.clone() };
        accounts.known.lock().insert("uid".to_owned(), found);
        assert_eq!(accounts.known("uid", "a", FIRST), Some(view));
        assert_eq!(accounts.known("uid", "b", FIRST), None);
        assert_eq!(accounts.known("uid", "a", Ask { afresh: true, was_ready: true }), None);
    }

    #[tokio::test]
    async fn pipelines_of_one_account_and_region_share_a_budget_and_those_of_another_have_their_own() {
        let accounts = accounts();
        let target = |region: &str| AwsTarget { region: region.to_owned(), endpoint_url: None };
        let here = accounts.account(&target("eu-west-1")).await;
        let looks = |account: &Account, who: &str| accounts.may_look(who, account, (4, 0));
        assert_eq!(looks(&here, "a"), Ok(()));
        let also_here = accounts.account(&target("eu-west-1")).await;
        assert!(looks(&also_here, "b").is_err(), "the budget of a second is used up");
        let elsewhere = accounts.account(&target("eu-west-2")).await;
        assert_eq!(looks(&elsewhere, "c"), Ok(()));
    }

    #[test]
    fn what_was_found_in_one_place_says_nothing_about_another() {
        let resources = Resources { streams: Vec::new(), tables: Vec::new(), buckets: Vec::new() };
        let at = |region: &str, endpoint: Option<&str>| {
            let target = AwsTarget { region: region.to_owned(), endpoint_url: endpoint.map(str::to_owned) };
            fingerprint(&target, &resources)
        };
        let here = at("eu-west-1", None);
        assert_eq!(at("eu-west-1", None), here);
        assert_ne!(at("eu-west-2", None), here);
        assert_ne!(at("eu-west-1", Some("http://127.0.0.1:4566")), here);
    }

    #[test]
    fn an_order_for_a_removal_leaves_what_is_known_of_the_rest() {
        let accounts = accounts();
        let view = ResourcesView::Known(Vec::new());
        let fresh_for = accounts.recheck;
        let found = Known::Found { resources: "a".to_owned(), at: Instant::now(), fresh_for, view: view.clone() };
        accounts.known.lock().insert("uid".to_owned(), found);
        accounts.known.lock().insert(removal_of("uid"), Known::Ordered { due: Instant::now() });
        assert_eq!(accounts.known("uid", "a", FIRST), Some(view));
        accounts.forget("uid");
        assert!(accounts.known.lock().is_empty());
    }

    #[test]
    fn after_a_restart_what_the_status_says_is_trusted_for_a_while() {
        let accounts = accounts();
        assert_eq!(accounts.known("uid", "a", FIRST), None);
        let Some(ResourcesView::Trusted { again_after }) = accounts.known("uid", "a", AFTER_A_RESTART) else {
            panic!("it should be trusted")
        };
        assert!(again_after <= accounts.recheck);
        assert_eq!(accounts.known("uid", "b", AFTER_A_RESTART), None, "the plan is another one");
        assert_eq!(accounts.known("uid", "a", FIRST), None, "the spec is a newer one");
    }
}
