//! A range in the making: from records to the writes that make its effect. Nothing here talks to the service.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use penstock_contract::{Position, Record, Rejection, ShardId};
use penstock_process::{FieldPath, FieldView, RecordContext, RowView};
use serde_json::Value;

use crate::config::{Addend, Config, RESERVED_PREFIX, Table, Write};
use crate::decimal::Decimal;
use crate::item::{check_size, measure, measure_field};
use crate::key::Key;
use crate::request::GUARD;

/// A range is closed when its items have so many bytes. It bounds the memory of a shard.
pub const MAX_BATCH_BYTES: usize = 4 << 20;
/// A range is closed at so many records. It is what a shard takes in a second (1 MB) as rows of 250 bytes: more would save
/// little, hold more memory for each shard, and make a crash dearer.
pub const MAX_BATCH_RECORDS: u64 = 4_000;

/// What an entry costs besides the item.
const ENTRY_BYTES: usize = 200;
const POSITION_BYTES: usize = 40;
/// The end of the year 9999 in seconds: a moment beyond it was given in milliseconds.
const MAX_TTL_SECONDS: i64 = 253_402_300_799;

/// The writes of a range, by table in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Writes {
    pub(crate) tables: Vec<TableWrites>,
    bytes: usize,
    /// Records that were offered.
    pushed: u64,
    /// Records that at least one table takes.
    pub(crate) taken: u64,
}

/// The writes to one table: at most one an item.
#[derive(Debug)]
pub(crate) enum TableWrites {
    Puts(Entries<PutEntry>),
    Sums(Entries<SumEntry>),
}

/// Entries in the order of their first record, found by key.
#[derive(Debug)]
pub(crate) struct Entries<E> {
    by_key: HashMap<Arc<Key>, usize>,
    pub(crate) list: Vec<E>,
}

/// The last record of an item.
#[derive(Debug)]
pub(crate) struct PutEntry {
    pub(crate) key: Arc<Key>,
    pub(crate) position: Position,
    /// The row as JSON: a fraction of what it would take as attributes.
    pub(crate) row: Bytes,
    /// The item's end in seconds, where the row does not hold it under the attribute's own name.
    pub(crate) ttl: Option<i64>,
    pub(crate) bytes: usize,
    /// Earlier records of the same item, in this range.
    pub(crate) superseded: Vec<Position>,
}

/// What all records of an item come to.
#[derive(Debug)]
pub(crate) struct SumEntry {
    pub(crate) key: Arc<Key>,
    /// The latest value for each attribute of `set`, and at last the item's end; `None` leaves it as it is.
    set: Vec<Option<Value>>,
    add: Vec<Decimal>,
    pub(crate) positions: Vec<Position>,
}

/// What one record means for one table, checked but not yet taken.
#[derive(Debug)]
enum Prepared {
    Put(PutEntry),
    Sum { key: Key, set: Vec<Option<Value>>, sums: Vec<Decimal>, bytes: usize },
}

impl<E> Default for Entries<E> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), list: Vec::new() }
    }
}

impl SumEntry {
    /// Attribute and value of everything that is set.
    pub(crate) fn set<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let names = match &table.write {
            Write::Aggregate { set, .. } => set.as_slice(),
            Write::PutOwn | Write::PutLatest => &[],
        };
        let names = names.iter().map(|(name, _)| name.as_str()).chain(table.ttl.as_ref().map(FieldPath::as_str));
        names.zip(&self.set).filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }

    /// Attribute and sum of everything that is added.
    pub(crate) fn add<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = (&'a str, Decimal)> {
        let names = match &table.write {
            Write::Aggregate { add, .. } => add.as_slice(),
            Write::PutOwn | Write::PutLatest => &[],
        };
        names.iter().map(|(name, _)| name.as_str()).zip(self.add.iter().copied())
    }
}

impl Writes {
    pub(crate) fn new(config: &Config) -> Self {
        let tables = config.tables.iter().map(|table| match table.write {
            Write::PutOwn | Write::PutLatest => TableWrites::Puts(Entries::default()),
            Write::Aggregate { .. } => TableWrites::Sums(Entries::default()),
        });
        Self { tables: tables.collect(), bytes: 0, pushed: 0, taken: 0 }
    }

    /// Whether the range should be closed.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= MAX_BATCH_BYTES || self.pushed >= MAX_BATCH_RECORDS
    }

    /// Takes a record into every table that wants it, or into none.
    pub(crate) fn push(&mut self, config: &Config, shard: &ShardId, record: &Record) -> Result<(), Rejection> {
        self.pushed += 1;
        let prepared = config.transform.apply(record, |row| {
            self.prepare(config, &RecordContext { row, record, shard, id_field: config.id_field.as_deref() })
        })?;
        self.taken += u64::from(!prepared.is_empty());
        for (index, prepared) in prepared {
            self.bytes += self.tables[index].take(prepared, &record.position);
        }
        Ok(())
    }

    /// What a record means for each table that wants it.
    fn prepare(&self, config: &Config, context: &RecordContext<'_>) -> Result<Vec<(usize, Prepared)>, Rejection> {
        // Rows that were not changed are kept as the bytes that they came in.
        let mut kept = config.transform.program().is_none().then(|| context.record.data.clone());
        let mut prepared = Vec::with_capacity(config.tables.len());
        for (index, table) in config.tables.iter().enumerate() {
            if table.when.as_ref().map_or(Ok(true), |when| when.matches(context.row))? {
                prepared.push((index, self.tables[index].prepare(table, context, &mut kept)?));
            }
        }
        Ok(prepared)
    }
}

impl TableWrites {
    fn prepare(
        &self,
        table: &Table,
        context: &RecordContext<'_>,
        kept: &mut Option<Bytes>,
    ) -> Result<Prepared, Rejection> {
        let key = table.key.make(context)?;
        match (self, &table.write) {
            (Self::Sums(sums), Write::Aggregate { set, add }) => {
                let totals = sums.get(&key).map(|entry| entry.add.as_slice());
                prepare_sum(table, set, add, key, totals, context.row)
            }
            _ => prepare_put(table, key, context, kept).map(Prepared::Put),
        }
    }

    /// Takes what was prepared, and says by how many bytes that made the batch grow.
    fn take(&mut self, prepared: Prepared, position: &Position) -> usize {
        match (self, prepared) {
            (Self::Puts(puts), Prepared::Put(entry)) => puts.replace(entry),
            (Self::Sums(sums), Prepared::Sum { key, set, sums: totals, bytes }) => {
                sums.accumulate(key, set, totals, position.clone(), bytes)
            }
            // `prepare` makes what the table takes.
            _ => 0,
        }
    }
}

impl<E> Entries<E> {
    fn get(&self, key: &Key) -> Option<&E> {
        self.by_key.get(key).map(|index| &self.list[*index])
    }

    /// Takes the first of its key. The list grows by half: entries are large, and with doubling a full range of each shard
    /// would hold room for half as many again.
    fn insert(&mut self, key: Arc<Key>, entry: E) {
        if self.list.len() == self.list.capacity() {
            self.list.reserve_exact((self.list.len() / 2).max(16));
        }
        self.by_key.insert(key, self.list.len());
        self.list.push(entry);
    }
}

impl Entries<PutEntry> {
    fn replace(&mut self, mut entry: PutEntry) -> usize {
        if let Some(index) = self.by_key.get(&entry.key) {
            let earlier = &mut self.list[*index];
            entry.superseded = std::mem::take(&mut earlier.superseded);
            entry.superseded.push(earlier.position.clone());
            let grown = entry.bytes.saturating_sub(earlier.bytes) + POSITION_BYTES;
            *earlier = entry;
            return grown;
        }
        let bytes = entry.bytes + ENTRY_BYTES;
        self.insert(Arc::clone(&entry.key), entry);
        bytes
    }
}

impl Entries<SumEntry> {
    fn accumulate(
        &mut self,
        key: Key,
        set: Vec<Option<Value>>,
        totals: Vec<Decimal>,
        position: Position,
        bytes: usize,
    ) -> usize {
        if let Some(index) = self.by_key.get(&key) {
            let entry = &mut self.list[*index];
            for (latest, value) in entry.set.iter_mut().zip(set) {
                if value.is_some() {
                    *latest = value;
                }
            }
            entry.add = totals;
            entry.positions.push(position);
            return POSITION_BYTES;
        }
        let key = Arc::new(key);
        self.insert(Arc::clone(&key), SumEntry { key, set, add: totals, positions: vec![position] });
        bytes + ENTRY_BYTES + POSITION_BYTES
    }
}

fn prepare_put(
    table: &Table,
    key: Key,
    context: &RecordContext<'_>,
    kept: &mut Option<Bytes>,
) -> Result<PutEntry, Rejection> {
    let row = context.row;
    let ttl = match &table.ttl {
        Some(field) => ttl_seconds(field, row)?.filter(|_| row.named(field.as_str()).is_none()),
        None => None,
    };
    let bytes = put_size(table, &key, context, ttl)?;
    check_size(&table.name, bytes)?;
    let row = kept.get_or_insert_with(|| as_json(row)).clone();
    let position = context.record.position.clone();
    Ok(PutEntry { key: Arc::new(key), position, row, ttl, bytes, superseded: Vec::new() })
}

fn as_json(row: RowView<'_>) -> Bytes {
    // JSON values into memory: there is nothing in them that could fail to serialise.
    Bytes::from(match row {
        RowView::Parsed(row) => serde_json::to_vec(&row.0).unwrap_or_default(),
        RowView::Flat(row) => serde_json::to_vec(&row.to_row().0).unwrap_or_default(),
    })
}

/// The size of the item, once it is certain that no attribute takes another's place.
fn put_size(table: &Table, key: &Key, context: &RecordContext<'_>, ttl: Option<i64>) -> Result<usize, Rejection> {
    let row = context.row;
    if let Some((name, _)) = row.fields().find(|(name, _)| name.starts_with(RESERVED_PREFIX)) {
        let message = format!("{name}: names that begin with {RESERVED_PREFIX} are kept for the sink's own");
        return Err(Rejection::new("attribute_reserved", message).at(name));
    }
    if let Some(name) = table.key.made_attributes().find(|name| row.named(name).is_some()) {
        let message =
            format!("{name}: the table {} makes its key under this name, and the record has it too", table.name);
        return Err(Rejection::new("attribute_taken", message).at(name));
    }
    let mut bytes = measure(row)? + table.key.size(key);
    for name in table.key.attributes() {
        if let Some(value) = row.named(name) {
            bytes -= name.len() + measure_field(name, value)?;
        }
    }
    if let (Some(attribute), Some(seconds)) = (&table.ttl, ttl) {
        bytes += attribute.as_str().len() + Decimal::from_whole(seconds).size();
    }
    if matches!(table.write, Write::PutLatest) {
        bytes += GUARD.len() + context.record.position.sortable().len();
    }
    Ok(bytes)
}

fn prepare_sum(
    table: &Table,
    set: &[(String, FieldPath)],
    add: &[(String, Addend)],
    key: Key,
    totals: Option<&[Decimal]>,
    row: RowView<'_>,
) -> Result<Prepared, Rejection> {
    let mut bytes = table.key.size(&key);
    let mut values = Vec::with_capacity(set.len() + 1);
    for (name, field) in set {
        let value = row.get(field).filter(|value| *value != FieldView::Null);
        if let Some(value) = value {
            bytes += name.len() + measure_field(name, value)?;
        }
        values.push(value.map(FieldView::to_value));
    }
    if let Some(field) = &table.ttl {
        values.push(ttl_seconds(field, row)?.map(Value::from));
    }
    let mut sums = Vec::with_capacity(add.len());
    for (index, (name, addend)) in add.iter().enumerate() {
        let addend = number(name, addend, row)?;
        let total = totals.and_then(|totals| totals.get(index).copied()).unwrap_or_default();
        let sum = total.checked_add(addend).ok_or_else(|| too_many_digits(name))?;
        bytes += name.len() + sum.size();
        sums.push(sum);
    }
    check_size(&table.name, bytes)?;
    Ok(Prepared::Sum { key, set: values, sums, bytes })
}

fn number(attribute: &str, addend: &Addend, row: RowView<'_>) -> Result<Decimal, Rejection> {
    let field = match addend {
        Addend::Constant(constant) => return Ok(*constant),
        Addend::Field(field) => field,
    };
    let name = field.as_str();
    match row.get(field) {
        Some(FieldView::Number(number)) => Decimal::from_number(number).ok_or_else(|| {
            let message = format!("{name}: {} is beyond what DynamoDB holds (1E-130 to 9.9E125)", number.text());
            Rejection::new("number_out_of_range", message).at(name)
        }),
        None | Some(FieldView::Null) => {
            let message = format!("{name}: is missing or null, and {attribute} is the sum of it");
            Err(Rejection::new("add_missing", message).at(name))
        }
        Some(_) => {
            let message = format!("{name}: is not a number, and {attribute} is the sum of it");
            Err(Rejection::new("add_type", message).at(name))
        }
    }
}

fn too_many_digits(attribute: &str) -> Rejection {
    let message =
        format!("{attribute}: with this record the sum would need more than 38 digits, and nothing is rounded");
    Rejection::new("sum_out_of_range", message).at(attribute)
}

/// The moment of an item's end. A record without one makes an item that stays; DynamoDB would keep one with
/// anything else than whole seconds for ever and say nothing, so such a record is rejected.
fn ttl_seconds(field: &FieldPath, row: RowView<'_>) -> Result<Option<i64>, Rejection> {
    let number = match row.get(field) {
        None | Some(FieldView::Null) => return Ok(None),
        Some(FieldView::Number(number)) => Some(number),
        Some(_) => None,
    };
    #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    let whole = |float: f64| (float.fract() == 0.0 && float.abs() < 1e15).then_some(float as i64);
    let seconds = number.and_then(|number| number.whole().or_else(|| number.float().and_then(whole)));
    match seconds {
        Some(seconds) if (0..=MAX_TTL_SECONDS).contains(&seconds) => Ok(Some(seconds)),
        _ => {
            let message = format!(
                "{}: an item's end must be whole seconds since 1970, at most {MAX_TTL_SECONDS}",
                field.as_str()
            );
            Err(Rejection::new("ttl_invalid", message).at(field.as_str()))
        }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
