#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;
use crate::plan;
use crate::spec::{FanOut, Pipeline, Reading};

const SHOP: &str = r#"
apiVersion: penstock.dev/v1alpha1
kind: Pipeline
metadata: { name: shop, namespace: prod }
spec:
  aws: { region: eu-west-1 }
  sources:
    - { name: orders, to: events, http: { path: /orders }, partitionKey: "{InvoiceNo}" }
  buffers:
    - { name: events, kinesis: { mode: Provisioned, shards: 2, deletionPolicy: Delete } }
  sinks:
    - { name: raw, from: events, s3: { bucket: lake, key: "raw/{{a}}/{$arrival:%Y}/x/" } }
    - name: tables
      from: events
      dynamodb:
        tables:
          - { name: invoices, partition: { field: InvoiceNo, type: S }, write: put, ttl: { field: until } }
          - { name: customers, partition: { field: CustomerID, type: S }, write: aggregate, add: { Lines: 1 } }
      deadLetters: { bucket: bin, prefix: dead/ }
"#;

fn shop() -> Pipeline {
    serde_yaml::from_str(SHOP).unwrap()
}

fn of(pipeline: &Pipeline, account: &str) -> Value {
    serde_json::to_value(policies(&plan(pipeline).unwrap(), &account.parse().unwrap())).unwrap()
}

fn statement<'a>(policy: &'a Value, sid: &str) -> &'a Value {
    policy["Statement"].as_array().unwrap().iter().find(|statement| statement["Sid"] == sid).unwrap_or(&Value::Null)
}

#[test]
fn a_source_may_write_to_its_stream_and_nothing_else() {
    let policies = of(&shop(), "111122223333");
    assert_eq!(
        policies["stages"]["orders"],
        json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "WriteStream",
                "Effect": "Allow",
                "Action": ["kinesis:ListShards", "kinesis:PutRecords"],
                "Resource": ["arn:aws:kinesis:eu-west-1:111122223333:stream/prod.shop.events"],
            }],
        })
    );
}

#[test]
fn a_sink_that_is_pushed_records_may_register_and_subscribe_as_its_own_consumer() {
    let mut pipeline = shop();
    pipeline.spec.sinks[0].reading = Some(Reading { fan_out: Some(FanOut::default()) });
    let policies = of(&pipeline, "*");
    let raw = &policies["stages"]["raw"];
    let stream = "arn:aws:kinesis:eu-west-1:*:stream/prod.shop.events";
    assert_eq!(statement(raw, "Register")["Resource"], json!([stream]));
    assert_eq!(statement(raw, "Subscribe")["Resource"], json!([format!("{stream}/consumer/prod.shop.raw:*")]));
    let tables = policies["stages"]["tables"].to_string();
    assert!(!tables.contains("Consumer") && !tables.contains("Subscribe"), "{tables}");
}

#[test]
fn the_operator_may_deregister_what_any_sink_was_registered_as_and_what_the_pipeline_names() {
    let deregister = |pipeline: &Pipeline| statement(&of(pipeline, "*")["operator"], "Deregister")["Resource"].clone();
    let consumer = |name: &str| format!("arn:aws:kinesis:eu-west-1:*:stream/prod.shop.events/consumer/{name}:*");
    let of_any_sink = consumer("prod.shop.*");
    assert_eq!(deregister(&shop()), json!([of_any_sink]), "a sink that has just been taken out may have been");
    let reading = |fan_out| {
        let mut pipeline = shop();
        pipeline.spec.sinks[0].reading = Some(Reading { fan_out: Some(fan_out) });
        pipeline
    };
    assert_eq!(deregister(&reading(FanOut::default())), json!([of_any_sink]));
    let named = FanOut { consumer: Some("mine".to_owned()) };
    assert_eq!(deregister(&reading(named)), json!([consumer("mine"), of_any_sink]));
}

#[test]
fn a_sink_of_objects_may_write_below_what_all_keys_begin_with() {
    let policies = of(&shop(), "*");
    let raw = &policies["stages"]["raw"];
    assert_eq!(statement(raw, "Objects")["Resource"], json!(["arn:aws:s3:::lake/raw/{a}/*"]));
    assert_eq!(statement(raw, "DeadLetters")["Resource"], json!(["arn:aws:s3:::lake/dead-letters/*"]));
    assert_eq!(
        statement(raw, "Leases")["Resource"],
        json!(["arn:aws:dynamodb:eu-west-1:*:table/prod.shop.raw.leases"])
    );
}

#[test]
fn a_table_is_put_to_or_added_to_as_it_is_written() {
    let policies = of(&shop(), "*");
    let tables = &policies["stages"]["tables"];
    assert_eq!(statement(tables, "Items")["Resource"], json!(["arn:aws:dynamodb:eu-west-1:*:table/invoices"]));
    assert_eq!(statement(tables, "Sums")["Resource"], json!(["arn:aws:dynamodb:eu-west-1:*:table/customers"]));
    assert_eq!(statement(tables, "Sums")["Action"], json!(["dynamodb:UpdateItem"]));
    assert_eq!(statement(tables, "DeadLetters")["Resource"], json!(["arn:aws:s3:::bin/dead/*"]));
}

#[test]
fn the_operator_may_delete_only_what_goes_with_the_pipeline_and_is_tagged_as_its_own() {
    let policies = of(&shop(), "*");
    let operator = &policies["operator"];
    let ours = json!({ "StringEquals": {
        "aws:ResourceTag/penstock.dev/namespace": "prod",
        "aws:ResourceTag/penstock.dev/pipeline": "shop",
    } });
    assert_eq!(statement(operator, "DeleteStreams")["Condition"], ours);
    let leases = ["raw", "tables"].map(|sink| format!("arn:aws:dynamodb:eu-west-1:*:table/prod.shop.{sink}.leases"));
    assert_eq!(statement(operator, "DeleteTables")["Resource"], json!(leases));
    let tables = ["customers", "invoices"].map(|table| format!("arn:aws:dynamodb:eu-west-1:*:table/{table}"));
    assert_eq!(statement(operator, "TimeToLive")["Resource"], json!(tables));
    assert_eq!(statement(operator, "Recovery"), &Value::Null);

    let mut keeps = shop();
    keeps.spec.buffers[0].kinesis.as_mut().unwrap().deletion_policy = None;
    let text = of(&keeps, "*")["operator"].to_string();
    assert!(!text.contains(":Delete"), "{text}");
}

#[test]
fn one_role_for_several_stages_names_each_statement_once() {
    let Policies { stages, .. } = policies(&plan(&shop()).unwrap(), &"*".parse().unwrap());
    let one = serde_json::to_value(merged(stages.values())).unwrap();
    let mut sids: Vec<_> = one["Statement"].as_array().unwrap().iter().map(|one| one["Sid"].to_string()).collect();
    assert_eq!(statement(&one, "Leases")["Resource"].as_array().unwrap().len(), 2, "{one:#}");
    let count = sids.len();
    sids.sort();
    sids.dedup();
    assert_eq!(sids.len(), count, "{sids:?}");
}

#[test]
fn other_partitions_have_arns_of_their_own() {
    for (region, partition) in [
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
        ("us-isof-south-1", "aws-iso-f"),
        ("us-east-1", "aws"),
    ] {
        let mut there = shop();
        there.spec.aws.region = region.to_owned();
        let text = of(&there, "*")["stages"]["orders"].to_string();
        assert!(text.contains(&format!("arn:{partition}:kinesis:{region}:*:stream/")), "{text}");
    }
}

#[test]
fn letters_with_a_meaning_of_their_own_in_policies_stand_for_themselves() {
    let mut odd = shop();
    odd.spec.sinks[0].s3.as_mut().unwrap().key = "a*b$c/{Country}/".to_owned();
    let policies = of(&odd, "*");
    let objects = statement(&policies["stages"]["raw"], "Objects").clone();
    assert_eq!(objects["Resource"], json!(["arn:aws:s3:::lake/a${*}b${$}c/*"]));
}

#[test]
fn an_account_is_twelve_digits_or_any() {
    for wrong in ["", "1234", "11112222333a", "1111222233334", "**"] {
        assert!(wrong.parse::<Account>().is_err(), "{wrong}");
    }
    assert!("111122223333".parse::<Account>().is_ok() && "*".parse::<Account>().is_ok());
}

#[test]
fn an_api_may_read_the_tables_of_its_routes_and_nothing_else() {
    let mut asked = shop();
    let api = r#"{ name: ask, routes: [{ path: "/customers/{CustomerID}", table: customers }] }"#;
    asked.spec.apis = Some(vec![serde_yaml::from_str(api).unwrap()]);
    assert_eq!(
        of(&asked, "*")["stages"]["ask"]["Statement"],
        json!([{
            "Sid": "GetItems",
            "Effect": "Allow",
            "Action": ["dynamodb:GetItem"],
            "Resource": ["arn:aws:dynamodb:eu-west-1:*:table/customers"],
        }])
    );
}
