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
    found: Mutex<HashMap<String, Found>>,
    recheck: Duration,
    cluster: Option<String>,
}

/// One account and region.
struct Account {
    clients: Clients,
    streams: Budget,
    tables: Budget,
}

/// What was found ready.
struct Found {
    resources: String,
    at: Instant,
    view: ResourcesView,
}

impl Accounts {
    pub(crate) fn new(factory: Arc<dyn AwsClients>, settings: &Settings) -> Self {
        Self {
            factory,
            accounts: Mutex::default(),
            found: Mutex::default(),
            recheck: settings.recheck,
            cluster: settings.cluster.clone(),
        }
    }

    /// Looks at the Pipeline's resources and takes the next step of each. I/O, but not while what was found ready is fresh.
    pub async fn look(&self, pipeline: &ValidatedPipeline, afresh: bool) -> ResourcesView {
        let uid = &pipeline.identity.uid;
        let fingerprint = fingerprint(&pipeline.resources);
        if !afresh
            && let Some(found) = self.found.lock().get(uid)
            && found.resources == fingerprint
            && found.at.elapsed() < self.recheck
        {
            return found.view.clone();
        }
        let account = self.account(&pipeline.aws).await;
        if let Err(again_after) = account.may_look(&pipeline.resources) {
            return ResourcesView::NotLookedAt { again_after };
        }
        let progress =
            penstock_provision::advance(&pipeline.resources, &account.clients, &self.options(pipeline)).await;
        let view = ResourcesView::Known(progress.into_iter().map(ResourceView::of).collect());
        let mut found = self.found.lock();
        if view.is_ready() {
            found.insert(uid.clone(), Found { resources: fingerprint, at: Instant::now(), view: view.clone() });
        } else {
            found.remove(uid);
        }
        view
    }

    /// Takes a step towards the deletion of what is to go with the Pipeline. I/O.
    ///
    /// # Errors
    /// When AWS was asked often enough for now: how long to wait.
    pub async fn remove(&self, pipeline: &ValidatedPipeline) -> Result<Vec<Removed>, Duration> {
        let account = self.account(&pipeline.aws).await;
        account.may_look(&pipeline.resources)?;
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
        self.found.lock().remove(uid);
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

    fn may_look(&self, resources: &Resources) -> Result<(), Duration> {
        let now = Instant::now();
        self.streams.take(resources.streams.len(), now)?;
        self.tables.take(resources.tables.len(), now)
    }
}

fn fingerprint(resources: &Resources) -> String {
    // Names and numbers: there is nothing that JSON could not hold.
    #[allow(clippy::expect_used, reason = "a plan's resources are always JSON")]
    let text = serde_json::to_string(resources).expect("a plan's resources are always JSON");
    hash(&text)
}
