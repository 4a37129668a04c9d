//! The calls to the lease table. Each is made once (apart from what the client itself repeats), has a time
//! limit and an error that can be matched; whether to try again is the caller's decision.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use penstock_contract::{ArrivalMillis, Recipe, ShardId};

use crate::lease::{Lease, WorkerId};
use crate::load::Load;
use crate::observe::Rows;
use crate::pin::RecipeHash;
use crate::row::{self, Item, Row, WorkerRow};

/// No call may take longer, whatever the client was configured with.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// So many heartbeats and looks that hang, one after the other, cost a worker its leases.
const QUICK_CALLS_IN_FAILOVER: u32 = 3;
/// Less would take a service that is slow for one that hangs.
const LEAST_QUICK_LIMIT: Duration = Duration::from_secs(1);
/// DynamoDB answers at most 1 MB a page; no lease table has so many pages.
const MAX_PAGES: usize = 1_000;

/// Why a call to the lease table did not succeed. All of them are worth trying again: the table may be
/// created, and permissions may be given, at any time.
#[derive(Debug, thiserror::Error)]
pub enum LeaseTableError {
    /// The table does not exist.
    #[error("{doing}: the lease table does not exist; it is created when the Pipeline is provisioned")]
    MissingTable {
        /// What was being done to what.
        doing: String,
    },
    /// The credentials may not do this.
    #[error("{doing} is not allowed: {message}")]
    AccessDenied {
        /// What was being done to what.
        doing: String,
        /// The service's own message.
        message: String,
    },
    /// The service throttles.
    #[error("{doing} was throttled")]
    Throttled {
        /// What was being done to what.
        doing: String,
    },
    /// The service failed or could not be reached. The call may have had its effect.
    #[error("{doing} did not succeed")]
    Service {
        /// What was being done to what.
        doing: String,
        /// What the client saw.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer breaks the service's own rules, or the row is not what it should be.
    #[error("{doing}: {message}")]
    Unreadable {
        /// What was being done to what.
        doing: String,
        /// What is wrong.
        message: String,
    },
}

impl LeaseTableError {
    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::MissingTable { .. } => "lease_table_missing",
            Self::AccessDenied { .. } => "lease_table_access_denied",
            Self::Throttled { .. } => "lease_table_throttled",
            Self::Service { .. } => "lease_table_failed",
            Self::Unreadable { .. } => "lease_table_unreadable",
        }
    }
}

/// What became of a fenced write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// The row is as it was wanted.
    Done,
    /// The row is not the one that was seen any more: the lease is lost.
    Lost,
}

/// The lease table of one sink.
#[derive(Debug, Clone)]
pub(crate) struct LeaseTable {
    client: Client,
    name: String,
    /// For what must be done again and again within a failover, and may be.
    quick_limit: Duration,
}

impl LeaseTable {
    pub(crate) fn new(client: Client, name: String, failover: Duration) -> Self {
        Self { client, name, quick_limit: (failover / QUICK_CALLS_IN_FAILOVER).max(LEAST_QUICK_LIMIT) }
    }

    /// All rows, each as it is at some moment during the call.
    ///
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html>
    pub(crate) async fn rows(&self) -> Result<Rows, LeaseTableError> {
        let doing = || format!("reading the lease table {}", self.name);
        let mut rows = Vec::new();
        let mut from: Option<Item> = None;
        for _ in 0..MAX_PAGES {
            let request =
                self.client.scan().table_name(&self.name).consistent_read(true).set_exclusive_start_key(from.take());
            let answer = self.call_within(self.quick_limit, doing, request.send()).await?;
            rows.extend(answer.items().iter().map(row::read));
            match answer.last_evaluated_key {
                Some(next) if !next.is_empty() => from = Some(next),
                _ => return Ok(rows.into_iter().collect()),
            }
        }
        Err(LeaseTableError::Unreadable { doing: doing(), message: format!("more than {MAX_PAGES} pages of rows") })
    }

    /// The lease of a shard as it is now.
    pub(crate) async fn lease(&self, shard: &ShardId) -> Result<Option<Lease>, LeaseTableError> {
        let doing = || format!("reading the lease of {shard} in {}", self.name);
        match self.item(shard.as_str(), doing).await?.as_ref().map(row::read) {
            None | Some(Row::Worker(_) | Row::Recipe { .. } | Row::Start(_) | Row::Foreign) => Ok(None),
            Some(Row::Lease(lease)) => Ok(Some(lease)),
            Some(Row::Broken { problem, .. }) => Err(LeaseTableError::Unreadable { doing: doing(), message: problem }),
        }
    }

    /// Writes a lease that is not there yet; leaves one that is there as it is.
    pub(crate) async fn create(&self, lease: &Lease) -> Result<(), LeaseTableError> {
        let doing = || format!("writing the lease of {} into {}", lease.shard, self.name);
        self.put_new(doing, row::write_lease(lease)).await
    }

    /// Writes at which time reading of the stream begins; whoever was first is right.
    pub(crate) async fn start(&self, at: ArrivalMillis) -> Result<(), LeaseTableError> {
        let doing = || format!("writing into {} when reading begins", self.name);
        self.put_new(doing, row::write_start(at)).await
    }

    /// Writes an item unless there is one of its key.
    async fn put_new(&self, doing: impl Fn() -> String, item: Item) -> Result<(), LeaseTableError> {
        let request = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", row::LEASE_KEY);
        self.conditional(doing, request.send()).await.map(drop)
    }

    /// Writes a lease in place of one that is, or says what was so, of an earlier stream, if that still is the one that was
    /// seen.
    pub(crate) async fn restart(&self, seen: &Lease, lease: &Lease) -> Result<(), LeaseTableError> {
        let doing = || format!("writing the lease of {} into {} anew", lease.shard, self.name);
        let request = self.client.put_item().table_name(&self.name).set_item(Some(row::write_lease(lease)));
        let Condition { text, names, values } = Condition::unchanged(seen);
        let request = request
            .condition_expression(text)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values));
        self.conditional(doing, request.send()).await.map(drop)
    }

    /// Replaces the row that was seen with the one that is wanted, if it still is the one that was seen.
    ///
    /// A condition that fails may be the echo of a write of our own whose answer was lost: then the row
    /// already is as it is wanted.
    pub(crate) async fn replace(&self, seen: &Lease, wanted: &Lease) -> Result<Write, LeaseTableError> {
        let doing = || format!("changing the lease of {} in {}", seen.shard, self.name);
        let request = fenced(self.client.update_item().table_name(&self.name), seen, wanted);
        if self.conditional(doing, request.send()).await? {
            return Ok(Write::Done);
        }
        let now = self.lease(&seen.shard).await?;
        Ok(if now.is_some_and(|now| wanted.was_written_as(&now)) { Write::Done } else { Write::Lost })
    }

    /// Deletes a lease, if it still is the one that was seen.
    pub(crate) async fn delete(&self, seen: &Lease) -> Result<(), LeaseTableError> {
        let doing = || format!("deleting the lease of {} from {}", seen.shard, self.name);
        let key = row::key_of(seen.shard.as_str());
        let Condition { text, names, values } = Condition::unchanged(seen);
        let request = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key))
            .condition_expression(text)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values));
        self.conditional(doing, request.send()).await.map(drop)
    }

    /// Moves the worker's heartbeat; makes its row when there is none.
    pub(crate) async fn heartbeat(
        &self,
        worker: &WorkerId,
        recipe: &RecipeHash,
        draining: bool,
        load: Option<Load>,
    ) -> Result<(), LeaseTableError> {
        let doing = || format!("writing the heartbeat of {worker} into {}", self.name);
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(row::key_of(row::worker_key(worker))))
            .update_expression(match load {
                Some(_) => {
                    "SET #type = :type, #recipe = :recipe, #draining = :draining, #load = :load, #lightest = :lightest \
                     ADD #heartbeat :one"
                }
                None => {
                    "SET #type = :type, #recipe = :recipe, #draining = :draining REMOVE #load, #lightest \
                     ADD #heartbeat :one"
                }
            })
            .expression_attribute_names("#load", row::LOAD)
            .expression_attribute_names("#lightest", row::LIGHTEST)
            .expression_attribute_names("#type", row::ENTITY_TYPE)
            .expression_attribute_names("#recipe", row::RECIPE)
            .expression_attribute_names("#draining", row::DRAINING)
            .expression_attribute_names("#heartbeat", row::HEARTBEAT)
            .expression_attribute_values(":type", AttributeValue::S(row::WORKER_TYPE.to_owned()))
            .expression_attribute_values(":recipe", AttributeValue::S(recipe.to_string()))
            .expression_attribute_values(":draining", AttributeValue::Bool(draining))
            .expression_attribute_values(":one", row::number_value(1));
        let request = match load {
            Some(load) => request
                .expression_attribute_values(":load", row::number_value(load.all))
                .expression_attribute_values(":lightest", row::number_value(load.lightest)),
            None => request,
        };
        self.call_within(self.quick_limit, doing, request.send()).await.map(drop)
    }

    /// Deletes the worker's own heartbeat.
    pub(crate) async fn retire(&self, worker: &WorkerId) -> Result<(), LeaseTableError> {
        let doing = || format!("deleting the heartbeat of {worker} from {}", self.name);
        let key = row::key_of(row::worker_key(worker));
        let request = self.client.delete_item().table_name(&self.name).set_key(Some(key));
        self.call(doing, request.send()).await.map(drop)
    }

    /// Deletes the heartbeat of a worker that is gone, if it has not moved.
    pub(crate) async fn forget_worker(&self, seen: &WorkerRow) -> Result<(), LeaseTableError> {
        let doing = || format!("deleting the heartbeat of {}, which is gone, from {}", seen.id, self.name);
        self.delete_if(&row::worker_key(&seen.id), row::HEARTBEAT, seen.heartbeat, doing).await
    }

    /// Makes sure that the recipe is there and stays there for a while.
    pub(crate) async fn keep_recipe(&self, hash: &RecipeHash, recipe: &Recipe) -> Result<(), LeaseTableError> {
        let doing = || format!("writing the recipe {hash} into {}", self.name);
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(row::key_of(row::recipe_key(hash))))
            .update_expression("SET #type = :type, #recipe = :recipe ADD #touched :one")
            .expression_attribute_names("#type", row::ENTITY_TYPE)
            .expression_attribute_names("#recipe", row::RECIPE)
            .expression_attribute_names("#touched", row::TOUCHED)
            .expression_attribute_values(":type", AttributeValue::S(row::RECIPE_TYPE.to_owned()))
            .expression_attribute_values(":recipe", AttributeValue::B(Blob::new(recipe.0.to_vec())))
            .expression_attribute_values(":one", row::number_value(1));
        self.call(doing, request.send()).await.map(drop)
    }

    /// A recipe that a range was pinned with.
    pub(crate) async fn recipe(&self, hash: &RecipeHash) -> Result<Recipe, LeaseTableError> {
        let doing = || format!("reading the recipe {hash} from {}", self.name);
        let item = self.item(&row::recipe_key(hash), doing).await?;
        let bytes = item.and_then(|mut item| item.remove(row::RECIPE)).and_then(|value| match value {
            AttributeValue::B(bytes) => Some(Bytes::from(bytes.into_inner())),
            _ => None,
        });
        let recipe = bytes.map(Recipe).filter(|recipe| RecipeHash::of(recipe) == *hash);
        recipe.ok_or_else(|| LeaseTableError::Unreadable {
            doing: doing(),
            message: "a range is pinned with this recipe, and the recipe is missing or damaged".to_owned(),
        })
    }

    /// Deletes a recipe, if nobody has made sure of it since it was seen.
    pub(crate) async fn forget_recipe(&self, hash: &RecipeHash, touched: u64) -> Result<(), LeaseTableError> {
        let doing = || format!("deleting the recipe {hash} from {}", self.name);
        self.delete_if(&row::recipe_key(hash), row::TOUCHED, touched, doing).await
    }

    async fn item(&self, key: &str, doing: impl Fn() -> String) -> Result<Option<Item>, LeaseTableError> {
        let request =
            self.client.get_item().table_name(&self.name).set_key(Some(row::key_of(key))).consistent_read(true);
        Ok(self.call(doing, request.send()).await?.item)
    }

    async fn delete_if(
        &self,
        key: &str,
        attribute: &str,
        seen: u64,
        doing: impl Fn() -> String,
    ) -> Result<(), LeaseTableError> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(row::key_of(key)))
            .condition_expression("#seen = :seen")
            .expression_attribute_names("#seen", attribute)
            .expression_attribute_values(":seen", row::number_value(seen));
        self.conditional(doing, request.send()).await.map(drop)
    }

    /// Whether the condition held.
    async fn conditional<T, E>(
        &self,
        doing: impl Fn() -> String,
        sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<bool, LeaseTableError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let sent = async {
            match sent.await {
                Err(SdkError::ServiceError(refused))
                    if refused.err().code() == Some("ConditionalCheckFailedException") =>
                {
                    Ok(false)
                }
                other => other.map(|_| true),
            }
        };
        self.call(doing, sent).await
    }

    async fn call<T, E>(
        &self,
        doing: impl Fn() -> String,
        sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, LeaseTableError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        self.call_within(CALL_LIMIT, doing, sent).await
    }

    async fn call_within<T, E>(
        &self,
        limit: Duration,
        doing: impl Fn() -> String,
        sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, LeaseTableError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        match tokio::time::timeout(limit, sent).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(classify(doing(), error)),
            Err(elapsed) => Err(LeaseTableError::Service { doing: doing(), source: Box::new(elapsed) }),
        }
    }
}

/// What must hold for a write, with what its placeholders stand for.
struct Condition {
    text: String,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Condition {
    /// The row is the one that was seen. Counters tell it from all later ones, but begin anew with a row that was deleted and
    /// written again: the shard's sequence number tells it from one for another shard of the name.
    fn unchanged(seen: &Lease) -> Self {
        let mut values = HashMap::from([(":seen".to_owned(), row::number_value(seen.counter))]);
        let known = match &seen.known_sequence {
            Some(known) => {
                values.insert(":known".to_owned(), AttributeValue::S(known.to_string()));
                "#known = :known"
            }
            None => "attribute_not_exists(#known)",
        };
        let names = [("#counter", row::LEASE_COUNTER), ("#known", row::KNOWN_SEQUENCE)];
        let names = names.map(|(name, attribute)| (name.to_owned(), attribute.to_owned()));
        Self { text: format!("#counter = :seen AND {known}"), names: HashMap::from(names), values }
    }
}

/// The write of a lease that takes effect only while counter and owner are as they were seen. Attributes that
/// are not ours stay as they are.
fn fenced(request: UpdateItemFluentBuilder, seen: &Lease, wanted: &Lease) -> UpdateItemFluentBuilder {
    let mut set = Vec::new();
    let mut remove = Vec::new();
    let Condition { text: unchanged, mut names, mut values } = Condition::unchanged(seen);
    for (place, (attribute, value)) in row::changing(wanted).into_iter().enumerate() {
        names.insert(format!("#a{place}"), attribute.to_owned());
        match value {
            Some(value) => {
                values.insert(format!(":a{place}"), value);
                set.push(format!("#a{place} = :a{place}"));
            }
            None => remove.push(format!("#a{place}")),
        }
    }
    names.insert("#owner".to_owned(), row::LEASE_OWNER.to_owned());
    let mut update = format!("SET {}", set.join(", "));
    if !remove.is_empty() {
        update = format!("{update} REMOVE {}", remove.join(", "));
    }
    let owner = match &seen.owner {
        Some(owner) => {
            values.insert(":owner".to_owned(), AttributeValue::S(owner.to_string()));
            "#owner = :owner"
        }
        None => "attribute_not_exists(#owner)",
    };
    request
        .set_key(Some(row::key_of(seen.shard.as_str())))
        .update_expression(update)
        .condition_expression(format!("{unchanged} AND {owner}"))
        .set_expression_attribute_names(Some(names))
        .set_expression_attribute_values(Some(values))
}

fn classify<E>(doing: String, error: SdkError<E, HttpResponse>) -> LeaseTableError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let message = || error.meta().message().unwrap_or("the service gave no message").to_owned();
    match error.code() {
        Some("ResourceNotFoundException") => LeaseTableError::MissingTable { doing },
        Some(
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException"
            | "ExpiredTokenException",
        ) => LeaseTableError::AccessDenied { message: message(), doing },
        Some("ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded") => {
            LeaseTableError::Throttled { doing }
        }
        _ => LeaseTableError::Service { doing, source: Box::new(error) },
    }
}
