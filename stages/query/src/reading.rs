//! The two calls that are made, and what their failures mean.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use penstock_api::spec::Order;

use crate::compile::{Route, attributes};
use crate::problem::{Problem, ProblemKind};
use crate::question::{Question, SortRange};
use crate::telemetry::Telemetry;
use crate::value::{Item, size};

/// Reads tables.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) client: Client,
    pub(crate) telemetry: Telemetry,
}

/// What one call has read.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// Where the next call goes on; `None` at the end of the partition.
    pub(crate) more_after: Option<AttributeValue>,
    pub(crate) bytes: u64,
}

/// How much has been read for one answer, and how much may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    items: u64,
    bytes: u64,
}

impl Allowance {
    pub(crate) fn of(route: &Route) -> Self {
        Self { items: route.plan.max_read_items, bytes: route.plan.max_read_bytes }
    }

    /// Takes what a page had; false when that was more than there was left.
    pub(crate) fn take(&mut self, page: &Page) -> bool {
        let items = page.items.len() as u64;
        let enough = items <= self.items && page.bytes <= self.bytes;
        self.items = self.items.saturating_sub(items);
        self.bytes = self.bytes.saturating_sub(page.bytes);
        enough
    }

    /// The most items that one more call may ask for: one beyond what is allowed, so that it shows.
    pub(crate) fn next_call(&self) -> i32 {
        i32::try_from(self.items.saturating_add(1)).unwrap_or(i32::MAX)
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.items == 0 || self.bytes == 0
    }
}

/// The refusal of an answer that would take more reading than its route allows.
pub(crate) fn too_much(route: &Route) -> Problem {
    let detail = format!(
        "the answer is made of more than the {} items or {} bytes that the route reads for one; ask for less of the partition, or \
         raise `limits.readItems` and `limits.readBytes` of the route",
        route.plan.max_read_items, route.plan.max_read_bytes
    );
    Problem::new(ProblemKind::TooMuchToRead, detail)
}

impl Reader {
    /// GetItem: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html>.
    pub(crate) async fn item(&self, route: &Route, question: &Question) -> Result<Option<Item>, Problem> {
        let names = Names::of(route);
        let mut call = self
            .client
            .get_item()
            .table_name(&route.plan.table)
            .consistent_read(question.consistent)
            .set_projection_expression(names.projection())
            .set_expression_attribute_names(names.projected());
        for value in question.partitions.iter().take(1) {
            call = call.key(&route.plan.partition_key.name, value.clone());
        }
        if let (Some(key), SortRange::Equals(value)) = (&route.plan.sort_key, &question.range) {
            call = call.key(&key.name, value.clone());
        }
        let answer = call.send().await.map_err(|error| self.failed(route, &error))?;
        self.telemetry.read(1, answer.item.as_ref().map_or(0, size));
        Ok(answer.item)
    }

    /// Query: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html>. It answers up to 1 MB.
    pub(crate) async fn page(
        &self,
        route: &Route,
        question: &Question,
        partition: &AttributeValue,
        after: Option<AttributeValue>,
        max_items: i32,
    ) -> Result<Page, Problem> {
        let names = Names::of(route);
        let (condition, values) = key_condition(partition, &question.range);
        let start = after.zip(route.plan.sort_key.as_ref()).map(|(after, key)| {
            HashMap::from([(route.plan.partition_key.name.clone(), partition.clone()), (key.name.clone(), after)])
        });
        let descending = route.plan.order == Order::Descending && !route.is_whole();
        let answer = self
            .client
            .query()
            .table_name(&route.plan.table)
            .key_condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .set_expression_attribute_names(Some(names.all(route, &question.range)))
            .set_projection_expression(names.projection())
            .set_exclusive_start_key(start)
            .scan_index_forward(!descending)
            .consistent_read(question.consistent)
            .limit(max_items.max(1))
            .send()
            .await
            .map_err(|error| self.failed(route, &error))?;
        let items = answer.items.unwrap_or_default();
        let bytes = items.iter().map(size).sum();
        self.telemetry.read(items.len() as u64, bytes);
        let more_after = answer.last_evaluated_key.filter(|key| !key.is_empty());
        let more_after =
            more_after.and_then(|mut key| route.plan.sort_key.as_ref().and_then(|sort| key.remove(&sort.name)));
        Ok(Page { items, more_after, bytes })
    }

    fn failed<E, R>(&self, route: &Route, error: &SdkError<E, R>) -> Problem
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no_answer");
        let kind = kind_of(code);
        self.telemetry.read_failed(kind.code());
        let table = &route.plan.table;
        if kind == ProblemKind::Internal {
            tracing::error!(code, table, error = %chain(error), "the table refuses a question");
        } else {
            tracing::warn!(code, table, error = %chain(error), "the table cannot be read");
        }
        let detail = match kind {
            ProblemKind::Throttled => {
                format!("the table {table} is read more often than it is made for; ask again later")
            }
            ProblemKind::TableMissing => format!("the table {table} is not there yet; ask again later"),
            ProblemKind::Internal => "the table does not take the question; please report this".to_owned(),
            _ => format!("the table {table} does not answer; ask again later"),
        };
        Problem::new(kind, detail)
    }
}

/// What a failure means for whoever asked (DynamoDB developer guide, "Error handling").
fn kind_of(code: &str) -> ProblemKind {
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "LimitExceededException" => ProblemKind::Throttled,
        "ResourceNotFoundException" => ProblemKind::TableMissing,
        "ValidationException" => ProblemKind::Internal,
        _ => ProblemKind::Unavailable,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

/// Placeholders for attributes: names may be reserved words.
struct Names<'a>(Option<Vec<&'a str>>);

impl<'a> Names<'a> {
    fn of(route: &'a Route) -> Self {
        Self(attributes(route))
    }

    fn projection(&self) -> Option<String> {
        let names = self.0.as_ref()?;
        Some((0..names.len()).map(|index| format!("#a{index}")).collect::<Vec<_>>().join(","))
    }

    fn projected(&self) -> Option<HashMap<String, String>> {
        let names = self.0.as_ref()?;
        Some(names.iter().enumerate().map(|(index, name)| (format!("#a{index}"), (*name).to_owned())).collect())
    }

    fn all(&self, route: &Route, range: &SortRange) -> HashMap<String, String> {
        let mut all = self.projected().unwrap_or_default();
        all.insert("#p".to_owned(), route.plan.partition_key.name.clone());
        if *range != SortRange::All {
            all.extend(route.plan.sort_key.iter().map(|key| ("#s".to_owned(), key.name.clone())));
        }
        all
    }
}

fn key_condition(partition: &AttributeValue, range: &SortRange) -> (String, HashMap<String, AttributeValue>) {
    let mut values = HashMap::from([(":p".to_owned(), partition.clone())]);
    let mut with = |name: &str, value: &AttributeValue| {
        values.insert(name.to_owned(), value.clone());
    };
    let sort = match range {
        SortRange::All => None,
        SortRange::Equals(value) => Some(("#s = :s", value, None)),
        SortRange::Prefix(value) => Some(("begins_with(#s, :s)", value, None)),
        SortRange::From(value) => Some(("#s >= :s", value, None)),
        SortRange::To(value) => Some(("#s <= :s", value, None)),
        SortRange::Above(value) => Some(("#s > :s", value, None)),
        SortRange::Between(from, to) => Some(("#s BETWEEN :s AND :t", from, Some(to))),
    };
    let Some((condition, from, to)) = sort else { return ("#p = :p".to_owned(), values) };
    with(":s", from);
    if let Some(to) = to {
        with(":t", to);
    }
    (format!("#p = :p AND {condition}"), values)
}
