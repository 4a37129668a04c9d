//! Which operation of which service a request is.

use hyper::http::request::Parts;

/// The kinds of servers behind a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    /// The stream.
    Kinesis,
    /// Leases and items.
    DynamoDb,
    /// Objects.
    S3,
    /// A source of Penstock's own.
    Source,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) service: Service,
    pub(super) operation: String,
}

impl Asked {
    /// Of a request to the engines.
    pub(super) fn of_aws(parts: &Parts) -> Self {
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let (service, operation) = match target.and_then(|target| target.split_once('.')) {
            Some((service, operation)) if service.starts_with("Kinesis") => (Service::Kinesis, operation.to_owned()),
            Some((_, operation)) => (Service::DynamoDb, operation.to_owned()),
            None => (Service::S3, parts.method.to_string()),
        };
        Self { service, operation }
    }

    /// Of a request to a source.
    pub(super) fn of_source(parts: &Parts) -> Self {
        Self { service: Service::Source, operation: parts.method.to_string() }
    }

    /// Whether the service may do a part of it and refuse the rest.
    pub(super) fn is_batch(&self) -> bool {
        self.operation == "PutRecords" || self.operation == "BatchWriteItem"
    }
}
