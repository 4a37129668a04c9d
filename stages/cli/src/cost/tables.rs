//! Items in DynamoDB: the writes that rows come to. Pure.

use penstock_api::plan::BillingPlan;

use super::load::{KB, Load, MONTH_HOURS};
use super::shape::{Items, Misfit, Table};
use super::usage::{Meter, Usage};

/// Items in a `BatchWriteItem`.
const BATCH: f64 = 25.0;
/// What the key that is made, names and numbers take in an item besides the row's JSON.
const ITEM_OVERHEAD: f64 = 64.0;
/// An item of sums: its keys, latest values and sums.
const SUMS_BYTES: f64 = 250.0;
/// The mark of a shard in an item of sums: name and position (`stages/dynamodb/src/request.rs`).
const MARK_BYTES: f64 = 110.0;
/// What DynamoDB counts for each stored item on top of its size.
const STORED_OVERHEAD: f64 = 100.0;

/// The writes of rows that are written together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Writes {
    /// `BatchWriteItem`.
    pub(super) batches: f64,
    /// `PutItem`.
    pub(super) puts: f64,
    /// `UpdateItem`.
    pub(super) updates: f64,
    /// Write request units.
    pub(super) units: f64,
}

impl Writes {
    pub(super) fn times(self, factor: f64) -> Self {
        let Self { batches, puts, updates, units } = self;
        Self { batches: batches * factor, puts: puts * factor, updates: updates * factor, units: units * factor }
    }
}

impl Table {
    /// What a write costs in units.
    fn unit(&self, shards: f64, load: &Load) -> f64 {
        (self.item_bytes(shards, load) / KB).ceil()
    }

    fn item_bytes(&self, shards: f64, load: &Load) -> f64 {
        match self.items {
            Items::OwnOfEachRow => load.row_bytes + ITEM_OVERHEAD,
            Items::LatestOfKey => load.row_bytes + ITEM_OVERHEAD + MARK_BYTES,
            Items::SumOfKey { in_one_shard } => SUMS_BYTES + MARK_BYTES * if in_one_shard { 1.0 } else { shards },
        }
    }

    /// So many rows of a shard that are written together, each item once.
    pub(super) fn writes(&self, rows: f64, shards: f64, load: &Load) -> Writes {
        let items = self.share * if self.items == Items::OwnOfEachRow { rows } else { load.keys_among(rows, shards) };
        let units = items * self.unit(shards, load);
        match self.items {
            // The last call of a range is as full as it happens to be.
            Items::OwnOfEachRow => {
                let batches = if items <= 1.0 { items } else { (items / BATCH + 0.5).max(1.0) };
                Writes { batches, units, ..Writes::default() }
            }
            Items::LatestOfKey => Writes { puts: items, units, ..Writes::default() },
            Items::SumOfKey { .. } => Writes { updates: items, units, ..Writes::default() },
        }
    }

    /// The table as others fill it, who leave no marks in its items.
    pub(super) fn unmarked(&self) -> Self {
        let items = match self.items {
            Items::SumOfKey { .. } => Items::SumOfKey { in_one_shard: true },
            other => other,
        };
        Self { items, ..self.clone() }
    }

    /// A write for each row, as it is done where nobody adds rows up before.
    pub(super) fn writes_by_row(&self, rows: f64, shards: f64, load: &Load) -> Writes {
        let one_by_one = Load { rows_per_key: 1.0, ..load.clone() };
        self.writes(rows, shards, &one_by_one)
    }

    /// Each item once, ever.
    pub(super) fn least_units(&self, rows: f64, load: &Load) -> f64 {
        let items = self.share * if self.items == Items::OwnOfEachRow { rows } else { rows / load.rows_per_key };
        items * self.unit(1.0, load)
    }

    /// Refuses a load that is more than the capacity that the Pipeline gives the table.
    pub(super) fn check(&self, units: f64) -> Result<(), Misfit> {
        match self.billing {
            Some(BillingPlan::Provisioned { write, .. }) if units > f64::from(write) => Err(Misfit {
                place: format!("{}.billing.writeCapacityUnits", self.place),
                what: format!("{write} are too few: the load writes {units:.0} a second"),
                cure: format!("write {:.0} or more, or take `mode: OnDemand`", units.ceil()),
            }),
            _ => Ok(()),
        }
    }

    /// Pays for so many units of writes a second while there is load: by request, or for a capacity that suffices.
    pub(super) fn pay(&self, usage: &mut Usage, units: f64, load: &Load) {
        match self.billing {
            Some(BillingPlan::Provisioned { read, write }) => {
                usage.pay(Meter::WriteCapacityHour, f64::from(write).max(units.ceil()) * MONTH_HOURS);
                usage.pay(Meter::ReadCapacityHour, f64::from(read) * MONTH_HOURS);
            }
            Some(BillingPlan::OnDemand) | None => usage.pay(Meter::ItemWrite, units * load.busy_seconds()),
        }
    }

    /// Pays for what is kept of so many rows a second: the same whoever writes it.
    pub(super) fn pay_storage(&self, usage: &mut Usage, rows: f64, shards: f64, load: &Load) {
        let rows_per_item = if self.items == Items::OwnOfEachRow { 1.0 } else { load.rows_per_key };
        let items = rows * self.share / rows_per_item;
        let kept = load.kept_gb(items * (self.item_bytes(shards, load) + STORED_OVERHEAD), load.keep_hours);
        usage.pay(Meter::ItemGbMonth, kept);
        if self.continuous_backups {
            usage.pay(Meter::RecoveryGbMonth, kept);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::load::any;
    use super::*;

    fn table(items: Items) -> Table {
        Table {
            place: "spec.sinks[0].dynamodb.tables[1]".to_owned(),
            share: 1.0,
            items,
            billing: None,
            continuous_backups: false,
        }
    }

    #[test]
    fn rows_are_items_each_and_sums_are_one_of_a_key() {
        let load = Load { rows_per_key: 21.0, ..any() };
        let rows = table(Items::OwnOfEachRow).writes(130.0, 4.0, &load);
        assert_eq!((rows.units, rows.updates), (130.0, 0.0));
        assert!((5.0..6.0).contains(&rows.batches), "{rows:?}");
        let sums = table(Items::SumOfKey { in_one_shard: true }).writes(127.0, 1.0, &load);
        assert!((sums.units - 7.0).abs() < 1e-9 && sums.updates == sums.units, "{sums:?}");
        assert_eq!(sums.batches, 0.0);
        assert_eq!(table(Items::SumOfKey { in_one_shard: true }).writes_by_row(127.0, 4.0, &load).units, 127.0);
    }

    #[test]
    fn an_item_that_all_shards_add_to_grows_with_them() {
        let sums = table(Items::SumOfKey { in_one_shard: false });
        assert_eq!(sums.writes(1.0, 4.0, &any()).units, 1.0);
        assert_eq!(sums.writes(1.0, 32.0, &any()).units, 4.0);
    }

    #[test]
    fn large_rows_take_several_units() {
        let load = Load { row_bytes: 3_000.0, ..any() };
        assert_eq!(table(Items::OwnOfEachRow).writes(10.0, 4.0, &load).units, 30.0);
    }

    #[test]
    fn a_capacity_is_paid_for_whether_it_is_used_or_not_and_must_suffice() {
        let table =
            Table { billing: Some(BillingPlan::Provisioned { read: 5, write: 100 }), ..table(Items::LatestOfKey) };
        let mut usage = Usage::default();
        table.pay(&mut usage, 90.0, &any());
        assert_eq!((usage.of(Meter::WriteCapacityHour), usage.of(Meter::ItemWrite)), (73_000.0, 0.0));
        assert_eq!(table.check(100.0), Ok(()));
        assert_eq!(
            table.check(101.0).unwrap_err().place,
            "spec.sinks[0].dynamodb.tables[1].billing.writeCapacityUnits"
        );
    }
}
