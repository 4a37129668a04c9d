//! An estimate: as data, as JSON and as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::load::{DAY_HOURS, Load, MONTH_HOURS};
use super::prices::{Price, Prices};
use super::usage::{Meter, Usage};

/// A design is meant to cost less than this part of those beside it.
const GOAL: f64 = 0.5;

/// What the designs cost.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Estimate {
    pub(super) pipeline: String,
    /// Where the Pipeline is.
    pub(super) region: String,
    pub(super) load: Load,
    pub(super) prices: Table,
    /// Penstock first.
    pub(super) designs: Vec<Bill>,
    pub(super) least: Bill,
}

/// The price table.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    region: String,
    currency: String,
    date: String,
    prices: BTreeMap<&'static str, Price>,
}

/// What one design costs in a month.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bill {
    pub(super) name: &'static str,
    pub(super) usd: f64,
    pub(super) lines: Vec<Line>,
    /// Calls, those that cost nothing among them.
    pub(super) calls: BTreeMap<&'static str, f64>,
    pub(super) assumptions: Vec<String>,
}

/// One thing that is paid for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) meter: Meter,
    pub(super) service: &'static str,
    pub(super) what: &'static str,
    pub(super) quantity: f64,
    pub(super) usd: f64,
}

impl Bill {
    pub(super) fn new(name: &'static str, usage: &Usage, prices: &Prices, assumptions: Vec<String>) -> Self {
        let line = |(meter, quantity): (&Meter, &f64)| Line {
            meter: *meter,
            service: meter.service(),
            what: meter.what(),
            quantity: *quantity,
            usd: prices.of(*meter, *quantity),
        };
        let lines = usage.units().iter().map(line).collect();
        Self { name, usd: prices.total(usage), lines, calls: usage.calls().clone(), assumptions }
    }

    fn line(&self, meter: Meter) -> Option<&Line> {
        self.lines.iter().find(|line| line.meter == meter)
    }
}

impl Estimate {
    pub(super) fn new(
        pipeline: String,
        region: String,
        load: Load,
        prices: &Prices,
        designs: Vec<Bill>,
        least: Bill,
    ) -> Self {
        let used: BTreeSet<Meter> = designs.iter().flat_map(|bill| &bill.lines).map(|line| line.meter).collect();
        let priced = used.into_iter().filter_map(|meter| Some((meter.id(), prices.price(meter)?.clone())));
        let prices = Table {
            region: prices.region.clone(),
            currency: prices.currency.clone(),
            date: prices.date.to_string(),
            prices: priced.collect(),
        };
        Self { pipeline, region, load, prices, designs, least }
    }

    /// For people.
    pub(super) fn text(&self, explain: bool) -> String {
        let mut text = self.head();
        text.push_str(&self.table());
        text.push_str(&self.verdict());
        if explain {
            text.push_str(&self.explanation());
        }
        text
    }

    fn head(&self) -> String {
        let Load { rows_per_second, row_bytes, rows_per_request, hours_per_day, .. } = &self.load;
        let Table { region, currency, date, .. } = &self.prices;
        let mut text = format!(
            "{}: {} rows/s of {} bytes, {} a request, {hours_per_day} of {DAY_HOURS} hours, {MONTH_HOURS} hours a month\n",
            self.pipeline,
            amount(*rows_per_second),
            amount(*row_bytes),
            amount(*rows_per_request),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(text, "Prices of {region} on {date}, {currency}, without taxes, free tiers and discounts");
        if self.region != *region {
            let there = &self.region;
            let _ =
                writeln!(text, "The Pipeline is in {there}, where they differ: --prices FILE takes those of {there}");
        }
        text.push('\n');
        text
    }

    fn table(&self) -> String {
        let meters: BTreeSet<Meter> = self.designs.iter().flat_map(|bill| &bill.lines).map(|line| line.meter).collect();
        let names = self.designs.iter().flat_map(|bill| [bill.name.to_uppercase(), self.prices.currency.clone()]);
        let mut rows = vec![["A MONTH".to_owned(), String::new()].into_iter().chain(names).collect::<Vec<_>>()];
        for meter in meters {
            let cells = self.designs.iter().flat_map(|bill| match bill.line(meter) {
                Some(line) => [amount(line.quantity), money(line.usd)],
                None => ["-".to_owned(), "-".to_owned()],
            });
            rows.push([meter.service().to_owned(), meter.what().to_owned()].into_iter().chain(cells).collect());
        }
        let totals = self.designs.iter().flat_map(|bill| [String::new(), money(bill.usd)]);
        rows.push(["TOTAL".to_owned(), String::new()].into_iter().chain(totals).collect());
        aligned(&rows)
    }

    fn verdict(&self) -> String {
        let Some((ours, others)) = self.designs.split_first() else { return String::new() };
        let mut text = String::from("\n");
        for other in others {
            let part = ours.usd / other.usd;
            let said = if part < GOAL {
                "below half"
            } else if part < 1.0 {
                "less, and not below half"
            } else {
                "more"
            };
            let _ = writeln!(text, "{} costs {:.0} % of what {} costs: {said}.", ours.name, 100.0 * part, other.name);
        }
        let _ = writeln!(
            text,
            "The least that AWS counts for this load, whoever carries it, is {}: {:.0} % of {}.",
            money(self.least.usd),
            100.0 * self.least.usd / ours.usd,
            ours.name
        );
        text
    }

    fn explanation(&self) -> String {
        let mut text = String::new();
        for bill in &self.designs {
            let _ = writeln!(text, "\n{}", bill.name);
            for assumption in &bill.assumptions {
                let _ = writeln!(text, "  - {assumption}");
            }
        }
        let _ = writeln!(text, "\nPrices");
        for (name, price) in &self.prices.prices {
            let per = if price.per > 1.0 { format!(" for {}", amount(price.per)) } else { String::new() };
            let note = price.note.as_ref().map(|note| format!(". {note}")).unwrap_or_default();
            let _ = writeln!(text, "  {name}: {}{per}: {}{note}", price.usd, price.source);
        }
        text
    }
}

/// Lines of a table: two columns of words, then numbers.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}  "),
            _ => format!("{cell:>width$}  "),
        });
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A number of things, short: millions as such.
fn amount(number: f64) -> String {
    match number {
        number if number >= 1e7 => format!("{} M", thousands(number / 1e6, if number < 1e8 { 1 } else { 0 })),
        number if number >= 100.0 || number.fract() == 0.0 => thousands(number, 0),
        number => thousands(number, 2),
    }
}

fn money(usd: f64) -> String {
    thousands(usd, 2)
}

/// A number with its thousands told apart.
fn thousands(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let (whole, rest) = text.find('.').map_or((text.as_str(), ""), |dot| text.split_at(dot));
    let mut out = String::with_capacity(text.len() + whole.len() / 3);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        let shown = [0.0, 0.5, 12.345, 100.4, 2_920.0, 999_999.0, 2_628_000_000.0, 40_400_000.0].map(amount);
        assert_eq!(shown, ["0", "0.50", "12.35", "100", "2,920", "999,999", "2,628 M", "40.4 M"]);
        assert_eq!([1_234_567.891, 0.004, 999.999].map(money), ["1,234,567.89", "0.00", "1,000.00"]);
    }

    #[test]
    fn words_stand_left_and_numbers_right() {
        let rows = [["a", "b", "10"], ["abc", "", "2"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "a    b  10\nabc      2\n");
    }
}
