//! An API over real tables of an engine on loopback, asked over real HTTP.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use penstock_api::plan::{ApiStage, StageKind, plan};
use penstock_api::spec::Pipeline;
use penstock_query::{Api, ApiContext, Running};
use penstock_runtime::http::{ApiKey, ApiKeys};
use penstock_runtime::{Aws, Health, Stop};
use serde_json::Value;
use tokio::net::TcpListener;

/// Two tables: lines by invoice and code, and one with numbers as keys.
const TABLES: &str = r#"
apiVersion: penstock.dev/v1alpha1
kind: Pipeline
metadata: { name: shop }
spec:
  aws: { region: eu-west-1 }
  sources: [{ name: orders, to: events, http: { path: /orders }, partitionKey: "{no}" }]
  buffers: [{ name: events, kinesis: { shards: 1 } }]
  sinks:
    - name: tables
      from: events
      dynamodb:
        tables:
          - { name: lines, partition: { field: no, type: S }, sort: { field: code, type: S }, write: put }
          - { name: moments, partition: { field: id, type: N }, sort: { field: at, type: N }, write: put }
          - { name: single, partition: { field: id, type: S }, write: put }
      deadLetters: { bucket: lake }
  apis:
    - name: ask
"#;

/// The stage of an api that is written as in a Pipeline, below its name.
pub fn stage(api: &str) -> ApiStage {
    let api: String = api.lines().map(|line| format!("      {line}\n")).collect();
    let pipeline: Pipeline = serde_yaml::from_str(&format!("{TABLES}{api}")).unwrap();
    let stages = plan(&pipeline).unwrap().stages;
    let api = stages.into_iter().find_map(|stage| match stage.kind {
        StageKind::Api(api) => Some(api),
        _ => None,
    });
    api.unwrap()
}

/// An engine with the tables.
pub struct Tables {
    pub url: String,
    pub client: Client,
}

impl Tables {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        let client = client(&url).await;
        for (name, partition, sort, kind) in [
            ("lines", "no", Some("code"), ScalarAttributeType::S),
            ("moments", "id", Some("at"), ScalarAttributeType::N),
            ("single", "id", None, ScalarAttributeType::S),
        ] {
            let mut create = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
            for (attribute, role) in [(Some(partition), KeyType::Hash), (sort, KeyType::Range)] {
                let Some(attribute) = attribute else { continue };
                let definition = AttributeDefinition::builder().attribute_name(attribute).attribute_type(kind.clone());
                let key = KeySchemaElement::builder().attribute_name(attribute).key_type(role);
                create = create.attribute_definitions(definition.build().unwrap()).key_schema(key.build().unwrap());
            }
            create.send().await.unwrap();
        }
        Self { url, client }
    }

    /// Puts an item: texts are texts, numbers are numbers with their digits.
    pub async fn put(&self, table: &str, item: &[(&str, AttributeValue)]) {
        let item = item.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.client.put_item().table_name(table).set_item(Some(item)).send().await.unwrap();
    }

    /// Lines `000`, `001`, … of an invoice, with amounts 0.1, 1.1, … and the sink's own mark.
    pub async fn lines(&self, no: &str, count: usize) {
        for index in 0..count {
            let of = if index % 2 == 0 { "even" } else { "odd" };
            self.put(
                "lines",
                &[
                    ("no", text(no)),
                    ("code", text(&format!("{index:03}"))),
                    ("amount", number(&format!("{index}.1"))),
                    ("kind", text(of)),
                    ("_penstock", text("mark")),
                ],
            )
            .await;
        }
    }
}

pub fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub fn number(digits: &str) -> AttributeValue {
    AttributeValue::N(digits.to_owned())
}

pub async fn client(url: &str) -> Client {
    Client::new(&Aws::local("eu-west-1", url).await.config)
}

/// A running API.
pub struct Asked {
    pub addr: SocketAddr,
    pub running: Running,
    pub stop: Stop,
    http: hyper_util::client::legacy::Client<HttpConnector, Body>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem, which also has all that one must have.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(problem["detail"].as_str().unwrap().len() > 10 && problem["title"].is_string(), "{problem}");
        (self.status.as_u16(), problem["code"].as_str().unwrap().to_owned())
    }
}

impl Asked {
    pub async fn start(tables: &str, api: &str) -> Self {
        Self::start_stage(tables, stage(api)).await
    }

    pub async fn start_stage(tables: &str, stage: ApiStage) -> Self {
        let keys: ApiKeys =
            [ApiKey::new("shop", "key-of-the-shop"), ApiKey::new("till", "key-of-the-till")].into_iter().collect();
        let stop = Stop::new();
        let context = ApiContext {
            pipeline: penstock_api::plan::PipelineRef { namespace: "default".to_owned(), name: "shop".to_owned() },
            name: "ask".to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            api_keys: keys,
            dynamodb: client(tables).await,
            stop: stop.clone(),
            health: Health::new(),
        };
        let running = Api::start(stage, context).await.unwrap();
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { addr: running.local_addr(), running, stop, http }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[]).await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.addr));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.http.request(request.body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// All items of a list, page by page, and how many pages there were.
    pub async fn pages(&self, path: &str) -> (Vec<Value>, usize) {
        let (mut items, mut pages, mut next) = (Vec::new(), 0, None::<String>);
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = match &next {
                Some(next) => self.get(&format!("{path}{sign}next={next}")).await,
                None => self.get(path).await,
            };
            assert_eq!(page.status, 200, "{}", page.text());
            let body = page.json();
            items.extend(body["items"].as_array().unwrap().iter().cloned());
            pages += 1;
            next = body["next"].as_str().map(str::to_owned);
            assert_eq!(page.header("link").contains("rel=\"next\""), next.is_some());
            if next.is_none() {
                return (items, pages);
            }
        }
    }
}
