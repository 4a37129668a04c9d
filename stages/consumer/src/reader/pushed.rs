//! Being pushed records, by one subscription after the other.
//!
//! A subscription goes on after the place that the latest event named, so nothing is missed or read twice when one ends:
//! after its five minutes, since the connection broke, or since somebody else has subscribed as the same consumer. Who owns
//! the lease is not decided here: a worker that lost it may take the subscription once more before it notices, and what it
//! reads then it cannot commit.

use std::time::Duration;

use penstock_contract::{Sequence, ShardId, Sink};
use penstock_stream::{ErrorKind, PushedAnswer, StartingAt, StreamError, Subscription, subscribe};
use tokio::time::{Instant, sleep_until};

use super::Brought;
use crate::registration::Registration;
use crate::shared::Shared;

/// A subscription that is younger cannot be taken over (SubscribeToShard API reference).
const TAKE_OVER_AFTER: Duration = Duration::from_secs(5);
/// One subscription a second for each consumer and shard.
const BETWEEN_SUBSCRIPTIONS: Duration = Duration::from_secs(1);

/// Reads that are pushed.
#[derive(Default)]
pub(super) struct Pushed {
    subscription: Option<Running>,
    /// The place that the latest event named. There may be no record at it.
    continuation: Option<Sequence>,
}

struct Running {
    subscription: Subscription,
    /// Before the service ends it.
    renew_at: Instant,
}

impl Pushed {
    /// What comes next; begins at the place, or goes on.
    pub(super) async fn next<S: Sink>(
        &mut self,
        shared: &Shared<S>,
        registration: &Registration,
        shard: &ShardId,
        place: &StartingAt,
    ) -> Result<Brought, StreamError> {
        loop {
            let running = match &mut self.subscription {
                Some(running) => running,
                None => {
                    let place = self.continuation.clone().map_or_else(|| place.clone(), StartingAt::After);
                    let running = Self::subscribe(shared, registration, shard, &place).await?;
                    self.subscription.insert(running)
                }
            };
            let answer = tokio::select! {
                biased;
                () = sleep_until(running.renew_at) => Ok(None),
                answer = running.subscription.next() => answer,
            };
            match answer {
                Ok(Some(answer)) => return Ok(self.take(answer)),
                Ok(None) => self.subscription = None,
                Err(error) => {
                    self.subscription = None;
                    return Err(error);
                }
            }
        }
    }

    async fn subscribe<S: Sink>(
        shared: &Shared<S>,
        registration: &Registration,
        shard: &ShardId,
        place: &StartingAt,
    ) -> Result<Running, StreamError> {
        let arn = registration.arn(&shared.kinesis, &shared.config.stream).await?;
        let renew_at = Instant::now() + registration.renew_after();
        match subscribe(&shared.kinesis, &arn, shard, place).await {
            Ok(subscription) => Ok(Running { subscription, renew_at }),
            Err(error) => {
                if error.kind() == ErrorKind::NotFound {
                    // The consumer may be what is not there.
                    registration.forget(&arn).await;
                }
                Err(error)
            }
        }
    }

    fn take(&mut self, answer: PushedAnswer) -> Brought {
        let PushedAnswer { records, continuation, child_shards, millis_behind_latest } = answer;
        let is_last = continuation.is_none();
        let last = records.last().map(|last| last.sequence.clone());
        self.continuation = continuation.or(last).or_else(|| self.continuation.take());
        if is_last {
            self.subscription = None;
        }
        Brought { records, is_last, child_shards, millis_behind_latest: Some(millis_behind_latest) }
    }

    /// Reading begins at a place again: what the stream said last may be of one that has been deleted.
    pub(super) fn renew(&mut self) {
        self.subscription = None;
        self.continuation = None;
    }

    /// The least wait before another subscription.
    pub(super) fn least_wait(kind: ErrorKind) -> Duration {
        if kind == ErrorKind::ResourceInUse { TAKE_OVER_AFTER } else { BETWEEN_SUBSCRIPTIONS }
    }
}
