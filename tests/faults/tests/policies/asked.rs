//! What IAM asks for when a request comes in: actions and resources.

use std::fmt;

use anyhow::{Context as _, bail};
use hyper::Method;
use hyper::http::request::Parts;
use serde_json::Value;

/// The account and region of all requests.
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "eu-west-1";

/// Something that must be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) action: String,
    /// The ARN; a shard's iterator does not say whose it is.
    pub(crate) resource: Option<String>,
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.action, self.resource.as_deref().unwrap_or("something unnamed"))
    }
}

/// What must be allowed for the request.
pub(crate) fn asked_for(parts: &Parts, body: &[u8]) -> anyhow::Result<Vec<Needs>> {
    let target = parts.headers.get("x-amz-target").map(|target| target.to_str()).transpose()?;
    let Some(target) = target else { return of_s3(parts) };
    let (service, operation) = target.split_once('.').context("no operation in the target")?;
    let body: Value = serde_json::from_slice(body).context("the body is no JSON")?;
    Ok(match service {
        "Kinesis_20131202" => of_kinesis(operation, &body),
        "DynamoDB_20120810" => of_dynamodb(operation, &body),
        other => bail!("nobody knows the service {other}"),
    })
}

fn of_kinesis(operation: &str, body: &Value) -> Vec<Needs> {
    let named = body["StreamName"].as_str().or_else(|| body["StreamARN"].as_str()?.rsplit('/').next());
    let stream = named.map(|name| format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"));
    // Its ARN ends with when it was registered, which the request does not say.
    let of_consumer = |name: &str| stream.as_ref().map(|stream| format!("{stream}/consumer/{name}:1700000000"));
    let resource = match (operation, body["ConsumerName"].as_str()) {
        ("DeregisterStreamConsumer" | "DescribeStreamConsumer", Some(name)) => of_consumer(name),
        _ => stream,
    };
    let mut needs = vec![Needs { action: format!("kinesis:{operation}"), resource: resource.clone() }];
    if operation == "CreateStream" && body["Tags"].as_object().is_some_and(|tags| !tags.is_empty()) {
        needs.push(Needs { action: "kinesis:AddTagsToStream".to_owned(), resource });
    }
    needs
}

fn of_dynamodb(operation: &str, body: &Value) -> Vec<Needs> {
    let one = body["TableName"].as_str().or_else(|| body["ResourceArn"].as_str()).map(str::to_owned);
    let tables: Vec<String> = match body["RequestItems"].as_object() {
        Some(tables) => tables.keys().cloned().collect(),
        None => one.into_iter().collect(),
    };
    let own = tables.iter().map(|table| {
        let name = table.rsplit('/').next().unwrap_or(table);
        let resource = Some(format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"));
        Needs { action: format!("dynamodb:{operation}"), resource }
    });
    let mut needs: Vec<_> = own.collect();
    if operation == "CreateTable" && body["Tags"].as_array().is_some_and(|tags| !tags.is_empty()) {
        let resource = needs[0].resource.clone();
        needs.push(Needs { action: "dynamodb:TagResource".to_owned(), resource });
    }
    needs
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>
fn of_s3(parts: &Parts) -> anyhow::Result<Vec<Needs>> {
    let path = parts.uri.path().trim_start_matches('/');
    let query = parts.uri.query().unwrap_or_default();
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let on_bucket = || Needs { action: "s3:ListBucket".to_owned(), resource: Some(format!("arn:aws:s3:::{bucket}")) };
    let on_object = |action: &str| Needs {
        action: format!("s3:{action}"),
        resource: Some(format!("arn:aws:s3:::{bucket}/{}", decoded(key))),
    };
    Ok(match (&parts.method, key.is_empty()) {
        (&Method::HEAD, true) => vec![on_bucket()],
        (&Method::HEAD, false) => vec![on_object("GetObject"), on_bucket()],
        (&Method::PUT, false) => vec![on_object("PutObject")],
        (&Method::POST, false) if query.contains("upload") => vec![on_object("PutObject")],
        (&Method::DELETE, false) if query.contains("uploadId") => vec![on_object("AbortMultipartUpload")],
        (method, _) => bail!("nobody knows what {method} {path}?{query} asks for"),
    })
}

fn decoded(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
