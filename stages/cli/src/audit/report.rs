//! What an audit found: as data, as JSON and as text.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

/// Something is not as it must be.
const EXIT_WRONG: u8 = 1;
/// Something could not be found out.
pub(super) const EXIT_UNKNOWN: u8 = 2;

/// What an audit found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) pipeline: String,
    /// Whether the streams were read and compared record by record.
    pub(super) deep: bool,
    pub(super) verdict: Verdict,
    pub(super) sinks: Vec<SinkReport>,
    pub(super) findings: Vec<Finding>,
}

/// The worst of all findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verdict {
    /// Nothing is wrong.
    Fine,
    /// Something could not be found out.
    Unknown,
    /// Something is wrong.
    Wrong,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) sink: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shard: Option<String>,
    /// The object, the item or the interval of the log.
    pub(super) place: String,
    pub(super) what: String,
}

/// One sink.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SinkReport {
    pub(super) sink: String,
    pub(super) lease_table: String,
    pub(super) shards: Vec<ShardReport>,
    /// Records that were compared with what is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compared: Option<u64>,
    /// Tables that were not compared record by record: their items are sums.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_compared: Vec<String>,
}

/// One shard of a sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShardReport {
    pub(super) shard: String,
    /// The position, or what the lease says in its place.
    pub(super) checkpoint: String,
    /// What the lease row says of the committed ranges; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) committed: Option<Counts>,
    /// Ranges with objects, objects and records in them; absent where the sink writes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stored: Option<Stored>,
    /// Lines of dead letters.
    pub(super) dead_letters: u64,
    /// A range is pinned.
    pub(super) pinned: bool,
}

/// What a shard's committed ranges came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) ranges: u64,
    pub(super) records: u64,
    pub(super) stored: u64,
    pub(super) dead_letters: u64,
    pub(super) repeats: u64,
}

/// What is stored of a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    pub(super) ranges: u64,
    pub(super) objects: u64,
    pub(super) records: u64,
}

impl Report {
    /// Takes the worst finding as the verdict.
    pub(super) fn new(pipeline: String, deep: bool, sinks: Vec<SinkReport>, findings: Vec<Finding>) -> Self {
        let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Fine);
        Self { pipeline, deep, verdict, sinks, findings }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self.verdict {
            Verdict::Fine => ExitCode::SUCCESS,
            Verdict::Wrong => ExitCode::from(EXIT_WRONG),
            Verdict::Unknown => ExitCode::from(EXIT_UNKNOWN),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for sink in &self.sinks {
            let _ = writeln!(text, "{} (leases in {})", sink.sink, sink.lease_table);
            text.push_str(&table(sink));
            if let Some(compared) = sink.compared {
                let _ = writeln!(text, "  {compared} records compared one by one");
            }
            text.push('\n');
        }
        for finding in &self.findings {
            let mark = match finding.verdict {
                Verdict::Fine => "note",
                Verdict::Unknown => "unknown",
                Verdict::Wrong => "WRONG",
            };
            let shard = finding.shard.as_ref().map(|shard| format!(" {shard}")).unwrap_or_default();
            let _ = writeln!(text, "{mark}: {}{shard}: {}\n    {}", finding.sink, finding.place, finding.what);
        }
        let verdict = match self.verdict {
            Verdict::Fine if self.deep => "Every record is where it must be, once.",
            Verdict::Fine => "The ranges join, and what is stored is what was committed.",
            Verdict::Unknown => "Not everything could be found out.",
            Verdict::Wrong => "Something is wrong.",
        };
        let _ = writeln!(text, "{}: {verdict}{}", self.pipeline, self.not_compared());
        text
    }

    /// What the verdict does not say anything about.
    fn not_compared(&self) -> String {
        let tables: Vec<_> = self.sinks.iter().flat_map(|sink| &sink.not_compared).map(String::as_str).collect();
        if tables.is_empty() {
            return String::new();
        }
        format!(" Not compared: the sums in {} (`write: aggregate`).", tables.join(", "))
    }
}

fn table(sink: &SinkReport) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let head = ["SHARD", "CHECKPOINT", "RANGES", "RECORDS", "REPEATS", "DEAD", "STORED", "OBJECTS", "IN OBJECTS"]
        .map(str::to_owned);
    let rows = sink.shards.iter().map(|shard| {
        let (committed, stored) = (shard.committed.as_ref(), shard.stored.as_ref());
        [
            shard.shard.clone(),
            format!("{}{}", shortened(&shard.checkpoint), if shard.pinned { " +pin" } else { "" }),
            number(committed.map(|counts| counts.ranges)),
            number(committed.map(|counts| counts.records)),
            number(committed.map(|counts| counts.repeats)),
            number(Some(shard.dead_letters)),
            number(committed.map(|counts| counts.stored)),
            number(stored.map(|stored| stored.objects)),
            number(stored.map(|stored| stored.records)),
        ]
    });
    aligned(std::iter::once(head).chain(rows).collect())
}

/// A sequence number has 56 digits, and those at its end tell them apart.
fn shortened(checkpoint: &str) -> String {
    const SHOWN: usize = 26;
    match checkpoint.char_indices().rev().nth(SHOWN - 1) {
        Some((at, _)) if at > 0 && checkpoint.as_bytes()[0].is_ascii_digit() => format!("…{}", &checkpoint[at..]),
        _ => checkpoint.to_owned(),
    }
}

/// Lines of a table.
pub(crate) fn aligned<const N: usize>(rows: Vec<[String; N]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("  {cell:<width$}"));
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_of_a_deep_audit_names_the_tables_that_it_is_not_about() {
        let sums = SinkReport { not_compared: vec!["customers".to_owned()], ..SinkReport::default() };
        let said = |sink| Report::new("ns/shop".to_owned(), true, vec![sink], Vec::new()).text();
        let last = said(sums);
        assert!(last.ends_with("once. Not compared: the sums in customers (`write: aggregate`).\n"), "{last}");
        assert!(said(SinkReport::default()).ends_with("once.\n"));
    }
}
