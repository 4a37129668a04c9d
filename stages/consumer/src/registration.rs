//! The consumer that a sink is registered as with its stream, where it reads by enhanced fan-out.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use penstock_stream::{ErrorKind, StreamError, deregister_consumer, describe_consumer, register_consumer, stream_arn};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::config::FanOut;

/// How often to look whether the consumer may subscribe.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// So many looks, then those who wait are told that it takes long.
const LOOKS: u32 = 60;
/// How often to try to take the registration away at the end.
const DEREGISTER_ATTEMPTS: u32 = 3;

/// The registration of one sink, shared by its shards.
#[derive(Debug)]
pub(crate) struct Registration {
    fan_out: FanOut,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the consumer, once it was active.
    arn: Option<String>,
    /// There was none before.
    is_ours: bool,
}

impl Registration {
    pub(crate) fn new(fan_out: FanOut) -> Self {
        Self { fan_out, state: Mutex::default() }
    }

    /// When a subscription is renewed.
    pub(crate) fn renew_after(&self) -> Duration {
        self.fan_out.renew_after
    }

    /// The consumer's ARN. Registers it when it is not, and waits until it may subscribe.
    pub(crate) async fn arn(&self, kinesis: &Client, stream: &str) -> Result<String, StreamError> {
        // Held for as long as it takes: one registers, and the other shards wait for it.
        let mut state = self.state.lock().await;
        if let Some(arn) = &state.arn {
            return Ok(arn.clone());
        }
        let (name, stream_arn) = (&self.fan_out.consumer, stream_arn(kinesis, stream).await?);
        for _ in 0..LOOKS {
            match describe_consumer(kinesis, &stream_arn, name).await? {
                Some(consumer) if consumer.is_active => {
                    state.arn = Some(consumer.arn.clone());
                    return Ok(consumer.arn);
                }
                // It is being made, or being deleted.
                Some(_) => {}
                None => {
                    // Before the answer, which may be lost.
                    state.is_ours = true;
                    match register_consumer(kinesis, &stream_arn, name).await {
                        Ok(()) => tracing::info!(consumer = name, "a consumer is registered with the stream"),
                        // Somebody else was faster.
                        Err(error) if error.kind() == ErrorKind::ResourceInUse => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            sleep(LOOK_AGAIN).await;
        }
        Err(StreamError::Answer {
            doing: format!("registering consumer {name} with stream {stream}"),
            message: "it is not ACTIVE yet".to_owned(),
        })
    }

    /// A consumer of this ARN is not there: it was deregistered, or the stream is another.
    pub(crate) async fn forget(&self, arn: &str) {
        let mut state = self.state.lock().await;
        if state.arn.as_deref() == Some(arn) {
            state.arn = None;
        }
    }

    /// Takes the registration away, if it was made here and nobody else needs it.
    pub(crate) async fn end(&self, kinesis: &Client) {
        let mut state = self.state.lock().await;
        let Some(arn) = state.arn.take().filter(|_| self.fan_out.deregister && state.is_ours) else { return };
        for _ in 0..DEREGISTER_ATTEMPTS {
            match deregister_consumer(kinesis, &arn).await {
                Ok(()) => {
                    tracing::info!(consumer = self.fan_out.consumer, "the consumer is deregistered");
                    return;
                }
                Err(error) => tracing::warn!(%error, "the consumer stays registered, and is paid for"),
            }
        }
    }
}
