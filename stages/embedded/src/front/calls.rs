//! How often each operation was called: what an application would pay for, and what it does when it seems idle.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::route::Service;

/// Different operations that are told apart; names come from headers, so somebody could send any number of them.
const OPERATIONS: usize = 256;
/// Where the rest is counted.
const OTHER: &str = "other";

/// Calls by operation since the engines started, refused and failed ones included.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<BTreeMap<String, u64>>);

impl Calls {
    /// Counts a request.
    pub(crate) fn count(&self, service: &Service, method: &http::Method) {
        let operation = match service {
            Service::Kinesis(operation) => format!("Kinesis.{operation}"),
            Service::DynamoDb(operation) => format!("DynamoDB.{operation}"),
            Service::S3 => format!("S3.{method}"),
            Service::Unknown(_) => OTHER.to_owned(),
        };
        let mut calls = self.0.lock();
        let known = calls.len() < OPERATIONS || calls.contains_key(&operation);
        *calls.entry(if known { operation } else { OTHER.to_owned() }).or_default() += 1;
    }

    /// What was counted.
    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_apart_up_to_a_bound() {
        let calls = Calls::default();
        for number in 0..2 * OPERATIONS {
            calls.count(&Service::Kinesis(format!("Strange{number}")), &http::Method::POST);
        }
        calls.count(&Service::Kinesis("Strange0".to_owned()), &http::Method::POST);
        let all = calls.all();
        assert_eq!(all["Kinesis.Strange0"], 2);
        assert_eq!(all.len(), OPERATIONS + 1);
        assert_eq!(all[OTHER], OPERATIONS as u64);
    }
}
