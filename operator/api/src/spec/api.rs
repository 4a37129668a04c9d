//! What is asked about the records that ended up in tables.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Auth, StageTemplate, patterns};

/// A read-only HTTP API over the tables that this Pipeline's sinks fill. It describes itself at `/openapi.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// The name of the API and of its stage, unique in the Pipeline.
    #[schemars(length(min = 1, max = 40), regex(pattern = patterns::NAME_PATTERN))]
    pub name: String,
    /// Who may ask. Without it, everybody who reaches the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// How often each API key may ask; without `auth`, everybody together. Without it, as often as they like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Which pages on other hosts may read the answers in a browser. Without it, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Limits of the endpoint; a request beyond them is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ApiLimits>,
    /// The questions that can be asked. No path may match two of them.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["path"]))]
    pub routes: Vec<Route>,
    /// How many pods the stage has. Default 1. An autoscaler that scales the stage's Deployment is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// `true` stops this API alone, at once: its endpoint does not answer. Without the field it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Settings of the stage's pods: resources, placement, labels, image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<StageTemplate>,
}

/// How often each API key may ask. Each pod counts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// How many requests a second it may send in the long run.
    #[schemars(range(min = 1, max = 100_000))]
    pub requests_per_second: i32,
    /// How many requests it may send at once after a pause. Default: those of two seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<i32>,
}

/// Which pages on other hosts may read the answers in a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// The origins of the pages, such as `https://shop.example`; `*` for all.
    #[schemars(schema_with = "origins")]
    pub origins: Vec<String>,
    /// How long a browser may remember that. Default `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = crate::units::DURATION_PATTERN))]
    pub max_age: Option<String>,
}

/// Hard limits of an API's endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiLimits {
    /// The largest number of connections at one time. Default 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub connections: Option<i32>,
    /// How many requests may be worked on at one time; more wait for a moment and are then refused. Default 16. For each there
    /// are 8 MiB of room for answers that clients are still taking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub requests: Option<i32>,
    /// How long an answer may take, and a page of one that is streamed; in that time a client must take 32 KiB of a large one.
    /// Default `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = crate::units::DURATION_PATTERN))]
    pub timeout: Option<String>,
}

/// A question that can be asked with `GET`, and where its answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The path, such as `/invoices/{InvoiceNo}`. What stands in braces is a parameter; `{name}` in the templates below
    /// that the path does not have is a query parameter.
    #[schemars(length(min = 2, max = 128), regex(pattern = patterns::ROUTE_PATH))]
    pub path: String,
    /// What is answered, in a sentence, for those who ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub description: Option<String>,
    /// The name of the table: one that a sink of this Pipeline fills.
    #[schemars(length(min = 3, max = 255), regex(pattern = patterns::AWS_NAME))]
    pub table: String,
    /// A template that makes the partition key, such as `{Year}-{Month}`. Default: the parameter with the name of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub partition: Option<String>,
    /// Templates of several partition keys, such as the months of a year, instead of `partition`. They are read one after the
    /// other, for `groupBy` and `answer: Totals` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "partitions")]
    pub partitions: Option<Vec<String>>,
    /// Which items of the partition are read, by their sort key. Without it, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<SortCondition>,
    /// What is answered. Default `Item` where the table has no sort key or `sort` has `equals`, else `Items`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What is known about parameters beyond their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Option<Vec<Parameter>>,
    /// Which attributes are answered, in which order and under which name. Without it, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub fields: Option<Vec<Field>>,
    /// Conditions that each item must satisfy. They are looked at after reading, so they save no reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub filters: Option<Vec<Filter>>,
    /// Makes one line of all items that agree in these attributes; `totals` says what the line holds. The answer is read
    /// whole, within `limits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "group_by")]
    pub group_by: Option<Vec<String>>,
    /// What is computed over the items, beside them or for each line of `groupBy`. The answer is read whole, within `limits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub totals: Option<Vec<Total>>,
    /// A field of the answer, or a total of `groupBy`, that the answer is ordered by; with `limit` in the request it gives the
    /// first of them. The answer is read whole, within `limits`. Without it, answers come in the order of the sort key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub order_by: Option<String>,
    /// The direction of the order. Default `Ascending`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// What is answered when there are no items. Default `EmptyList`. An `Item` that is not there is always 404.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<EmptyAnswer>,
    /// Whether reads see every write that came before; they cost twice as much. Default `OnRequest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistent_reads: Option<ConsistentReads>,
    /// How much is answered and read for one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RouteLimits>,
    /// Draws the answer on the page that shows the Pipeline. Each parameter of the path then needs an `example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<RouteChart>,
}

/// How the lines of an answer are drawn on the page that shows the Pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteChart {
    /// What stands above it. Default: the route's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub title: Option<String>,
    /// Whether it is a line or bars. Default `Bar`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ChartKind>,
    /// The field of the answer that names a bar or a place along the line, such as `Day`.
    #[schemars(length(min = 1, max = 255))]
    pub by: String,
    /// The field of the answer whose numbers are drawn, such as `revenue`.
    #[schemars(length(min = 1, max = 255))]
    pub value: String,
    /// What the numbers count, such as `£`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub unit: Option<String>,
    /// How many lines of the answer are drawn: its first ones. Default 10 bars, or 366 places of a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<i32>,
}

/// How an answer is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChartKind {
    /// A bar for each line of the answer, in its order.
    #[default]
    Bar,
    /// A line from one line of the answer to the next, such as over days.
    Line,
}

/// Which items of a partition are read, by their sort key. Holds exactly one of: `equals`, `prefix`, `between`, `newerThan`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SortCondition {
    /// A template: the one item with that sort key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub equals: Option<String>,
    /// A template: those whose sort key begins so. When a query parameter of it is not sent, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub prefix: Option<String>,
    /// Those from one sort key to another, both included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<Between>,
    /// A template: those whose sort key is greater. When a query parameter of it is not sent, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub newer_than: Option<String>,
}

/// From one sort key to another, both included. An end whose query parameter is not sent is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Between {
    /// A template: the least sort key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub from: Option<String>,
    /// A template: the greatest sort key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub to: Option<String>,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Answer {
    /// One item, or 404.
    Item,
    /// The items of a partition, page by page; those with `totals`, `groupBy` or `orderBy` at once.
    Items,
    /// The totals over the items of a partition, without the items.
    Totals,
}

/// What is known about a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// The name, as it stands in the braces.
    #[schemars(length(min = 1, max = 64), regex(pattern = patterns::FIELD))]
    pub name: String,
    /// What it means, in a sentence, for those who ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub description: Option<String>,
    /// What it may look like. Default `String`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub parameter_type: Option<ParameterType>,
    /// The values that it may have. Without it, any of its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "values")]
    pub values: Option<Vec<String>>,
    /// What a query parameter is when it is not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub default: Option<String>,
    /// A value that it may have, for those who ask and for a first look at a `chart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub example: Option<String>,
}

/// What a parameter may look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ParameterType {
    /// Any text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// A decimal number.
    Number,
    /// A day, such as `2010-12-01`.
    Date,
}

/// An attribute in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// The name in the answer.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// The attribute in the table. Default: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub attribute: Option<String>,
}

/// A condition that each item must satisfy. An item without the attribute satisfies only `NotEquals` and `NotPrefix`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// The attribute in the table.
    #[schemars(length(min = 1, max = 255))]
    pub attribute: String,
    /// How it is compared: numbers as numbers, texts byte by byte.
    pub operator: Operator,
    /// A template that makes what it is compared with, such as `{country}` or `C`. When a query parameter of it is not sent,
    /// the condition does not count.
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
}

/// How an attribute is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// It is the value.
    Equals,
    /// It is not the value.
    NotEquals,
    /// It begins with the value.
    Prefix,
    /// It does not begin with the value.
    NotPrefix,
    /// It is greater than the value.
    Above,
    /// It is the value or greater.
    AtLeast,
    /// It is less than the value.
    Below,
    /// It is the value or less.
    AtMost,
}

/// Something that is computed over items. Items without the attribute, or where it is no number, are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Total {
    /// The name in the answer.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// What is computed. Sums are exact; an average has six places, rounded half to even.
    #[serde(rename = "aggregate")]
    pub function: TotalFunction,
    /// The attribute in the table; `Count` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub attribute: Option<String>,
}

/// What is computed over items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TotalFunction {
    /// How many items there are.
    Count,
    /// The sum of an attribute.
    Sum,
    /// The sum of an attribute by the number of items that have it.
    Average,
    /// The least value of an attribute.
    Min,
    /// The greatest value of an attribute.
    Max,
}

/// The direction of an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Order {
    /// The least first.
    #[default]
    Ascending,
    /// The greatest first.
    Descending,
}

/// What is answered when there are no items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EmptyAnswer {
    /// 200 with no items, and totals over none.
    #[default]
    EmptyList,
    /// 404.
    NotFound,
}

/// Whether reads see every write that came before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConsistentReads {
    /// When the request asks for it with `consistent=true`.
    #[default]
    OnRequest,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much is answered and read for one request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteLimits {
    /// How many items a page has when the request does not say. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub page: Option<i32>,
    /// How many items a request may ask for with `limit`. Default 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_page: Option<i32>,
    /// How many items may be read for one answer. Default 20000. What would take more is refused; a page ends there. A whole
    /// list as CSV or NDJSON is not held, and goes to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub read_items: Option<i32>,
    /// How much may be read for one answer. Default `16Mi`. What would take more is refused; a page ends there. A whole list as
    /// CSV or NDJSON is not held, and goes to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = crate::units::SIZE_PATTERN))]
    pub read_bytes: Option<String>,
}

// Lists of texts, whose items explain themselves as every node of the definition does.

fn origins(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 16, "x-kubernetes-list-type": "set",
        "items": {
            "description": "The origin of a page, such as `https://shop.example`.",
            "type": "string", "minLength": 1, "maxLength": 256, "pattern": patterns::ORIGIN,
        },
    })
}

fn partitions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 31,
        "items": {
            "description": "A template that makes a partition key, such as `{Year}-01`.",
            "type": "string", "minLength": 1, "maxLength": 256,
        },
    })
}

fn group_by(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 4,
        "items": { "description": "The name of an attribute.", "type": "string", "minLength": 1, "maxLength": 255 },
    })
}

fn values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 32,
        "items": { "description": "A value that it may have.", "type": "string", "minLength": 1, "maxLength": 128 },
    })
}
