//! The summary of a run of the client.

use std::fmt::Write;

use indicatif::{HumanBytes, HumanCount};
use penstock_client::{End, Summary};
use serde_json::Value;

/// The summary with what follows from it.
pub(super) fn json(summary: &Summary) -> serde_json::Result<Value> {
    let mut json = serde_json::to_value(summary)?;
    json["rowsPerSecond"] = summary.rows_per_second().round().into();
    json["error"] = summary.end.error().into();
    json["exitCode"] = summary.exit_code().into();
    Ok(json)
}

/// The summary for people.
pub(super) fn text(summary: &Summary, dry_run: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = lines(summary, dry_run, &mut text);
    text
}

fn lines(summary: &Summary, dry_run: bool, text: &mut String) -> std::fmt::Result {
    let counts = &summary.counts;
    match &summary.end {
        End::Complete => {}
        End::AlreadyComplete => writeln!(text, "nothing to send: the journal says that every row was settled before")?,
        End::Interrupted => writeln!(text, "interrupted")?,
        End::GaveUp { .. } | End::Failed(_) => {
            writeln!(text, "error: {}", summary.end.error().unwrap_or_default())?;
        }
    }
    match &summary.to {
        Some(to) => writeln!(text, "{} to {to}", summary.input)?,
        None => writeln!(text, "{}", summary.input)?,
    }
    let mut row = |name: &str, value: String| writeln!(text, "  {name:<14}{value}");
    row("read", HumanCount(counts.rows_read).to_string())?;
    if counts.rows_selected != counts.rows_read {
        row("chosen", HumanCount(counts.rows_selected).to_string())?;
    }
    if counts.rows_settled_before > 0 {
        row("before", format!("{} settled by an earlier run", HumanCount(counts.rows_settled_before)))?;
    }
    if dry_run {
        row("printed", HumanCount(counts.rows_sent).to_string())?;
    } else {
        row("accepted", HumanCount(counts.rows_accepted).to_string())?;
        row("refused", HumanCount(counts.rows_refused).to_string())?;
    }
    row("bad", HumanCount(counts.rows_bad).to_string())?;
    if summary.rows_unsent > 0 {
        row("unsent", HumanCount(summary.rows_unsent).to_string())?;
    }
    if counts.rows_sent_again > 0 || counts.rows_doubtful > 0 {
        let (again, doubtful) = (HumanCount(counts.rows_sent_again), HumanCount(counts.rows_doubtful));
        row("sent again", format!("{again} rows; {doubtful} may be in the stream twice, since an answer got lost"))?;
    }
    if counts.requests > 0 {
        row("sent", format!("{} in {} requests", HumanBytes(counts.bytes_sent), HumanCount(counts.requests)))?;
    }
    match dry_run {
        true => row("took", format!("{:.1} s", summary.seconds))?,
        false => row("took", format!("{:.1} s, {:.0} rows/s", summary.seconds, summary.rows_per_second()))?,
    }
    row("encoding", format!("{} ({})", summary.encoding, summary.encoding_source))?;
    row("delimiter", summary.delimiter.clone())?;
    if let Some(format) = &summary.date_format {
        row("dates", format.clone())?;
    }
    if let Some(path) = &summary.rejects {
        row("rejects", path.display().to_string())?;
    }
    if let Some(path) = &summary.journal {
        row("journal", path.display().to_string())?;
    }
    Ok(())
}
