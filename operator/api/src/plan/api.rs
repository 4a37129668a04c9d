//! The configuration of an API: its routes with everything that is known of their tables.

use serde::{Deserialize, Serialize};

use super::stage::config;
use super::{KeyAttribute, PlanError, StageConfig, StageKind, millis_or, size_or};
use crate::spec::{
    Answer, Api, ConsistentReads, EmptyAnswer, Field, Filter, KeyField, Order, Parameter, Pipeline, Route,
    SortCondition, Table, Total,
};

/// A read-only HTTP API over tables. Sizes are in bytes, times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiStage {
    /// The Secret that holds the API keys; everybody may ask when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys_secret: Option<String>,
    /// How often each key may ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RatePlan>,
    /// Which pages of other hosts may read the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<CorsPlan>,
    /// The largest number of connections at one time.
    pub max_connections: u32,
    /// How many requests may be worked on at one time.
    pub max_requests: u32,
    /// How long an answer may take.
    pub timeout_millis: u64,
    /// The routes.
    pub routes: Vec<RoutePlan>,
}

/// How often each key may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RatePlan {
    /// Requests a second in the long run.
    pub requests_per_second: u32,
    /// Requests at once after a pause.
    pub burst: u32,
}

/// Which pages of other hosts may read the answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CorsPlan {
    /// The origins of the pages, or `*`.
    pub origins: Vec<String>,
    /// How long a browser may remember that.
    pub max_age_seconds: u64,
}

/// A question and where its answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoutePlan {
    /// The path, with parameters in braces.
    pub path: String,
    /// What is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The table.
    pub table: String,
    /// The table's partition key.
    pub partition_key: KeyAttribute,
    /// The table's sort key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort_key: Option<KeyAttribute>,
    /// The templates of the partition keys' values: one, or several that are read one after the other.
    pub partitions: Vec<String>,
    /// The condition on the sort key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<SortCondition>,
    /// What is answered.
    pub answer: Answer,
    /// What is known about parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Which attributes are answered; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Conditions on each item.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// The attributes that make a line of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
    /// What is computed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub totals: Vec<Total>,
    /// The field that the answer is ordered by, instead of the sort key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
    /// The direction.
    pub order: Order,
    /// What is answered when there are no items.
    pub empty: EmptyAnswer,
    /// Whether reads see every write before.
    pub consistent_reads: ConsistentReads,
    /// Items of a page when the request does not say.
    pub page_items: u32,
    /// Items of a page at most.
    pub max_page_items: u32,
    /// Items read for an answer at most.
    pub max_read_items: u64,
    /// Bytes read for an answer at most.
    pub max_read_bytes: u64,
}

const MEBI: u64 = 1 << 20;

pub(super) fn api(pipeline: &Pipeline, api: &Api) -> Result<StageConfig, PlanError> {
    let part = |field: &str| format!("api {:?}: {field}", api.name);
    let limits = api.limits.clone().unwrap_or_default();
    let max_age = |max_age: Option<&String>| millis_or(max_age, 600_000, || part("cors.maxAge"));
    let stage = ApiStage {
        api_keys_secret: api.auth.as_ref().map(|auth| auth.api_keys.secret_name.clone()),
        rate_limit: api.rate_limit.map(|rate| {
            let requests_per_second = whole(Some(rate.requests_per_second), 1);
            RatePlan { requests_per_second, burst: whole(rate.burst, requests_per_second.saturating_mul(2)) }
        }),
        cors: match &api.cors {
            Some(cors) => Some(CorsPlan {
                origins: cors.origins.clone(),
                max_age_seconds: max_age(cors.max_age.as_ref())? / 1000,
            }),
            None => None,
        },
        max_connections: whole(limits.connections, 1024),
        max_requests: whole(limits.requests, 16),
        timeout_millis: millis_or(limits.timeout.as_ref(), 10_000, || part("limits.timeout"))?,
        routes: api.routes.iter().map(|one| route(pipeline, api, one)).collect::<Result<_, _>>()?,
    };
    Ok(config(pipeline, &api.name, StageKind::Api(stage)))
}

fn route(pipeline: &Pipeline, api: &Api, route: &Route) -> Result<RoutePlan, PlanError> {
    let part = |field: &str| format!("api {:?}: route {:?}: {field}", api.name, route.path);
    let table = table(pipeline, &route.table)
        .ok_or_else(|| PlanError::UnknownTable { part: part("table"), table: route.table.clone() })?;
    let partition_key = key(&table.partition, "pk");
    let limits = route.limits.clone().unwrap_or_default();
    let max_page_items = whole(limits.max_page, 1000);
    let equals = route.sort.as_ref().is_some_and(|sort| sort.equals.is_some());
    let by_key = if table.sort.is_none() || equals { Answer::Item } else { Answer::Items };
    Ok(RoutePlan {
        path: route.path.clone(),
        description: route.description.clone(),
        table: route.table.clone(),
        partitions: match (&route.partitions, &route.partition) {
            (Some(several), _) => several.clone(),
            (None, Some(one)) => vec![one.clone()],
            (None, None) => vec![format!("{{{}}}", partition_key.name)],
        },
        partition_key,
        sort_key: table.sort.as_ref().map(|sort| key(sort, "sk")),
        sort: route.sort.clone(),
        answer: route.answer.unwrap_or(by_key),
        parameters: route.parameters.clone().unwrap_or_default(),
        fields: route.fields.clone().unwrap_or_default(),
        filters: route.filters.clone().unwrap_or_default(),
        group_by: route.group_by.clone().unwrap_or_default(),
        totals: route.totals.clone().unwrap_or_default(),
        order_by: route.order_by.clone(),
        order: route.order.unwrap_or_default(),
        empty: route.empty.unwrap_or_default(),
        consistent_reads: route.consistent_reads.unwrap_or_default(),
        page_items: whole(limits.page, 100).min(max_page_items),
        max_page_items,
        max_read_items: u64::from(whole(limits.read_items, 20_000)),
        max_read_bytes: size_or(limits.read_bytes.as_ref(), 16 * MEBI, || part("limits.readBytes"))?,
    })
}

fn table<'a>(pipeline: &'a Pipeline, name: &str) -> Option<&'a Table> {
    let tables = pipeline.spec.sinks.iter().filter_map(|sink| sink.dynamodb.as_ref());
    tables.flat_map(|dynamodb| &dynamodb.tables).find(|table| table.name == name)
}

fn key(key: &KeyField, default: &str) -> KeyAttribute {
    let name = key.attribute.as_deref().or(key.field.as_deref()).unwrap_or(default).to_owned();
    KeyAttribute { name, key_type: key.key_type }
}

/// The schema lets nothing below 1 through.
fn whole(told: Option<i32>, default: u32) -> u32 {
    told.and_then(|told| u32::try_from(told).ok()).unwrap_or(default)
}
