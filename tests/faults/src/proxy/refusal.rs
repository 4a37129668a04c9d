//! The services' own words for "not now" and "it broke".

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Response, StatusCode};

use super::gate::Body;
use super::request::{Asked, Service};

/// The service is asked for too much.
pub(super) fn throttled(asked: &Asked) -> Response<Body> {
    match asked.service {
        Service::Kinesis => {
            let code = match asked.operation.as_str() {
                "PutRecords" | "PutRecord" | "GetRecords" | "GetShardIterator" => {
                    "ProvisionedThroughputExceededException"
                }
                _ => "LimitExceededException",
            };
            json(400, code, "Rate exceeded for shard shardId-000000000000 in stream under account 000000000000.")
        }
        Service::DynamoDb => json(
            400,
            "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
             provisioning level with the UpdateTable API.",
        ),
        Service::S3 => xml(503, "SlowDown", "Please reduce your request rate."),
        Service::Source => json(503, "about:blank", "busy"),
    }
}

/// Something broke inside of the service.
pub(super) fn broken(asked: &Asked) -> Response<Body> {
    match asked.service {
        Service::Kinesis => json(500, "InternalFailure", "Internal service failure."),
        Service::DynamoDb => {
            json(500, "com.amazonaws.dynamodb.v20120810#InternalServerError", "The request processing has failed.")
        }
        Service::S3 => xml(500, "InternalError", "We encountered an internal error. Please try again."),
        Service::Source => json(500, "about:blank", "broken"),
    }
}

fn json(status: u16, code: &str, message: &str) -> Response<Body> {
    let body = serde_json::json!({ "__type": code, "message": message }).to_string();
    answer(status, "application/x-amz-json-1.1", body)
}

fn xml(status: u16, code: &str, message: &str) -> Response<Body> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>CHAOS</RequestId></Error>"
    );
    answer(status, "application/xml", body)
}

fn answer(status: u16, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(content_type));
    response
}
