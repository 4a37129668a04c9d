//! The rates of the control plane, per account.
//! <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::kinesis::error::ApiError;
use crate::kinesis::model::Millis;
use crate::kinesis::model::rates::Budget;

/// Calls per second; operations that are not listed are not limited here.
const CALLS_PER_SECOND: [(&str, u64); 17] = [
    ("CreateStream", 5),
    ("DeleteStream", 5),
    ("ListStreams", 5),
    ("DescribeStream", 10),
    ("DescribeStreamSummary", 20),
    ("DescribeLimits", 1),
    ("SplitShard", 5),
    ("MergeShards", 5),
    ("IncreaseStreamRetentionPeriod", 5),
    ("DecreaseStreamRetentionPeriod", 5),
    ("AddTagsToStream", 5),
    ("RemoveTagsFromStream", 5),
    ("ListTagsForStream", 5),
    ("RegisterStreamConsumer", 5),
    ("DeregisterStreamConsumer", 5),
    ("DescribeStreamConsumer", 20),
    ("ListStreamConsumers", 5),
];

/// What has been used.
#[derive(Debug, Default)]
pub(super) struct ControlRates {
    budgets: Mutex<HashMap<&'static str, Budget>>,
}

impl ControlRates {
    /// Takes one call.
    pub(super) fn take(&self, operation: &str, now: Millis) -> Result<(), ApiError> {
        let Some((name, per_second)) = CALLS_PER_SECOND.iter().find(|(name, _)| *name == operation) else {
            return Ok(());
        };
        let mut budgets = self.budgets.lock();
        let budget = budgets.entry(name).or_insert_with(|| Budget::new(*per_second));
        if !budget.allows(now, 1) {
            return Err(ApiError::limit(format!(
                "Rate exceeded for {operation}: at most {per_second} calls per second and account."
            )));
        }
        budget.spend(1);
        Ok(())
    }
}
