//! A job's journal, as a table.

use anyhow::Context;
use hermod_client::Job;
use hermod_types::Journal;

use crate::table::table;

/// The attempts of a job as the API shows it, a line each.
///
/// # Errors
/// If the job has not ended, or the journal is not one of ours.
pub(crate) fn attempts(job: &Job) -> anyhow::Result<String> {
    let journal = job.attempts()?.context("the job has not ended: its attempts are shown with its result")?;
    Ok(lines(&journal))
}

fn lines(journal: &Journal) -> String {
    let mut rows = table(["", "TARGET", "KEY", "STATUS", "ERROR", "STARTED", "MS", ""]);
    for (number, attempt) in (1_usize..).zip(journal) {
        let status = match (&attempt.skipped, attempt.status) {
            (Some(_), _) => "skipped".to_owned(),
            (None, Some(status)) => status.to_string(),
            (None, None) => "-".to_owned(),
        };
        let error = attempt.skipped.as_ref().or(attempt.error_type.as_ref());
        rows.add_row([
            number.to_string(),
            attempt.target.clone(),
            attempt.key.clone().unwrap_or_else(|| "-".to_owned()),
            status,
            error.cloned().unwrap_or_else(|| "-".to_owned()),
            attempt.started_at.to_string(),
            attempt.duration_ms.to_string(),
            if attempt.may_be_billed { "may be billed" } else { "" }.to_owned(),
        ]);
    }
    rows.trim_fmt()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_an_attempt() {
        let at = "2026-02-19T08:10:17.831Z";
        let journal = json!([
            {"target": "a/b", "key": "one", "started_at": at, "duration_ms": 0, "skipped": "cooldown"},
            {"target": "a/b", "key": "second", "error_type": "upstream_timeout", "started_at": at, "duration_ms": 1000, "may_be_billed": true},
            {"target": "c/d", "status": 200, "started_at": at, "duration_ms": 7},
        ]);
        assert_eq!(
            lines(&serde_json::from_value(journal).unwrap()),
            "   TARGET  KEY     STATUS   ERROR             STARTED                   MS\n\
             1  a/b     one     skipped  cooldown          2026-02-19T08:10:17.831Z  0\n\
             2  a/b     second  -        upstream_timeout  2026-02-19T08:10:17.831Z  1000  may be billed\n\
             3  c/d     -       200      -                 2026-02-19T08:10:17.831Z  7"
        );
        assert!(lines(&Journal::default()).starts_with("   TARGET"));
    }
}
