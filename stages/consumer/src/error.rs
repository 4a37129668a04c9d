//! Why a consumer ended by itself. Services that fail do not end it: it waits for them.

use penstock_contract::ShardId;

/// Why a consumer ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The configuration makes no sense.
    #[error("the consumer cannot start: {message}")]
    Config {
        /// What is wrong and what would mend it.
        message: String,
    },
    /// A task panicked. Nothing is lost: what was not committed is done again after a restart.
    #[error("work on {} panicked; restart the stage", shard.as_ref().map_or("a shard", ShardId::as_str))]
    Panicked {
        /// Where, when that is known.
        shard: Option<ShardId>,
    },
}

impl ConsumerError {
    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Config { .. } => "config",
            Self::Panicked { .. } => "panicked",
        }
    }
}
