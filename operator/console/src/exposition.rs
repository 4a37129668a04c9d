//! Reading metrics in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>): as much of it as stages write.

/// One line: a value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    labels: &'a str,
    pub(crate) value: f64,
}

impl Sample<'_> {
    /// The value of a label; `None` when the line has none of that name. Escapes are left as they are: no name of a
    /// Pipeline, a stage, a shard or a reason needs any.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        let mut rest = self.labels;
        loop {
            let (key, behind) = rest.split_once("=\"")?;
            let end = end_of_value(behind)?;
            if key.trim_start_matches([',', ' ']) == name {
                return Some(&behind[..end]);
            }
            rest = &behind[end + 1..];
        }
    }
}

/// Where a label's value ends: at the first quote that is not escaped.
fn end_of_value(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// The samples of a text. Comments, and lines that make no sense, are left out.
pub(crate) fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, labels, value) = match line.split_once('{') {
        Some((name, behind)) => {
            let (labels, value) = behind.rsplit_once('}')?;
            (name, labels, value)
        }
        None => {
            let (name, value) = line.split_once(' ')?;
            (name, "", value)
        }
    };
    let value = value.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_labels() {
        let text = "# HELP a b\n# TYPE a counter\na{sink=\"raw\",shard=\"shardId-0\"} 3\n\nb 2.5 17\nc{odd=\"x\\\"}y\",sink=\"t\"} 1\nbroken\n";
        let all: Vec<_> = samples(text).collect();
        assert_eq!(
            all.iter().map(|sample| (sample.name, sample.value)).collect::<Vec<_>>(),
            [("a", 3.0), ("b", 2.5), ("c", 1.0)]
        );
        assert_eq!(all[0].label("shard"), Some("shardId-0"));
        assert_eq!(all[0].label("hard"), None);
        assert_eq!(all[2].label("sink"), Some("t"));
    }
}
