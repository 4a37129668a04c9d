//! A small S3: takes objects that are not there yet. Only dead letters come here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::net::{Answer, HttpCall};

/// A bucket.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    objects: BTreeMap<String, Vec<u8>>,
    /// How many letters there are of each record, by sink, sequence and sub-sequence.
    pub(crate) letters: BTreeMap<(String, String, u64), u32>,
    pub(crate) violations: Vec<String>,
    pub(crate) refused: u64,
}

impl Letters {
    /// Answers; `Err` is a call that no consumer may make.
    pub(crate) fn answer(&mut self, call: &HttpCall) -> Result<Answer, String> {
        if call.operation != "PUT" || !call.if_none_match {
            return Err(format!("{} {} without a condition", call.operation, call.path));
        }
        let key = call.path.split('?').next().unwrap_or_default();
        if self.objects.contains_key(key) {
            self.refused += 1;
            let body = "<Error><Code>PreconditionFailed</Code><Message>it is there</Message></Error>";
            return Ok(Answer::Http { status: 412, body: body.to_owned() });
        }
        for line in String::from_utf8_lossy(&call.body).lines() {
            self.note(line)?;
        }
        self.objects.insert(key.to_owned(), call.body.clone());
        Ok(Answer::Http { status: 200, body: String::new() })
    }

    fn note(&mut self, line: &str) -> Result<(), String> {
        let letter: Value = serde_json::from_str(line).map_err(|error| format!("a dead letter: {error}"))?;
        let sequence = letter["sequence"].as_str().ok_or("a dead letter without a sequence")?;
        let sub = letter["subSequence"].as_u64().unwrap_or(0);
        let sink = letter["sink"].as_str().ok_or("a dead letter of no sink")?;
        let times = self.letters.entry((sink.to_owned(), sequence.to_owned(), sub)).or_default();
        *times += 1;
        if *times > 1 {
            self.violations.push(format!("there are two dead letters of {sequence}:{sub}"));
        }
        Ok(())
    }
}
