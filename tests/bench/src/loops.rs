//! The loops that run for every row, over the same thousand rows each time: `cargo xtask instructions` counts what they take.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use penstock_process::{FlatRow, Program, RowSchema, RowView, Template, look_at};
use penstock_stream::HashKey;
use penstock_stream::aggregate::{Aggregator, Deaggregated, deaggregate};
use serde_json::json;

/// Rows of one pass.
pub const ROWS: usize = 1_000;

/// As the example's source puts them.
const AGGREGATE_BYTES: usize = 250 * 1024;
const SCHEMA: &str = r#"{
    "type": "object",
    "required": ["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice"],
    "properties": {
        "InvoiceNo": { "type": "string", "minLength": 1, "maxLength": 16 },
        "StockCode": { "type": "string", "minLength": 1, "maxLength": 32 },
        "Description": { "type": "string", "maxLength": 256 },
        "Quantity": { "type": "integer" },
        "InvoiceDate": { "type": "string", "minLength": 1, "maxLength": 32 },
        "UnitPrice": { "type": "number" },
        "CustomerID": { "type": "string", "minLength": 1, "maxLength": 32 },
        "Country": { "type": "string", "maxLength": 64 },
        "_id": { "type": "string", "minLength": 1, "maxLength": 128 }
    }
}"#;
const PROGRAM: &str = ".Amount = round(to_float!(.Quantity) * to_float!(.UnitPrice), 3)";

/// A loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Loop {
    /// A source looks at a row: JSON, schema, partition key and its hash.
    Check,
    /// A source puts rows into aggregates.
    Aggregate,
    /// A sink takes aggregates apart.
    Open,
    /// A sink reads a row and runs the example's program over it.
    Program,
}

impl Loop {
    /// All of them.
    #[must_use]
    pub fn all() -> &'static [Self] {
        <Self as clap::ValueEnum>::value_variants()
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Aggregate => "aggregate",
            Self::Open => "open",
            Self::Program => "program",
        }
    }
}

/// What the loops work on.
#[derive(Debug)]
pub struct Work {
    rows: Vec<Bytes>,
    keys: Vec<Arc<str>>,
    aggregates: Vec<Bytes>,
    schema: RowSchema,
    key: Template,
    program: Program,
}

impl Work {
    /// Makes the rows, which are the same each time.
    ///
    /// # Errors
    /// When schema, template or program are not valid.
    pub fn new() -> anyhow::Result<Self> {
        let rows: Vec<_> = (0..ROWS).map(row).collect();
        let keys: Vec<Arc<str>> = (0..ROWS).map(|number| invoice(number).into()).collect();
        let schema = serde_json::from_str(SCHEMA).context("the schema is no JSON")?;
        Ok(Self {
            aggregates: aggregates(&rows, &keys),
            rows,
            keys,
            schema: RowSchema::compile(&schema)?,
            key: Template::parse_for_rows("{InvoiceNo}")?,
            program: Program::compile(PROGRAM).context("the program cannot be compiled")?,
        })
    }

    /// One pass over all rows.
    pub fn pass(&self, of: Loop) {
        match of {
            Loop::Check => self.rows.iter().for_each(|row| {
                black_box(self.check(row));
            }),
            Loop::Aggregate => {
                black_box(aggregates(&self.rows, &self.keys));
            }
            Loop::Open => self.aggregates.iter().for_each(|aggregate| {
                if let Deaggregated::Aggregate(members) = deaggregate(aggregate) {
                    members.for_each(|member| {
                        black_box(member);
                    });
                }
            }),
            Loop::Program => self.rows.iter().for_each(|row| {
                black_box(look_at(row, |row| self.program.run(row)).ok());
            }),
        }
    }

    /// As a source does it.
    fn check(&self, row: &[u8]) -> Option<HashKey> {
        let row = FlatRow::read(row).filter(|row| self.schema.surely_takes(row))?;
        let key = self.key.render_row(RowView::Flat(&row)).ok()?;
        Some(HashKey::of_partition_key(&key))
    }
}

/// A line of an invoice, of the length that they have.
fn row(number: usize) -> Bytes {
    let value = json!({
        "InvoiceNo": invoice(number),
        "StockCode": format!("{}", 20_000 + number * 7 % 3_000),
        "Description": format!("WHITE HANGING HEART {}", number % 400),
        "Quantity": number % 24 + 1,
        "InvoiceDate": "12/1/2010 8:26",
        "UnitPrice": f64::from(u32::try_from(number % 40 + 1).unwrap_or(1)) / 4.0,
        "CustomerID": format!("{}", 12_000 + number * 13 % 6_000),
        "Country": "United Kingdom",
        "_id": format!("0123456789abcdef:{number}"),
    });
    Bytes::from(value.to_string())
}

/// Twenty lines each.
fn invoice(number: usize) -> String {
    format!("{}", 536_365 + number / 20)
}

fn aggregates(rows: &[Bytes], keys: &[Arc<str>]) -> Vec<Bytes> {
    let mut made = Vec::new();
    let mut open = Aggregator::new(AGGREGATE_BYTES);
    for (row, key) in rows.iter().zip(keys) {
        if open.push(key, None, row.clone()).is_err() {
            let full = std::mem::replace(&mut open, Aggregator::new(AGGREGATE_BYTES));
            made.extend(full.finish().map(|aggregate| aggregate.entry.data));
            // A new one takes any of these rows.
            let _ = open.push(key, None, row.clone());
        }
    }
    made.extend(open.finish().map(|aggregate| aggregate.entry.data));
    made
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_loop_does_its_work_on_every_row() {
        let work = Work::new().unwrap();
        assert!(work.rows.iter().all(|row| work.check(row).is_some()));
        assert!(
            work.rows.iter().all(|row| look_at(row, |row| work.program.run(row)).unwrap().0.contains_key("Amount"))
        );
        let opened = work.aggregates.iter().map(|aggregate| match deaggregate(aggregate) {
            Deaggregated::Aggregate(members) => members.count(),
            Deaggregated::Raw => 0,
        });
        assert_eq!(opened.sum::<usize>(), ROWS);
    }
}
