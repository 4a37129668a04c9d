//! What became of the rows that were sent: a table for people, JSON for scripts.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::str::FromStr;

use bigdecimal::BigDecimal;
use penstock_consumer::Summary;
use serde::Serialize;

use super::endpoints::Endpoints;
use super::read_back::{StoreCount, StoreKind};
use super::sending::Sent;

/// Rows were refused, could not be read, or went to dead letters.
const EXIT_NOT_ALL: u8 = 3;

/// How a report is printed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Output {
    /// A table on standard output.
    Text,
    /// A JSON document on standard output.
    Json,
}

/// A sum over the records of a store: of the attribute `name` where a record has it, else of the product of the fields.
#[derive(Debug, Clone)]
pub(crate) struct Total {
    name: String,
    fields: Vec<String>,
}

impl FromStr for Total {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, product) = text.split_once('=').unwrap_or((text, text));
        let fields: Vec<_> = product.split('*').map(|field| field.trim().to_owned()).collect();
        if name.trim().is_empty() || fields.iter().any(String::is_empty) {
            return Err("expected NAME=FIELD*FIELD, such as Amount=Quantity*UnitPrice".to_owned());
        }
        Ok(Self { name: name.trim().to_owned(), fields })
    }
}

impl Total {
    /// The amount of one record, whose numbers `number` gives as decimal text.
    pub(super) fn of(&self, number: impl Fn(&str) -> Option<String>) -> Option<BigDecimal> {
        let decimal = |field: &str| number(field).and_then(|text| text.parse::<BigDecimal>().ok());
        decimal(&self.name).or_else(|| {
            self.fields.iter().try_fold(BigDecimal::from(1), |product, field| Some(product * decimal(field)?))
        })
    }

    /// The heading of its column.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// What became of the rows that were sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// What the client counted, for each file.
    pub sent: Vec<Sent>,
    /// What each sink counted in this run.
    #[serde(serialize_with = "counted")]
    pub counted: BTreeMap<String, Summary>,
    /// What the stores hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stores: Option<Vec<StoreCount>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counted {
    records: u64,
    applied: u64,
    dead_letters: u64,
    ranges: u64,
}

fn counted<S: serde::Serializer>(counted: &BTreeMap<String, Summary>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counted.iter().map(|(name, summary)| (name, Counted::from(summary))))
}

impl From<&Summary> for Counted {
    fn from(summary: &Summary) -> Self {
        Self {
            records: summary.records_read(),
            applied: summary.records_applied(),
            dead_letters: summary.dead_lettered(),
            ranges: summary.ranges(),
        }
    }
}

impl Report {
    /// Prints the report; the code says whether every row is where it belongs.
    #[allow(clippy::print_stdout, reason = "the report is what the command is for")]
    pub(super) fn print(&self, output: Output, total: Option<&Total>, endpoints: &Endpoints) -> ExitCode {
        match output {
            Output::Json => match serde_json::to_string_pretty(self) {
                Ok(json) => println!("{json}"),
                Err(error) => tracing::error!(%error, "the report cannot be written as JSON"),
            },
            Output::Text => {
                print!("{}", self.table(total));
                print_where_to_look(endpoints, self.stores.as_deref().unwrap_or_default());
            }
        }
        if self.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_ALL) }
    }

    fn is_complete(&self) -> bool {
        self.sent.iter().all(|sent| sent.refused == 0 && sent.unreadable == 0)
            && self.counted.values().all(|summary| summary.dead_lettered() == 0)
    }

    fn table(&self, total: Option<&Total>) -> String {
        let mut lines = vec![["".to_owned(), "records".to_owned(), "repeats".to_owned(), String::new()]];
        if let Some(total) = total {
            lines[0][3] = total.name().to_owned();
        }
        let mut line = |what: String, records: u64, repeats: Option<u64>, total: Option<&String>| {
            let repeats = repeats.map(grouped).unwrap_or_default();
            lines.push([what, grouped(records), repeats, total.map(|text| grouped_decimal(text)).unwrap_or_default()]);
        };
        for sent in &self.sent {
            line(format!("read from {}", sent.file), sent.read, None, None);
            line("  accepted by the source".to_owned(), sent.accepted, None, None);
            line("  refused by the source".to_owned(), sent.refused, None, None);
            line("  not readable".to_owned(), sent.unreadable, None, None);
        }
        match &self.stores {
            Some(stores) => {
                for store in stores {
                    line(store.describe(), store.records, store.repeats, store.total.as_ref());
                }
                for (name, summary) in self.counted.iter().filter(|(_, summary)| summary.repeats() > 0) {
                    line(format!("duplicates left out by {name}"), summary.repeats(), None, None);
                }
            }
            None => {
                for (name, summary) in &self.counted {
                    line(format!("stored by {name}"), summary.records_applied(), None, None);
                    line(format!("dead letters of {name}"), summary.dead_lettered(), None, None);
                }
            }
        }
        aligned(&lines)
    }
}

impl StoreCount {
    fn describe(&self) -> String {
        match self.kind {
            StoreKind::Stream => format!("buffered in the stream {}", self.store),
            StoreKind::Objects => {
                format!("stored in {} objects under s3://{}", self.objects.unwrap_or_default(), self.store)
            }
            StoreKind::Table => format!("items in the table {}", self.store),
            StoreKind::DeadLetters => format!("dead letters of {}", self.part),
        }
    }
}

fn aligned(lines: &[[String; 4]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    lines
        .iter()
        .map(|[what, records, repeats, total]| {
            let [w0, w1, w2, w3] = widths;
            let text = format!("{what:<w0$}  {records:>w1$}  {repeats:>w2$}  {total:>w3$}");
            format!("{}\n", text.trim_end())
        })
        .collect()
}

fn grouped(number: u64) -> String {
    grouped_decimal(&number.to_string())
}

/// A decimal number with its thousands set apart.
fn grouped_decimal(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let mut out = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn print_where_to_look(endpoints: &Endpoints, stores: &[StoreCount]) {
    let Some(url) = endpoints.aws() else { return };
    eprintln!(
        "\nLook at it yourself: start it again without --until-drained (or `penstock local-aws` on its folder), then"
    );
    eprintln!("  export AWS_ENDPOINT_URL={url} AWS_REGION={}", endpoints.region());
    eprintln!("  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local");
    for store in stores.iter().filter(|store| store.records > 0) {
        match store.kind {
            StoreKind::Table => eprintln!("  aws dynamodb scan --table-name {} --max-items 3", store.store),
            StoreKind::Objects | StoreKind::DeadLetters => eprintln!("  aws s3 ls --recursive s3://{}", store.store),
            StoreKind::Stream => eprintln!("  aws kinesis list-shards --stream-name {}", store.store),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let texts = ["0", "999", "1000", "748957.02", "-1234567.5"].map(grouped_decimal);
        assert_eq!(texts, ["0", "999", "1,000", "748,957.02", "-1,234,567.5"]);
    }

    #[test]
    fn a_total_takes_the_attribute_where_there_is_one_and_else_the_product() {
        let total: Total = "Amount=Quantity*UnitPrice".parse().unwrap();
        let raw = |field: &str| match field {
            "Quantity" => Some("6".to_owned()),
            "UnitPrice" => Some("2.55".to_owned()),
            _ => None,
        };
        assert_eq!(total.of(raw).unwrap(), "15.30".parse::<BigDecimal>().unwrap());
        assert_eq!(total.of(|field| (field == "Amount").then(|| "7".to_owned())).unwrap(), BigDecimal::from(7));
        assert_eq!(total.of(|_| None), None);
    }

    #[test]
    fn a_total_without_fields_is_refused() {
        assert!("Amount=".parse::<Total>().is_err());
        assert!("=A*B".parse::<Total>().is_err());
    }
}
