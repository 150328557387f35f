//! What became of a job, from its submit to its end.

use hermod_queue::{Inspected, JobRecord, LostStart};
use hermod_types::{Attempt, JobStatus, Journal, Timestamp};

use super::super::show::{Badge, Moment, count, shortened, span_ms};

/// The width of the bars, in the units of their picture.
const WIDTH: u64 = 1_000;
/// What is shorter is shown as wide as this.
const NARROWEST: u64 = 6;

/// A line of the timeline.
pub(super) struct Event {
    at: Timestamp,
    pub(super) moment: Moment,
    /// Since the submit.
    pub(super) offset: String,
    pub(super) what: Badge,
    pub(super) text: String,
    /// What else is known of it.
    pub(super) detail: String,
    pub(super) took: String,
    /// Where its bar begins, and how wide it is.
    pub(super) bar: Option<(u64, u64, &'static str)>,
}

struct Writer {
    begun: Timestamp,
    /// Milliseconds until its end, or until now.
    length: u64,
    events: Vec<Event>,
}

impl Writer {
    fn add(&mut self, at: Timestamp, what: Badge, text: String, detail: String) {
        let offset = at.as_millis().saturating_sub(self.begun.as_millis());
        self.events.push(Event {
            at,
            moment: Moment::at(at),
            offset: format!("+{}", span_ms(offset)),
            what,
            text,
            detail,
            took: String::new(),
            bar: None,
        });
    }

    /// Has what was added last take some time.
    fn last_took(&mut self, ms: u64, class: &'static str) {
        let (begun, length) = (self.begun.as_millis(), self.length.max(1));
        let Some(event) = self.events.last_mut() else { return };
        event.took = span_ms(ms);
        let scaled = |ms: u64| ms.saturating_mul(WIDTH) / length;
        let x = scaled(event.at.as_millis().saturating_sub(begun)).min(WIDTH - NARROWEST);
        event.bar = Some((x, scaled(ms).clamp(NARROWEST, WIDTH - x), class));
    }
}

/// The lines of a job's life. `lost`: starts that came to nothing; `journal`: its attempts.
pub(super) fn timeline(
    record: &JobRecord,
    inspected: &Inspected,
    lost: &[LostStart],
    journal: &Journal,
    now: Timestamp,
) -> Vec<Event> {
    let begun = record.id.created_at();
    let end = record.completed().unwrap_or(now);
    let length = end.as_millis().saturating_sub(begun.as_millis());
    let mut writer = Writer { begun, length, events: Vec::new() };
    writer.add(begun, Badge::new("waiting", "accepted"), String::new(), String::new());
    for start in lost {
        let text = format!("by {}", start.worker);
        writer.add(start.at, Badge::new("failed", "start lost"), text, "the worker was gone".to_owned());
    }
    for (number, attempt) in (1_usize..).zip(journal) {
        add_attempt(&mut writer, number, attempt);
    }
    if let Some(since) = inspected.queued.filter(|_| record.status == JobStatus::Pending) {
        writer.add(since, Badge::new("waiting", "waits again"), String::new(), String::new());
    }
    if let Some(run) = &inspected.run {
        writer.add(run.since, Badge::new("running", "started"), format!("by {}", run.worker), String::new());
        writer.last_took(now.as_millis().saturating_sub(run.since.as_millis()), "running");
    }
    if let Some(at) = record.cancel_requested {
        writer.add(at, Badge::new("cancelled", "cancel asked"), String::new(), String::new());
    }
    // Clocks of workers may differ a little from Redis's.
    writer.events.sort_by_key(|event| event.at);
    if let Some(at) = record.completed() {
        let (class, word) = if record.is_cancelled() {
            ("cancelled", "cancelled")
        } else if record.status == JobStatus::Completed {
            ("completed", "completed")
        } else {
            ("failed", "failed")
        };
        let code = record.status_code().map(|code| code.to_string()).unwrap_or_default();
        writer.add(at, Badge::new(class, word), code, String::new());
    }
    writer.events
}

fn add_attempt(writer: &mut Writer, number: usize, attempt: &Attempt) {
    let (class, word) = match (&attempt.skipped, attempt.error_type.as_ref(), attempt.status) {
        (Some(_), ..) => ("sleeping", "skipped".to_owned()),
        (None, None, Some(status)) => ("completed", status.to_string()),
        (None, _, Some(status)) => ("failed", status.to_string()),
        (None, _, None) => ("failed", "no answer".to_owned()),
    };
    let key = attempt.key.as_deref().map(|key| format!(" · key {key}")).unwrap_or_default();
    let text = format!("{number}. {}{key}", shortened(&attempt.target, 200));
    let mut detail: Vec<String> = Vec::new();
    detail
        .extend(attempt.skipped.as_deref().or(attempt.error_type.as_deref()).map(|why| shortened(why, 200)));
    if let (Some(input), Some(output)) = (attempt.input_tokens, attempt.output_tokens) {
        detail.push(format!("{} + {} tokens", count(input), count(output)));
    }
    detail.extend(attempt.cost.map(|cost| format!("{} $", super::keys::dollars(cost))));
    if attempt.may_be_billed {
        detail.push("may be billed".to_owned());
    }
    writer.add(attempt.started_at, Badge::new(class, word), text, detail.join(" · "));
    if attempt.skipped.is_none() {
        writer.last_took(attempt.duration_ms, if class == "completed" { "completed" } else { "failed" });
    }
}
