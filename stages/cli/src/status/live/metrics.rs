//! The numbers that stages show at `/metrics`.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(5);
/// As much of an answer as is read.
const MAX_BYTES: u64 = 64 << 20;

/// The samples of some processes.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<Sample>);

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: HashMap<String, String>,
    value: f64,
}

impl Samples {
    /// Asks a process.
    pub(super) fn ask(&mut self, base_url: &str) -> anyhow::Result<()> {
        let text = get(base_url).with_context(|| format!("{base_url}/metrics cannot be read"))?;
        self.0.extend(text.lines().filter_map(sample));
        Ok(())
    }

    /// All values of a metric with these labels.
    pub(super) fn values<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = f64> + 'a {
        self.matching(name, labels).map(|sample| sample.value)
    }

    /// The sum of a counter's values with these labels; `None` where there are none.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        let mut values = self.values(name, labels).peekable();
        values.peek()?;
        Some(whole(values.sum()))
    }

    /// The sum of those whose label satisfies something.
    pub(super) fn sum_where(&self, name: &str, labels: &[(&str, &str)], label: &str, is: impl Fn(&str) -> bool) -> u64 {
        let matching = self.matching(name, labels);
        whole(
            matching
                .filter(|sample| sample.labels.get(label).is_some_and(|value| is(value)))
                .map(|sample| sample.value)
                .sum(),
        )
    }

    fn matching<'a>(&'a self, name: &'a str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        })
    }
}

/// Counters are whole numbers below 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a whole number in range")]
pub(super) fn whole(value: f64) -> u64 {
    if value.is_finite() && value > 0.0 { value.round() as u64 } else { 0 }
}

/// HTTP/1.0, so that the answer comes in one piece and ends with the connection.
fn get(base_url: &str) -> anyhow::Result<String> {
    let address = base_url.strip_prefix("http://").context("it does not begin with http://")?.trim_end_matches('/');
    let found =
        address.to_socket_addrs().with_context(|| format!("{address} is no host and port that is known"))?.next();
    let found = found.with_context(|| format!("{address} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&found, LIMIT).context("nobody answers")?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).context("the answer does not end")?;
    let answer = String::from_utf8(answer).context("the answer is no text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("the answer is {:?}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// `name{label="value",…} 1`, or without labels. Comments and what is no sample are none.
fn sample(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some(Sample { name: series.to_owned(), labels: HashMap::new(), value });
    };
    let mut labels = HashMap::new();
    let mut rest = rest.strip_suffix('}')?;
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.insert(label.to_owned(), value);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The text up to the closing quotation mark, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let text = "# HELP a_total What it is.\n# TYPE a_total counter\na_total{sink=\"raw\",shard=\"s,1\"} 3\n\
                    a_total{sink=\"raw\",shard=\"s\\\"2\\\\\"} 4\na_total{sink=\"tables\"} 7\nb 1.5e3\nnonsense\n";
        let samples = Samples(text.lines().filter_map(sample).collect());
        assert_eq!(samples.sum("a_total", &[("sink", "raw")]), Some(7));
        assert_eq!(samples.sum("a_total", &[("shard", "s\"2\\")]), Some(4));
        assert_eq!(samples.sum("a_total", &[("sink", "other")]), None);
        assert_eq!(samples.sum("b", &[]), Some(1500));
        assert_eq!(samples.sum_where("a_total", &[], "sink", |sink| sink.starts_with('t')), 7);
    }
}
