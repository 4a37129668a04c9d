//! What the stand-in was asked.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// One kind of call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// How often.
    pub calls: u64,
    /// Records, items or objects in them.
    pub records: u64,
    /// The bytes of their bodies, or of what they answered where that is what matters.
    pub bytes: u64,
}

/// Calls by operation.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<&'static str, Call>>);

impl Counts {
    pub(crate) fn add(&self, operation: &'static str, records: u64, bytes: usize) {
        let mut counts = self.0.lock();
        let call = counts.entry(operation).or_default();
        call.calls += 1;
        call.records += records;
        call.bytes += bytes as u64;
    }

    /// What was counted until now.
    #[must_use]
    pub fn all(&self) -> BTreeMap<&'static str, Call> {
        self.0.lock().clone()
    }

    /// What was counted since an earlier reading.
    #[must_use]
    pub fn since(&self, before: &BTreeMap<&'static str, Call>) -> BTreeMap<&'static str, Call> {
        let mut since = self.all();
        for (operation, call) in &mut since {
            let Call { calls, records, bytes } = before.get(operation).copied().unwrap_or_default();
            *call = Call { calls: call.calls - calls, records: call.records - records, bytes: call.bytes - bytes };
        }
        since.retain(|_, call| call.calls > 0);
        since
    }
}
