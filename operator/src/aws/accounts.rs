//! The accounts and regions that Pipelines are in, and what is known of their resources.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use penstock_api::plan::{AwsTarget, Resources};
use penstock_api::spec::Existing;
use penstock_provision::{Clients, Options, Removed};

use super::budget::Budget;
use super::clients::AwsClients;
use super::drained;
use super::view::{ResourceView, ResourcesView};
use crate::build::{Drained, hash};
use crate::settings::Settings;
use crate::validate::ValidatedPipeline;

/// Looks at streams: DescribeStreamSummary may be called 20 times a second in an account and region, and
/// ListTagsForStream, which goes with it, 5 times.
const STREAM_LOOKS_A_SECOND: f64 = 4.0;
/// Looks at tables: ListTagsOfResource may be called 10 times a second.
const TABLE_LOOKS_A_SECOND: f64 = 8.0;

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
    /// They were found ready.
    Found { resources: String, at: Instant, view: ResourcesView },
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
        let fingerprint = fingerprint(&pipeline.resources);
        if let Some(view) = self.known(uid, &fingerprint, ask) {
            return view;
        }
        let account = self.account(&pipeline.aws).await;
        if let Err(again_after) = self.may_look(uid, &account, &pipeline.resources) {
            return ResourcesView::NotLookedAt { again_after };
        }
        let progress =
            penstock_provision::advance(&pipeline.resources, &account.clients, &self.options(pipeline)).await;
        let view = ResourcesView::Known(progress.into_iter().map(ResourceView::of).collect());
        if view.is_ready() {
            let found = Known::Found { resources: fingerprint, at: Instant::now(), view: view.clone() };
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
            Some(Known::Found { resources, at, view }) => {
                (resources == fingerprint && at.elapsed() < self.recheck).then(|| view.clone())
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

    /// Orders a look, or picks up what was ordered.
    fn may_look(&self, uid: &str, account: &Account, resources: &Resources) -> Result<(), Duration> {
        let now = Instant::now();
        let mut known = self.known.lock();
        let due = match known.get(uid) {
            Some(Known::Ordered { due }) => *due,
            _ => {
                let streams = account.streams.order(resources.streams.len(), now);
                let due = now + streams.max(account.tables.order(resources.tables.len(), now));
                known.insert(uid.to_owned(), Known::Ordered { due });
                due
            }
        };
        if now < due {
            return Err(due.saturating_duration_since(now));
        }
        known.remove(uid);
        Ok(())
    }

    /// Takes a step towards the deletion of what is to go with the Pipeline. I/O.
    ///
    /// # Errors
    /// When AWS was asked often enough for now: how long to wait.
    pub async fn remove(&self, pipeline: &ValidatedPipeline) -> Result<Vec<Removed>, Duration> {
        let account = self.account(&pipeline.aws).await;
        self.may_look(&pipeline.identity.uid, &account, &pipeline.resources)?;
        Ok(penstock_provision::remove(&pipeline.resources, &account.clients, &self.options(pipeline)).await)
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
        self.known.lock().remove(uid);
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

fn fingerprint(resources: &Resources) -> String {
    // Names and numbers: there is nothing that JSON could not hold.
    #[allow(clippy::expect_used, reason = "a plan's resources are always JSON")]
    let text = serde_json::to_string(resources).expect("a plan's resources are always JSON");
    hash(&text)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use super::*;

    /// No call is made in these tests.
    struct NoClients;

    impl AwsClients for NoClients {
        fn clients<'a>(&'a self, _: &'a AwsTarget) -> Pin<Box<dyn Future<Output = Clients> + Send + 'a>> {
            unreachable!("nothing here may ask for AWS")
        }
    }

    fn accounts() -> Accounts {
        Accounts::new(Arc::new(NoClients), &Settings::new("image"))
    }

    const FIRST: Ask = Ask { afresh: false, was_ready: false };
    const AFTER_A_RESTART: Ask = Ask { afresh: false, was_ready: true };

    #[test]
    fn what_was_found_ready_is_trusted_until_the_plan_changes_or_somebody_asks() {
        let accounts = accounts();
        let view = ResourcesView::Known(Vec::new());
        let found = Known::Found { resources: "a".to_owned(), at: Instant::now(), view: view.clone() };
        accounts.known.lock().insert("uid".to_owned(), found);
        assert_eq!(accounts.known("uid", "a", FIRST), Some(view));
        assert_eq!(accounts.known("uid", "b", FIRST), None);
        assert_eq!(accounts.known("uid", "a", Ask { afresh: true, was_ready: true }), None);
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
