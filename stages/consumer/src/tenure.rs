//! Owning a lease: every change of its row goes through here, fenced, and tried until it either succeeds or
//! shows that the lease is lost.

use penstock_contract::{ArrivalMillis, Sequence, ShardId};

use crate::lease::{Lease, WorkerId};
use crate::lease_table::{LeaseTable, Write};
use crate::pin::Pin;
use crate::settle::Settled;
use crate::trouble::{Concern, Troubles};

/// Somebody else has the lease: all work on the shard is dropped at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease is lost")]
pub(crate) struct LeaseLost;

/// One worker's ownership of one lease.
#[derive(Debug)]
pub(crate) struct Tenure {
    lease: Lease,
}

impl Tenure {
    /// The lease as it was when this worker became its owner.
    pub(crate) fn new(lease: Lease) -> Self {
        Self { lease }
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) fn shard(&self) -> &ShardId {
        &self.lease.shard
    }

    /// Fixes a range. From here on, whoever owns the lease applies exactly it, next.
    pub(crate) async fn pin(&mut self, table: &LeaseTable, to: &Troubles, pin: &Pin) -> Result<(), LeaseLost> {
        self.change(table, to, self.lease.pinned(pin.clone())).await
    }

    /// The range was applied, and came to this. Where the next one is closed already, it is pinned with the same write.
    pub(crate) async fn commit(
        &mut self,
        table: &LeaseTable,
        to: &Troubles,
        pin: &Pin,
        settled: Settled,
        next: Option<&Pin>,
    ) -> Result<(), LeaseLost> {
        self.change(table, to, self.lease.committed(pin, settled, next.cloned())).await
    }

    /// Reading begins at a time instead of wherever the newest record will be.
    pub(crate) async fn start_at(
        &mut self,
        table: &LeaseTable,
        to: &Troubles,
        at: ArrivalMillis,
    ) -> Result<(), LeaseLost> {
        self.change(table, to, self.lease.starting_at(at)).await
    }

    /// The shard is processed to its end.
    pub(crate) async fn end(
        mut self,
        table: &LeaseTable,
        to: &Troubles,
        children: impl IntoIterator<Item = ShardId>,
        begin: Option<Sequence>,
    ) -> Result<(), LeaseLost> {
        self.change(table, to, self.lease.ended(children, begin)).await
    }

    /// Gives the lease back, to somebody or to all.
    pub(crate) async fn release(
        mut self,
        table: &LeaseTable,
        to: &Troubles,
        intended: Option<WorkerId>,
    ) -> Result<(), LeaseLost> {
        self.change(table, to, self.lease.released(intended)).await
    }

    async fn change(&mut self, table: &LeaseTable, troubles: &Troubles, wanted: Lease) -> Result<(), LeaseLost> {
        let subject = self.lease.shard.as_str();
        match troubles.insist(Concern::Leases, subject, || table.replace(&self.lease, &wanted)).await {
            Write::Done => {
                self.lease = wanted;
                Ok(())
            }
            Write::Lost => Err(LeaseLost),
        }
    }
}
