//! What must come out at the other end: rows, revenue and distinct keys of a file of shop data, by exact arithmetic.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::ops::AddAssign;
use std::path::Path;

use serde::{Serialize, Serializer};

/// So many digits behind the point are kept exactly.
const SCALE: u32 = 9;
const ONE: i128 = 10_i128.pow(SCALE);

/// An exact decimal number with up to nine digits behind the point. Displayed with at least two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i128);

impl Amount {
    /// From hundredths.
    #[must_use]
    pub fn from_pence(pence: i64) -> Self {
        Self(i128::from(pence) * (ONE / 100))
    }

    /// Reads a decimal number such as `-2.55`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        if whole.len() > 18 || fraction.len() > SCALE as usize {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
        Some(Self(sign * (whole * ONE + fraction)))
    }

    fn times(self, quantity: i64) -> Self {
        Self(self.0 * i128::from(quantity))
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let (whole, fraction) = (magnitude / ONE.unsigned_abs(), magnitude % ONE.unsigned_abs());
        let digits = format!("{fraction:09}");
        let shown = digits.trim_end_matches('0').len().max(2);
        write!(f, "{sign}{whole}.{}", &digits[..shown])
    }
}

impl Serialize for Amount {
    /// As text: a float could not hold it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What must come out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Rows.
    pub rows: u64,
    /// Sum of `Quantity` × `UnitPrice`.
    pub revenue: Amount,
    /// Sum of `Quantity`.
    pub quantity: i64,
    /// Distinct `InvoiceNo`.
    pub invoices: u64,
    /// Distinct `CustomerID` that are not empty.
    pub customers: u64,
    /// Distinct `StockCode`.
    pub stock_codes: u64,
    /// Rows whose `CustomerID` is empty.
    pub rows_without_customer: u64,
    /// Rows whose `InvoiceNo` begins with `C`.
    pub cancellation_rows: u64,
    /// Rows with a character that is not ASCII.
    pub non_ascii_rows: u64,
    /// Rows that are equal, field by field, to an earlier one.
    pub duplicate_rows: u64,
    /// Distinct pairs of `InvoiceNo` and `StockCode`: fewer than rows, which is why they are no key.
    pub invoice_stock_pairs: u64,
}

/// Why a file's totals cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum TotalsError {
    /// The file cannot be read.
    #[error("cannot read the file")]
    Io(#[from] io::Error),
    /// It is no CSV file.
    #[error("cannot read the file's rows")]
    Csv(#[from] csv::Error),
    /// A column is missing.
    #[error("the file has no column {0}")]
    NoColumn(&'static str),
    /// A cell is no number.
    #[error("line {line}: {column} is no number: {cell:?}")]
    NoNumber {
        /// The line.
        line: u64,
        /// The column.
        column: &'static str,
        /// The cell.
        cell: String,
    },
}

impl TotalsError {
    /// A stable code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Io(_) => "io",
            Self::Csv(_) => "csv",
            Self::NoColumn(_) => "no_column",
            Self::NoNumber { .. } => "no_number",
        }
    }
}

/// The totals of a file of shop data, plain or packed.
///
/// # Errors
/// When the file cannot be read, or a row of it has no quantity or price.
pub fn totals_of_file(path: &Path) -> Result<Totals, TotalsError> {
    totals(crate::input::unpack(Box::new(File::open(path)?))?)
}

/// The totals of shop data in CSV. Keeps some bytes for each row, to find those that are equal.
///
/// # Errors
/// When it cannot be read, or a row of it has no quantity or price.
pub fn totals(input: impl Read) -> Result<Totals, TotalsError> {
    let mut reader = csv::ReaderBuilder::new().buffer_capacity(256 << 10).from_reader(input);
    let columns = Columns::find(reader.byte_headers()?)?;
    let mut distinct = Distinct::default();
    let mut totals = Totals::default();
    let mut row = csv::ByteRecord::new();
    while reader.read_byte_record(&mut row)? {
        let quantity = number(&row, columns.quantity, "Quantity", |text| text.parse::<i64>().ok())?;
        let price = number(&row, columns.price, "UnitPrice", Amount::parse)?;
        totals.rows += 1;
        totals.quantity += quantity;
        totals.revenue += price.times(quantity);
        let field = |index| row.get(index).unwrap_or_default();
        let (invoice, stock, customer) = (field(columns.invoice), field(columns.stock), field(columns.customer));
        distinct.invoices.insert(hash(invoice));
        distinct.stock_codes.insert(hash(stock));
        distinct.pairs.insert(hash((invoice, stock)));
        if customer.is_empty() {
            totals.rows_without_customer += 1;
        } else {
            distinct.customers.insert(hash(customer));
        }
        totals.cancellation_rows += u64::from(invoice.starts_with(b"C"));
        totals.non_ascii_rows += u64::from(!row.as_slice().is_ascii());
        totals.duplicate_rows += u64::from(!distinct.rows.insert(hash(row.iter().collect::<Vec<_>>())));
    }
    totals.invoices = distinct.invoices.len() as u64;
    totals.stock_codes = distinct.stock_codes.len() as u64;
    totals.customers = distinct.customers.len() as u64;
    totals.invoice_stock_pairs = distinct.pairs.len() as u64;
    Ok(totals)
}

/// Digests of what was seen: 128 bits, so that no two of some millions are equal by accident.
#[derive(Default)]
struct Distinct {
    invoices: HashSet<u128>,
    stock_codes: HashSet<u128>,
    customers: HashSet<u128>,
    pairs: HashSet<u128>,
    rows: HashSet<u128>,
}

fn hash(value: impl Hash) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

struct Columns {
    invoice: usize,
    stock: usize,
    quantity: usize,
    price: usize,
    customer: usize,
}

impl Columns {
    fn find(header: &csv::ByteRecord) -> Result<Self, TotalsError> {
        let find = |name: &'static str| {
            header.iter().position(|column| column == name.as_bytes()).ok_or(TotalsError::NoColumn(name))
        };
        Ok(Self {
            invoice: find("InvoiceNo")?,
            stock: find("StockCode")?,
            quantity: find("Quantity")?,
            price: find("UnitPrice")?,
            customer: find("CustomerID")?,
        })
    }
}

fn number<T>(
    row: &csv::ByteRecord,
    index: usize,
    column: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, TotalsError> {
    let cell = row.get(index).unwrap_or_default();
    std::str::from_utf8(cell).ok().and_then(parse).ok_or_else(|| TotalsError::NoNumber {
        line: row.position().map_or(0, csv::Position::line),
        column,
        cell: String::from_utf8_lossy(cell).into_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r\n";

    #[test]
    fn totals_are_exact_and_distinct_things_are_counted_once() {
        let file = format!(
            "{HEADER}1,a,\"x, y\",3,d,0.1,7,UK\r\n1,a,\"x, y\",3,d,0.1,7,UK\r\n1,a,caf\u{e9},1,d,0.001,,UK\r\nC2,b,z,-2,d,13541.33,8,UK\r\n"
        );
        let totals = totals(file.as_bytes()).unwrap();
        assert_eq!(totals.revenue.to_string(), "-27082.059");
        assert_eq!(
            totals,
            Totals {
                rows: 4,
                revenue: totals.revenue,
                quantity: 5,
                invoices: 2,
                customers: 2,
                stock_codes: 2,
                rows_without_customer: 1,
                cancellation_rows: 1,
                non_ascii_rows: 1,
                duplicate_rows: 1,
                invoice_stock_pairs: 2,
            }
        );
    }

    #[test]
    fn amounts_are_read_and_shown_exactly() {
        for (text, shown) in
            [("2.55", "2.55"), ("18", "18.00"), ("2.1", "2.10"), ("-0.001", "-0.001"), (".5", "0.50"), ("0", "0.00")]
        {
            assert_eq!(Amount::parse(text).unwrap().to_string(), shown);
        }
        for wrong in ["", ".", "-", "1.2.3", "1e3", "0.0000000001", "x"] {
            assert_eq!(Amount::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Amount::from_pence(-255).to_string(), "-2.55");
    }

    #[test]
    fn a_row_without_a_number_is_an_error_with_its_line() {
        let error = totals(format!("{HEADER}1,a,x,three,d,0.1,7,UK\r\n").as_bytes()).unwrap_err();
        assert!(error.to_string().contains("Quantity") && error.to_string().contains("three"), "{error}");
        assert!(matches!(totals(&b"a,b\n1,2\n"[..]), Err(TotalsError::NoColumn("InvoiceNo"))));
    }
}
