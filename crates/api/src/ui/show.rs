//! Numbers, times and states for the eye. What is HTML here has escaped all that it was given.

use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;
use hermod_queue::{ListedJob, Outcome};
use hermod_types::{JobId, JobStatus, Timestamp};

/// A moment: the time, and the day where it is not today.
#[derive(Template)]
#[template(source = r#"<time datetime="{{ iso }}" title="{{ iso }}">{{ text }}</time>"#, ext = "html")]
pub(super) struct Moment {
    iso: String,
    text: String,
}

/// A job's id, which leads to its page.
#[derive(Template)]
#[template(
    source = r#"<a class="id" href="/ui/jobs/{{ head }}{{ tail }}"><span class="head">{{ head }}</span>{{ tail }}</a>"#,
    ext = "html"
)]
pub(super) struct JobLink {
    head: String,
    tail: String,
}

/// What state something is in.
#[derive(Template)]
#[template(source = r#"<span class="badge {{ class }}">{{ text }}</span>"#, ext = "html")]
pub(super) struct Badge {
    class: &'static str,
    text: String,
}

/// How much of something is used.
#[derive(Template)]
#[template(
    source = r#"<svg class="bar {{ class }}" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="all" width="100" height="6" rx="1"/><rect class="used" width="{{ percent }}" height="6" rx="1"/></svg>"#,
    ext = "html"
)]
pub(super) struct Bar {
    class: &'static str,
    percent: u64,
}

impl HtmlSafe for Moment {}
impl HtmlSafe for JobLink {}
impl HtmlSafe for Badge {}
impl HtmlSafe for Bar {}

impl Moment {
    pub(super) fn at(at: Timestamp) -> Self {
        let (iso, today) = (at.to_string(), Timestamp::now().to_string());
        // `2026-02-19T08:10:17.831Z`
        let part = |range: std::ops::Range<usize>| iso.get(range).unwrap_or_default();
        let time = part(11..19);
        let is_today = today.get(..10) == iso.get(..10);
        let text = if is_today { time.to_owned() } else { format!("{} {}", part(5..10), part(11..16)) };
        Self { iso, text }
    }

    pub(super) fn at_ms(at_ms: u64) -> Self {
        Self::at(Timestamp::from_millis(at_ms))
    }
}

impl JobLink {
    pub(super) fn to(id: JobId) -> Self {
        let id = id.to_string();
        // What the ids of one day have in common matters least.
        let (head, tail) = id.split_at_checked(24).unwrap_or(("", &id));
        Self { head: head.to_owned(), tail: tail.to_owned() }
    }
}

impl Badge {
    pub(super) fn new(class: &'static str, text: impl Into<String>) -> Self {
        Self { class, text: text.into() }
    }

    /// The state of a job in a list.
    pub(super) fn of(job: &ListedJob) -> Self {
        match Outcome::of(job) {
            None if job.view.status == JobStatus::Processing && job.view.cancel_requested_at.is_some() => {
                Self::new("cancelled", "being cancelled")
            }
            None if job.view.status == JobStatus::Processing => Self::new("running", "running"),
            None if job.due.is_some() => Self::new("sleeping", "sleeping"),
            None => Self::new("waiting", "waiting"),
            Some(Outcome::Completed) => Self::new("completed", "completed"),
            Some(Outcome::Cancelled) => Self::new("cancelled", "cancelled"),
            Some(Outcome::Failed) => {
                let code = job.view.status_code.map(|code| format!(" {code}")).unwrap_or_default();
                Self::new("failed", format!("failed{code}"))
            }
        }
    }
}

impl Bar {
    pub(super) fn new(used: u64, max: u64) -> Self {
        let percent = used.saturating_mul(100).checked_div(max).unwrap_or(100).min(100);
        let class = if percent >= 100 {
            "full"
        } else if percent >= 80 {
            "high"
        } else {
            ""
        };
        Self { class, percent }
    }
}

/// A number with its thousands apart.
pub(super) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration, to two digits or so.
pub(super) fn span(duration: Duration) -> String {
    let (seconds, ms) = (duration.as_secs(), duration.as_millis());
    match seconds {
        0 => format!("{ms} ms"),
        1..10 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

pub(super) fn span_ms(ms: u64) -> String {
    span(Duration::from_millis(ms))
}

/// How long ago a moment was, or how far it is ahead.
pub(super) fn from_now(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.as_millis(), now.as_millis());
    if at > now { format!("in {}", span_ms(at - now)) } else { format!("{} ago", span_ms(now - at)) }
}

/// Bytes, in binary units.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        (rest, whole, unit) = (whole % 1024 * 10 / 1024, whole / 1024, unit + 1);
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit > 0 && whole < 100 { format!("{whole}.{rest} {name}") } else { format!("{whole} {name}") }
}

/// A text up to this many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::Shard;

    use super::*;

    #[test]
    fn numbers_are_short_and_exact_enough() {
        assert_eq!([0, 7, 999, 1000, 1_234_567].map(count), ["0", "7", "999", "1,000", "1,234,567"]);
        let spans = [7, 1_234, 59_999, 150_000, 7_500_000, 200_000_000].map(span_ms);
        assert_eq!(spans, ["7 ms", "1.2 s", "59 s", "2 min", "2 h 5 min", "2 d 7 h"]);
        let sizes = [0, 1023, 1536, 150 << 10, 5 << 30].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.5 KiB", "150 KiB", "5.0 GiB"]);
        let (now, at) = (Timestamp::from_millis(10_000), Timestamp::from_millis);
        assert_eq!(
            (from_now(at(13_000), now), from_now(at(9_000), now)),
            ("in 3.0 s".into(), "1.0 s ago".into())
        );
        assert_eq!((shortened("äöü", 2), shortened("äö", 2)), ("äö…".to_owned(), "äö".to_owned()));
    }

    #[test]
    fn html_has_what_it_was_given_escaped() {
        let badge = Badge::new("failed", "<script>alert(1)</script>").render().unwrap();
        assert!(!badge.contains("<script>") && badge.contains("script"), "{badge}");
        let id = JobId::new(Shard::default());
        let link = JobLink::to(id).render().unwrap();
        assert!(link.starts_with(&format!("<a class=\"id\" href=\"/ui/jobs/{id}\">")), "{link}");
        assert!(Bar::new(50, 100).render().unwrap().contains("width=\"50\""));
        assert_eq!(
            (Bar::new(1, 0).class, Bar::new(80, 100).class, Bar::new(9, 3).percent),
            ("full", "high", 100)
        );
        let moment = Moment::at_ms(1_771_488_617_831).render().unwrap();
        assert!(moment.contains("datetime=\"2026-02-19T08:10:17.831Z\"") && moment.contains("02-19 08:10"));
    }
}
