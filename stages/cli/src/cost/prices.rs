//! The price table: read, checked, and asked what a usage comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use penstock_api::check::similar;
use serde::{Deserialize, Serialize};

use super::usage::{Meter, Usage};

/// The table that is used where no other is named.
const OWN: &str = include_str!("../../prices/us-east-1.yaml");
const OWN_NAME: &str = "prices/us-east-1.yaml (built in)";

/// Prices of a region at a date.
#[derive(Debug, Clone)]
pub(super) struct Prices {
    pub(super) region: String,
    pub(super) currency: String,
    pub(super) date: NaiveDate,
    prices: BTreeMap<Meter, Price>,
}

/// One price.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Price {
    /// What so many cost.
    pub(super) usd: f64,
    /// How many.
    #[serde(default = "one")]
    pub(super) per: f64,
    /// Lower prices for what goes beyond a quantity a month, from the least quantity on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) beyond: Vec<Beyond>,
    /// The page that says so, by its name.
    pub(super) source: String,
    /// Where else it was seen, or that it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// The price of what goes beyond a quantity.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Beyond {
    pub(super) quantity: f64,
    pub(super) usd: f64,
}

/// A table as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    region: String,
    currency: String,
    date: String,
    prices: BTreeMap<String, Price>,
}

/// A price table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum PriceError {
    /// It cannot be read.
    #[error("{file} cannot be read")]
    Read {
        file: String,
        #[source]
        source: std::io::Error,
    },
    /// It is no such table.
    #[error(
        "{file}:{line}: {message}\n  cure: a table has `region`, `currency`, `date` and `prices`, a price `usd`, `per`, \
         `beyond`, `source` and `note`"
    )]
    Form { file: String, line: usize, message: String },
    /// Something in it is wrong.
    #[error("{file}:{line}: {what}\n  cure: {cure}")]
    Content { file: String, line: usize, what: String, cure: String },
}

fn one() -> f64 {
    1.0
}

impl Prices {
    /// The table in the file, or the one that is built in.
    pub(super) fn load(file: Option<&PathBuf>) -> Result<Self, PriceError> {
        match file {
            None => Self::parse(OWN_NAME, OWN),
            Some(file) => Self::parse(&file.display().to_string(), &read(file)?),
        }
    }

    fn parse(file: &str, text: &str) -> Result<Self, PriceError> {
        let written: Written = serde_yaml::from_str(text).map_err(|error| PriceError::Form {
            file: file.to_owned(),
            line: error.location().map_or(1, |location| location.line()),
            message: error.to_string(),
        })?;
        Table { file, text }.checked(written)
    }

    /// What so much costs.
    pub(super) fn of(&self, meter: Meter, quantity: f64) -> f64 {
        self.prices.get(&meter).map_or(0.0, |price| price.of(quantity))
    }

    /// What a usage costs, all of it.
    pub(super) fn total(&self, usage: &Usage) -> f64 {
        usage.units().iter().map(|(meter, quantity)| self.of(*meter, *quantity)).sum()
    }

    /// The price of one thing.
    pub(super) fn price(&self, meter: Meter) -> Option<&Price> {
        self.prices.get(&meter)
    }
}

impl Price {
    fn of(&self, quantity: f64) -> f64 {
        let (mut rest, mut cost) = (quantity, 0.0);
        for beyond in self.beyond.iter().rev() {
            let above = (rest - beyond.quantity).max(0.0);
            cost += above / self.per * beyond.usd;
            rest -= above;
        }
        cost + rest / self.per * self.usd
    }
}

fn read(file: &Path) -> Result<String, PriceError> {
    std::fs::read_to_string(file).map_err(|source| PriceError::Read { file: file.display().to_string(), source })
}

/// The text, to say where something is.
struct Table<'a> {
    file: &'a str,
    text: &'a str,
}

impl Table<'_> {
    fn checked(&self, written: Written) -> Result<Prices, PriceError> {
        let Written { region, currency, date, prices } = written;
        let date = NaiveDate::parse_from_str(&date, "%Y-%m-%d").map_err(|_| {
            self.wrong("date", format!("{date:?} is no date"), "write the day of the prices, such as 2026-11-27")
        })?;
        let mut checked = BTreeMap::new();
        for (name, price) in prices {
            let meter = Meter::named(&name).ok_or_else(|| self.unknown(&name))?;
            self.check(&name, &price)?;
            checked.insert(meter, price);
        }
        let missing: BTreeSet<&str> =
            Meter::ALL.into_iter().filter(|meter| !checked.contains_key(meter)).map(Meter::id).collect();
        if let Some(first) = missing.first() {
            let what = format!("prices are missing: {}", listed(missing.iter().copied()));
            return Err(self.wrong("prices", what, &format!("add them, each as `{first}: {{ usd: …, source: … }}`")));
        }
        Ok(Prices { region, currency, date, prices: checked })
    }

    fn check(&self, name: &str, price: &Price) -> Result<(), PriceError> {
        let is_price = |usd: f64| usd.is_finite() && usd >= 0.0;
        if !is_price(price.usd) || !price.beyond.iter().all(|beyond| is_price(beyond.usd)) {
            let what = format!("`{name}`: `usd` is no price");
            return Err(self.wrong(name, what, "write a number that is not below 0"));
        }
        if !(price.per.is_finite() && price.per > 0.0) {
            let what = format!("`{name}`: {} is nothing that has a price", price.per);
            return Err(self.wrong(name, what, "write in `per` how many the price is for, such as 1000000"));
        }
        let grows = price.beyond.is_sorted_by(|left, right| left.quantity < right.quantity);
        if !grows || price.beyond.iter().any(|beyond| !(beyond.quantity.is_finite() && beyond.quantity > 0.0)) {
            let what = format!("`{name}`: the quantities of `beyond` do not grow");
            return Err(self.wrong(name, what, "begin with the least quantity, above 0"));
        }
        if price.source.trim().is_empty() {
            let what = format!("`{name}`: nobody knows where the price is from");
            return Err(self.wrong(name, what, "name the page in `source`"));
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> PriceError {
        let known = || Meter::ALL.into_iter().map(Meter::id);
        let cure = match similar(name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", listed(known())),
        };
        self.wrong(name, format!("nothing is counted under the name `{name}`"), &cure)
    }

    fn wrong(&self, key: &str, what: String, cure: &str) -> PriceError {
        PriceError::Content { file: self.file.to_owned(), line: self.line_of(key), what, cure: cure.to_owned() }
    }

    /// The line that the key begins; the first where it is written in some other way.
    fn line_of(&self, key: &str) -> usize {
        let begins = |line: &str| {
            let line = line.trim_start().trim_start_matches(['"', '\'']);
            line.strip_prefix(key)
                .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
        };
        self.text.lines().position(begins).map_or(1, |index| index + 1)
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn error(from: &str, to: &str) -> String {
        assert!(OWN.contains(from), "{from}");
        Prices::parse("mine.yaml", &OWN.replacen(from, to, 1)).unwrap_err().to_string()
    }

    /// The line in the table that is built in.
    fn line(of: &str) -> usize {
        OWN.lines().position(|line| line.contains(of)).unwrap() + 1
    }

    #[test]
    fn the_table_that_is_built_in_has_every_price_its_source_and_its_date() {
        let prices = Prices::load(None).unwrap();
        assert_eq!((prices.region.as_str(), prices.currency.as_str()), ("us-east-1", "USD"));
        for meter in Meter::ALL {
            let price = prices.price(meter).unwrap();
            assert!(price.usd > 0.0 && price.source.contains("pricing"), "{}", meter.id());
            assert!(price.note.is_some(), "{}", meter.id());
        }
    }

    #[test]
    fn what_is_beyond_a_quantity_has_its_own_price() {
        let prices = Prices::load(None).unwrap();
        assert_eq!(prices.of(Meter::GatewayRequest, 100e6), 100.0);
        assert!((prices.of(Meter::GatewayRequest, 1_300e6) - (300.0 + 900.0)).abs() < 1e-9);
        assert!((prices.of(Meter::ShardHour, 730.0) - 10.95).abs() < 1e-9);
    }

    #[test]
    fn a_misspelt_price_is_named_with_its_line_and_the_right_name() {
        let told = error("  kinesis.put_unit:", "  kinesis.put_units:");
        let expected =
            format!("mine.yaml:{}: nothing is counted under the name `kinesis.put_units`", line("kinesis.put_unit:"));
        assert!(told.starts_with(&expected), "{told}");
        assert!(told.ends_with("cure: did you mean `kinesis.put_unit`?"), "{told}");
    }

    #[test]
    fn what_is_no_price_is_named_with_its_line() {
        let told = error("usd: 0.015", "usd: -1");
        assert!(
            told.starts_with(&format!("mine.yaml:{}: `kinesis.shard_hour`", line("kinesis.shard_hour:"))),
            "{told}"
        );
        let told = error("usd: 0.015", "usd: cheap");
        assert!(told.starts_with("mine.yaml:") && told.contains("cure: a table has"), "{told}");
        let told = error("    per: 1000000\n", "    per: 0\n");
        assert!(told.contains("write in `per`"), "{told}");
        let told = error("date: 20", "date: about 20");
        assert!(told.starts_with(&format!("mine.yaml:{}: ", line("date: 20"))), "{told}");
    }

    #[test]
    fn a_table_that_lacks_prices_says_which() {
        let end = OWN.find("  endpoint.gb:").unwrap();
        let told = Prices::parse("mine.yaml", &OWN[..end]).unwrap_err().to_string();
        assert!(told.contains("prices are missing: endpoint.gb"), "{told}");
        let told = Prices::load(Some(&PathBuf::from("nowhere.yaml"))).unwrap_err().to_string();
        assert_eq!(told, "nowhere.yaml cannot be read");
    }
}
