//! Reading a shard as a registered consumer (enhanced fan-out): records are pushed, 2 MiB/s for each consumer and shard.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::StalledStreamProtectionConfig;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{
    ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};
use penstock_contract::{Sequence, ShardId};

use crate::error::{call, classify};
use crate::read::{child_shard, stream_records};
use crate::{Call, ChildShard, ErrorKind, StartingAt, StreamError, StreamRecord};

/// An event comes every five seconds also when there are no records. After so many that did not, nobody is there any more.
const SILENCE: Duration = Duration::from_secs(30);

/// A consumer that is registered with a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredConsumer {
    /// Its ARN, which is another one whenever it is registered anew.
    pub arn: String,
    /// Whether it may subscribe now.
    pub is_active: bool,
}

/// What was pushed. No records does not mean that there are none.
#[derive(Debug, Clone)]
pub struct PushedAnswer {
    /// The records, in order.
    pub records: Vec<StreamRecord>,
    /// After this place the next subscription goes on.
    pub continuation: Option<Sequence>,
    /// The shards that follow, when this one has ended.
    pub child_shards: Vec<ChildShard>,
    /// How far the answer is behind the newest record, in milliseconds; 0 at the tip.
    pub millis_behind_latest: i64,
}

/// A running subscription. Lasts five minutes. As long as nobody asks for what comes next, nothing more is taken from the
/// connection, and the service waits.
pub struct Subscription {
    answer: SubscribeToShardOutput,
    shard: ShardId,
}

/// The ARN of a stream.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html>: 20 calls per second and account.
///
/// # Errors
/// When the call does not succeed.
pub fn stream_arn<'a>(client: &'a Client, stream: &'a str) -> Call<'a, String> {
    Box::pin(async move {
        let doing = || format!("looking up stream {stream}");
        let answer = call(doing, client.describe_stream_summary().stream_name(stream).send()).await?;
        let arn = answer.stream_description_summary().map(|summary| summary.stream_arn().to_owned());
        arn.ok_or_else(|| StreamError::Answer { doing: doing(), message: "it describes no stream".to_owned() })
    })
}

/// Registers a consumer. One that is there already is refused with [`ErrorKind::ResourceInUse`].
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html>: five calls per second, 20
/// consumers for a stream, five of them being made at one time.
///
/// # Errors
/// When the call does not succeed.
pub fn register_consumer<'a>(client: &'a Client, stream_arn: &'a str, name: &'a str) -> Call<'a, ()> {
    Box::pin(async move {
        let doing = || format!("registering consumer {name} with {stream_arn}");
        call(doing, client.register_stream_consumer().stream_arn(stream_arn).consumer_name(name).send()).await.map(drop)
    })
}

/// Looks a consumer up; `None` when none of the name is registered.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamConsumer.html>: 20 calls per second and stream.
///
/// # Errors
/// When the call does not succeed.
pub fn describe_consumer<'a>(
    client: &'a Client,
    stream_arn: &'a str,
    name: &'a str,
) -> Call<'a, Option<RegisteredConsumer>> {
    Box::pin(async move {
        let doing = || format!("looking up consumer {name} of {stream_arn}");
        let request = client.describe_stream_consumer().stream_arn(stream_arn).consumer_name(name);
        let answer = match call(doing, request.send()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let described = answer
            .consumer_description()
            .ok_or_else(|| StreamError::Answer { doing: doing(), message: "it describes no consumer".to_owned() })?;
        let is_active = *described.consumer_status() == ConsumerStatus::Active;
        Ok(Some(RegisteredConsumer { arn: described.consumer_arn().to_owned(), is_active }))
    })
}

/// Takes a registration away; one that is gone already is as good.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeregisterStreamConsumer.html>: five calls per second.
///
/// # Errors
/// When the call does not succeed.
pub fn deregister_consumer<'a>(client: &'a Client, consumer_arn: &'a str) -> Call<'a, ()> {
    Box::pin(async move {
        let doing = || format!("deregistering consumer {consumer_arn}");
        match call(doing, client.deregister_stream_consumer().consumer_arn(consumer_arn).send()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done.map(drop),
        }
    })
}

/// Subscribes to a shard. An earlier subscription of the same consumer ends by it, unless that began less than five seconds
/// ago: then this one is refused with [`ErrorKind::ResourceInUse`].
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html>: one call per second for each
/// consumer and shard.
///
/// # Errors
/// When the call does not succeed.
pub fn subscribe<'a>(
    client: &'a Client,
    consumer_arn: &'a str,
    shard: &'a ShardId,
    starting_at: &'a StartingAt,
) -> Call<'a, Subscription> {
    Box::pin(async move {
        let doing = || format!("subscribing to shard {shard} as {consumer_arn}");
        let position = position(starting_at).map_err(|message| StreamError::Answer { doing: doing(), message })?;
        let request = client.subscribe_to_shard().consumer_arn(consumer_arn).shard_id(shard.as_str());
        // Who does not read for a while because the sink is slow is no stalled stream.
        let patient = aws_sdk_kinesis::config::Builder::new()
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let sent = request.starting_position(position).customize().config_override(patient).send();
        let answer = call(doing, sent).await?;
        Ok(Subscription { answer, shard: shard.clone() })
    })
}

impl Subscription {
    /// What is pushed next; `None` when the subscription is over: after five minutes, or since another has taken its place.
    ///
    /// # Errors
    /// When the service says why it ends, or when the connection breaks.
    pub async fn next(&mut self) -> Result<Option<PushedAnswer>, StreamError> {
        let doing = || format!("reading the subscription to shard {}", self.shard);
        loop {
            let event = match tokio::time::timeout(SILENCE, self.answer.event_stream.recv()).await {
                Ok(Ok(event)) => event,
                Ok(Err(error)) => return Err(classify(doing(), error)),
                Err(elapsed) => return Err(StreamError::timeout(doing(), elapsed)),
            };
            match event {
                None => return Ok(None),
                Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) => {
                    let answer = pushed(event);
                    return answer.map(Some).map_err(|message| StreamError::Answer { doing: doing(), message });
                }
                // Of a kind that is not known yet.
                Some(_) => {}
            }
        }
    }
}

fn pushed(event: SubscribeToShardEvent) -> Result<PushedAnswer, String> {
    // The SDK fills a text that is missing with an empty one.
    let continuation = Some(event.continuation_sequence_number).filter(|text| !text.is_empty());
    Ok(PushedAnswer {
        records: stream_records(event.records)?,
        continuation: continuation.map(|text| Sequence::parse(&text)).transpose().map_err(|error| error.to_string())?,
        child_shards: event.child_shards.unwrap_or_default().iter().map(child_shard).collect(),
        millis_behind_latest: event.millis_behind_latest,
    })
}

fn position(starting_at: &StartingAt) -> Result<StartingPosition, String> {
    let builder = StartingPosition::builder();
    let builder = match starting_at {
        StartingAt::TrimHorizon => builder.r#type(ShardIteratorType::TrimHorizon),
        StartingAt::Latest => builder.r#type(ShardIteratorType::Latest),
        StartingAt::AtTimestamp(at) => {
            builder.r#type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(at.0))
        }
        StartingAt::At(sequence) => {
            builder.r#type(ShardIteratorType::AtSequenceNumber).sequence_number(sequence.as_str())
        }
        StartingAt::After(sequence) => {
            builder.r#type(ShardIteratorType::AfterSequenceNumber).sequence_number(sequence.as_str())
        }
    };
    builder.build().map_err(|error| error.to_string())
}
