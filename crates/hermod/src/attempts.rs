//! A job's journal, as a table.

use std::fmt::Write;

use anyhow::{Context, bail};
use hermod_types::Journal;
use serde_json::Value;

/// The attempts of a job as the API shows it, a line each.
///
/// # Errors
/// If the job has not ended, or the journal is not one of ours.
pub(crate) fn table(job: &Value) -> anyhow::Result<String> {
    let outcome = job.get("result").or_else(|| job.get("error"));
    let Some(outcome) = outcome else {
        bail!("the job has not ended: its attempts are shown with its result")
    };
    let attempts =
        outcome["extra_fields"].get("attempts").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
    let journal: Journal = serde_json::from_value(attempts).context("attempts: not as expected")?;

    let mut rows = vec![["", "TARGET", "KEY", "STATUS", "ERROR", "STARTED", "MS", ""].map(str::to_owned)];
    for (number, attempt) in (1_usize..).zip(&journal) {
        let status = match (&attempt.skipped, attempt.status) {
            (Some(_), _) => "skipped".to_owned(),
            (None, Some(status)) => status.to_string(),
            (None, None) => "-".to_owned(),
        };
        let note = if attempt.may_be_billed { "may be billed" } else { "" };
        let error = attempt.skipped.as_ref().or(attempt.error_type.as_ref());
        rows.push([
            number.to_string(),
            attempt.target.clone(),
            attempt.key.clone().unwrap_or_else(|| "-".to_owned()),
            status,
            error.cloned().unwrap_or_else(|| "-".to_owned()),
            attempt.started_at.to_string(),
            attempt.duration_ms.to_string(),
            note.to_owned(),
        ]);
    }
    Ok(align(&rows))
}

/// Each column as wide as its widest cell.
fn align<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string has no way to fail.
            write!(line, "{cell:<width$}  ").unwrap_or_default();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_an_attempt() {
        let at = "2026-02-19T08:10:17.831Z";
        let attempts = json!([
            {"target": "a/b", "key": "one", "started_at": at, "duration_ms": 0, "skipped": "cooldown"},
            {"target": "a/b", "key": "second", "error_type": "upstream_timeout", "started_at": at, "duration_ms": 1000, "may_be_billed": true},
            {"target": "c/d", "status": 200, "started_at": at, "duration_ms": 7},
        ]);
        let job = json!({"result": {"extra_fields": {"attempts": attempts}}});
        assert_eq!(
            table(&job).unwrap(),
            "   TARGET  KEY     STATUS   ERROR             STARTED                   MS\n\
             1  a/b     one     skipped  cooldown          2026-02-19T08:10:17.831Z  0\n\
             2  a/b     second  -        upstream_timeout  2026-02-19T08:10:17.831Z  1000  may be billed\n\
             3  c/d     -       200      -                 2026-02-19T08:10:17.831Z  7\n"
        );
        assert!(table(&json!({"status": "pending"})).unwrap_err().to_string().contains("has not ended"));
    }
}
