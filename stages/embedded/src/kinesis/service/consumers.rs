//! Registering consumers (enhanced fan-out).

use serde_json::{Value, json};

use super::tags::check_tags;
use super::{Answer, Service, json, seconds, stream_of_arn};
use crate::kinesis::error::ApiError;
use crate::kinesis::model::Millis;
use crate::kinesis::model::consumer::{self, Consumer, no_consumer};
use crate::kinesis::model::token::{LIFETIME, kind};
use crate::kinesis::protocol::requests::{ConsumerTarget, ListConsumers, RegisterConsumer};
use crate::kinesis::protocol::{name, parse, required, within};

/// Where a list of consumers goes on.
#[derive(serde::Serialize, serde::Deserialize)]
struct ConsumersToken {
    stream: String,
    after: String,
    issued_at: Millis,
}

/// Stream, consumer and second of creation in `<stream arn>/consumer/<name>:<second>`.
pub(super) fn consumer_of_arn(arn: &str) -> Result<(&str, &str, u64), ApiError> {
    let invalid = || {
        ApiError::validation(
            "consumerARN",
            arn,
            "Member must satisfy regular expression pattern: \
             arn:aws.*:kinesis:.*:\\d{12}:stream/[a-zA-Z0-9_.-]+/consumer/[a-zA-Z0-9_.-]+:[0-9]+",
        )
    };
    let (stream, consumer) = arn.split_once("/consumer/").ok_or_else(invalid)?;
    let (consumer, created) = consumer.rsplit_once(':').ok_or_else(invalid)?;
    Ok((stream_of_arn(stream)?, consumer, created.parse().map_err(|_| invalid())?))
}

impl Service {
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html>
    pub(super) async fn register_consumer(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: RegisterConsumer = parse(body)?;
        let stream = stream_of_arn(&required(request.stream_arn, "streamARN")?)?.to_owned();
        let consumer_name = name(&required(request.consumer_name, "consumerName")?, "consumerName")?.to_owned();
        let tags = request.tags.unwrap_or_default();
        check_tags(&tags)?;
        let new_name = consumer_name.clone();
        let live =
            self.alter(&stream, move |stream, moment| consumer::register(stream, &new_name, tags, moment.now)).await?;
        let registered = live.stream.consumers.iter().find(|consumer| consumer.name == consumer_name);
        let registered = registered.ok_or_else(|| no_consumer(&stream, &consumer_name))?;
        Ok(json(&json!({ "Consumer": self.consumer_json(&stream, registered) })))
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeregisterStreamConsumer.html>
    pub(super) async fn deregister_consumer(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let (stream, consumer) = self.named_consumer(body)?;
        self.alter(&stream, move |stream, _| consumer::deregister(stream, &consumer.name)).await?;
        Ok(Answer::Empty)
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamConsumer.html>
    pub(super) fn describe_consumer(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let (stream, consumer) = self.named_consumer(body)?;
        let mut description = self.consumer_json(&stream, &consumer);
        description["StreamARN"] = json!(self.stream_arn(&stream));
        Ok(json(&json!({ "ConsumerDescription": description })))
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreamConsumers.html>
    pub(super) fn list_consumers(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: ListConsumers = parse(body)?;
        let stream = stream_of_arn(&required(request.stream_arn, "streamARN")?)?.to_owned();
        let limit = request.max_results.map_or(Ok(100), |max| within(max, "maxResults", 1, 10_000))? as usize;
        let now = self.now();
        let live = self.catalog.get(&stream, now)?;
        let after = request.next_token.map(|token| self.consumers_token(&token, &stream, now)).transpose()?;
        let mut consumers: Vec<&Consumer> = live
            .stream
            .consumers
            .iter()
            .filter(|consumer| after.as_ref().is_none_or(|after| consumer.name > *after))
            .collect();
        consumers.sort_by(|a, b| a.name.cmp(&b.name));
        let has_more = consumers.len() > limit;
        consumers.truncate(limit);
        let page: Vec<Value> = consumers.iter().map(|consumer| self.consumer_json(&stream, consumer)).collect();
        let mut answer = json!({ "Consumers": page });
        if let Some(last) = consumers.last().filter(|_| has_more) {
            let token = ConsumersToken { stream, after: last.name.clone(), issued_at: now };
            answer["NextToken"] = json!(self.seal.seal(kind::CONSUMERS, &token));
        }
        Ok(json(&answer))
    }

    fn consumers_token(&self, token: &str, stream: &str, now: Millis) -> Result<String, ApiError> {
        let token: ConsumersToken = self
            .seal
            .open(kind::CONSUMERS, token)
            .ok()
            .filter(|token: &ConsumersToken| token.stream == stream)
            .ok_or_else(|| ApiError::invalid_argument("Invalid NextToken."))?;
        if now.saturating_sub(token.issued_at) > LIFETIME {
            return Err(super::shards::expired_token());
        }
        Ok(token.after)
    }

    /// A consumer that is named by its ARN, or by its stream's ARN and its name.
    fn named_consumer(&self, body: &[u8]) -> Result<(String, Consumer), ApiError> {
        let request: ConsumerTarget = parse(body)?;
        if let Some(arn) = &request.consumer_arn {
            return self.consumer_by_arn(arn);
        }
        let stream = stream_of_arn(&required(request.stream_arn, "streamARN")?)?.to_owned();
        let wanted = required(request.consumer_name, "consumerName")?;
        let live = self.catalog.get(&stream, self.now())?;
        let consumer = live.stream.consumers.iter().find(|consumer| consumer.name == wanted).cloned();
        let consumer = consumer.ok_or_else(|| no_consumer(&stream, &wanted))?;
        Ok((stream, consumer))
    }

    /// A registered consumer by its ARN, which also names the second of its creation.
    pub(super) fn consumer_by_arn(&self, arn: &str) -> Result<(String, Consumer), ApiError> {
        let (stream, wanted, created) = consumer_of_arn(arn)?;
        let live = self.catalog.get(stream, self.now())?;
        let consumer = live
            .stream
            .consumers
            .iter()
            .find(|consumer| consumer.name == wanted && consumer.created_at / 1000 == created)
            .cloned()
            .ok_or_else(|| no_consumer(stream, wanted))?;
        Ok((stream.to_owned(), consumer))
    }

    fn consumer_json(&self, stream: &str, consumer: &Consumer) -> Value {
        json!({
            "ConsumerName": consumer.name,
            "ConsumerARN": consumer.arn(&self.stream_arn(stream)),
            "ConsumerStatus": consumer.status(self.now()),
            "ConsumerCreationTimestamp": seconds(consumer.created_at),
        })
    }
}
