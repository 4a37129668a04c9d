//! Shop data of any size, with the shape of what shops hand over: ISO-8859-1, CRLF, dates without a zone, invoices of
//! many lines, cancellations, missing customers, rows that are there twice.
//!
//! Only whole numbers are used, and a generator of our own, so the same seed gives the same bytes everywhere. Memory
//! does not grow with the number of rows: invoices stand together, so what is distinct within one is counted there.

mod calendar;
mod catalogue;
mod order;
mod random;

use std::io::{self, Write};

use calendar::Calendar;
use catalogue::{Catalogue, Countries};
use order::{Order, Shop};
use random::Random;

use crate::totals::{Amount, Totals};

const HEADER: &[u8] = b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r\n";
const FIRST_INVOICE: u64 = 536_365;
const FIRST_CUSTOMER: u64 = 12_346;
const FLUSH_BYTES: usize = 64 << 10;

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleOptions {
    /// How many rows, without the header.
    pub rows: u64,
    /// Another seed gives other rows.
    pub seed: u64,
}

/// Writes the sample and gives the totals that must come out of it.
///
/// # Errors
/// When `out` cannot be written to.
pub fn generate(options: SampleOptions, out: &mut impl Write) -> io::Result<Totals> {
    let shop = Shop::new();
    let mut random = Random::new(options.seed);
    let mut calendar = Calendar::new(options.rows);
    let mut counter = Counter::new(&shop.catalogue);
    let mut text = Vec::with_capacity(2 * FLUSH_BYTES);
    text.extend_from_slice(HEADER);
    let mut invoice = FIRST_INVOICE;
    while counter.totals.rows < options.rows {
        let left = options.rows - counter.totals.rows;
        let mut order = Order::draw(&shop, &mut random, options.rows);
        order.lines.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let date = calendar.at(counter.totals.rows);
        write_order(&mut text, &shop, &order, invoice, &date.to_string())?;
        counter.add(&shop.catalogue, &mut order);
        if text.len() >= FLUSH_BYTES {
            out.write_all(&text)?;
            text.clear();
        }
        invoice += 1 + random.below(3) / 2;
    }
    out.write_all(&text)?;
    out.flush()?;
    Ok(counter.finish())
}

fn write_order(text: &mut Vec<u8>, shop: &Shop, order: &Order, invoice: u64, date: &str) -> io::Result<()> {
    let mark = if order.cancelled { "C" } else { "" };
    for line in &order.lines {
        let product = shop.catalogue.product(line.product);
        write!(text, "{mark}{invoice},{},", product.code)?;
        if !order.blank_descriptions {
            text.extend_from_slice(&product.description);
        }
        write!(text, ",{},{date},", line.quantity)?;
        write_price(text, line.pence)?;
        text.push(b',');
        if let Some(customer) = order.customer {
            write!(text, "{}", FIRST_CUSTOMER + customer)?;
        }
        text.push(b',');
        text.extend_from_slice(Countries::NAMES[order.country].as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    Ok(())
}

/// As spreadsheets write it: `2.55`, `2.1`, `18`.
fn write_price(text: &mut Vec<u8>, pence: i64) -> io::Result<()> {
    let (pounds, rest) = (pence / 100, pence % 100);
    match rest {
        0 => write!(text, "{pounds}"),
        _ if rest % 10 == 0 => write!(text, "{pounds}.{}", rest / 10),
        _ => write!(text, "{pounds}.{rest:02}"),
    }
}

/// Adds up what was written, with memory for the shop's customers and products only.
struct Counter {
    totals: Totals,
    customers: Vec<bool>,
    products: Vec<bool>,
}

impl Counter {
    fn new(catalogue: &Catalogue) -> Self {
        let customers = usize::try_from(order::CUSTOMERS).unwrap_or(0);
        Self { totals: Totals::default(), customers: vec![false; customers], products: vec![false; catalogue.len()] }
    }

    fn add(&mut self, catalogue: &Catalogue, order: &mut Order) {
        let totals = &mut self.totals;
        let lines = order.lines.len() as u64;
        totals.rows += lines;
        totals.invoices += 1;
        totals.cancellation_rows += if order.cancelled { lines } else { 0 };
        match order.customer.and_then(|customer| usize::try_from(customer).ok()) {
            Some(customer) => self.customers[customer] = true,
            None => totals.rows_without_customer += lines,
        }
        for line in &order.lines {
            totals.revenue += Amount::from_pence(line.pence * line.quantity);
            totals.quantity += line.quantity;
            self.products[line.product] = true;
            let described = !order.blank_descriptions;
            totals.non_ascii_rows += u64::from(described && catalogue.product(line.product).accented);
        }
        order.lines.sort_unstable();
        totals.invoice_stock_pairs +=
            1 + order.lines.windows(2).filter(|pair| pair[0].product != pair[1].product).count() as u64;
        totals.duplicate_rows += order.lines.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
    }

    fn finish(mut self) -> Totals {
        let count = |seen: &[bool]| seen.iter().filter(|seen| **seen).count() as u64;
        self.totals.customers = count(&self.customers);
        self.totals.stock_codes = count(&self.products);
        self.totals
    }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
