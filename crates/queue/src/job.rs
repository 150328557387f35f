use std::time::Duration;

use hermod_types::{JobId, Timestamp, Ttl};
use serde_bytes::ByteBuf;

use crate::governance::Owed;
use crate::pieces::LARGE;
use crate::{JobRequest, Payload, Share};

/// A job that this worker holds: what every later write of it must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub id: JobId,
    /// Its entry in the queue.
    pub entry: String,
    /// The number of this start of it.
    pub fence: u64,
    /// Bytes of its request's body, where that is kept apart from its record.
    pub(crate) body_apart: Option<usize>,
    /// Bytes of its request's media; 0 for none.
    pub(crate) media_bytes: u64,
    /// What it counts as while it waits and runs.
    pub(crate) counted_bytes: u64,
}

impl Held {
    /// Whether the body of its request is kept apart from its record.
    pub const fn has_body_apart(&self) -> bool {
        self.body_apart.is_some()
    }

    /// Bytes of the media of its request, see [`crate::WorkerQueue::media`]; 0 for none.
    pub const fn media_bytes(&self) -> u64 {
        self.media_bytes
    }
}

/// A job that was just started.
#[derive(Debug)]
pub struct Started<R = JobRequest> {
    /// What shows that this worker holds it.
    pub held: Held,
    /// What to run; none for a record that holds no readable request. Its body is empty where it is kept apart, see
    /// [`crate::WorkerQueue::body`].
    pub request: Option<R>,
    /// Starts of it so far that count, this one included.
    pub attempt: u64,
    /// A line for each start of it that came to nothing: worker, and when in milliseconds.
    pub history: String,
    /// How far an earlier holder came, in that worker's words; empty for the first.
    pub progress: String,
    /// How long it has waited since it was accepted, or was last released or promoted.
    pub waited: Duration,
    /// Whether it is only to be ended, as cancelled: its last holder did not come to it.
    pub is_cancelled: bool,
    /// Its place among its owner's jobs, 1 to 5.
    pub priority: u8,
    /// When its waits begin: when it was accepted, or, if it was not to start before, then.
    pub begins: Timestamp,
    /// How long it may wait for its limits from then on, where its client or its key said so.
    pub max_wait: Option<Duration>,
}

impl Started {
    /// Bytes of the request's body, whether or not it is kept apart.
    pub fn body_bytes(&self) -> usize {
        let inline = self.request.as_ref().map_or(0, |request| request.body.len());
        self.held.body_apart.unwrap_or(inline)
    }
}

/// How a job ended.
#[derive(Debug)]
pub struct Ended {
    /// What shows that this worker holds it.
    pub held: Held,
    /// The HTTP status of the outcome: 200 for a result.
    pub code: u16,
    /// The result or the error, as JSON.
    pub outcome: String,
    /// Where media is in a result, as JSON that whoever reads it understands; kept in the record.
    pub media: Option<String>,
    /// How long the record is kept.
    pub ttl: Ttl,
    /// Why it was given up on: it then goes to the dead letters too.
    pub given_up: Option<&'static str>,
    /// Whether it ends as cancelled. One that is to be cancelled can end in no other way.
    pub cancelled: bool,
    /// What it has used of its limits; none for a job that holds none.
    pub owed: Option<Owed>,
}

impl Ended {
    pub(crate) fn is_large(&self) -> bool {
        self.outcome.len() >= LARGE
    }
}

/// What became of an [`Ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// It is written.
    Done,
    /// This holder had written it before: an answer got lost.
    AlreadyDone,
    /// The job is another's by now: nothing is written.
    Lost,
    /// There is no such job any more.
    Gone,
    /// It is to end as cancelled, and not like this: nothing is written.
    Cancelled,
    /// Its outcome, which was kept apart, has expired: nothing is written, and the call is to be made again.
    #[doc(hidden)]
    Expired,
}

/// What `claim.lua` gives for a job that is to be run. Texts come as bytes: one that is not UTF-8 is that job's matter only.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Row {
    id: String,
    entry: String,
    fence: u64,
    request: ByteBuf,
    #[serde(default)]
    owner: Option<ByteBuf>,
    #[serde(default)]
    released: Option<u64>,
    #[serde(default)]
    history: Option<ByteBuf>,
    #[serde(default)]
    progress: Option<ByteBuf>,
    #[serde(default)]
    queued: Option<u64>,
    #[serde(default)]
    cancelled: bool,
    #[serde(default)]
    share: Option<ByteBuf>,
}

impl Row {
    /// The job; none for what is named by no id. `now` is Redis's, in milliseconds.
    pub(crate) fn into_started<R: Payload>(self, now: u64) -> Option<Started<R>> {
        let Ok(id) = self.id.parse::<JobId>() else {
            tracing::warn!(entry = self.entry, "an entry of the queue names no job");
            return None;
        };
        let text = |bytes: Option<ByteBuf>| {
            bytes.and_then(|bytes| String::from_utf8(bytes.into_vec()).ok()).unwrap_or_default()
        };
        let owner = self.owner.map(|owner| String::from_utf8(owner.into_vec()));
        // A job whose owner cannot be read must not run as anybody's.
        let stored = match owner.transpose() {
            Ok(owner) => String::from_utf8(self.request.into_vec())
                .ok()
                .and_then(|request| R::from_stored(&request, owner)),
            Err(_) => None,
        };
        // An entry's id begins with when it was added, by Redis's clock.
        let added = || self.entry.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or_default();
        let since: u64 = self.queued.unwrap_or_else(added);
        let held = Held {
            id,
            fence: self.fence,
            body_apart: stored.as_ref().and_then(|stored| stored.body_apart),
            media_bytes: stored.as_ref().map_or(0, |stored| stored.media_bytes),
            counted_bytes: stored.as_ref().map_or(0, |stored| stored.counted_bytes),
            entry: self.entry,
        };
        let share = self.share.as_deref().and_then(|share| std::str::from_utf8(share).ok());
        let (priority, latest) = Share::read(share);
        let accepted = id.created_at();
        let start = stored.as_ref().and_then(|stored| stored.start).map(Timestamp::from_millis);
        let begins = start.map_or(accepted, |start| start.max(accepted));
        let delay = begins.as_millis().saturating_sub(accepted.as_millis());
        Some(Started {
            attempt: held.fence.saturating_sub(self.released.unwrap_or_default()),
            held,
            request: stored.map(|stored| stored.request),
            history: text(self.history),
            progress: text(self.progress),
            waited: Duration::from_millis(now.saturating_sub(since)),
            is_cancelled: self.cancelled,
            priority,
            begins,
            max_wait: latest.map(|latest| latest.saturating_sub(Duration::from_millis(delay))),
        })
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::Shard;

    use super::*;
    use crate::script::tests::{array, integer, map, text};

    const REQUEST: &[u8] = b"{\"targets\":[\"a/b\"],\"ttl\":60}\n{\"prompt\":\"x\"}";

    /// The jobs of one claim, as Lua packs them.
    fn claimed(rows: &[Vec<u8>]) -> Vec<Started> {
        let rows: Vec<Row> = crate::script::decode(&array(rows)).unwrap();
        rows.into_iter().filter_map(|row| row.into_started(10_000)).collect()
    }

    fn row(id: JobId, more: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let (id, entry) = (text(id.to_string().as_bytes()), text(b"4000-7"));
        map(&[&[("fence", integer(3)), ("entry", entry), ("id", id)], more].concat())
    }

    fn new_id() -> JobId {
        JobId::new(Shard::default())
    }

    #[test]
    fn a_claim_comes_with_all_that_the_record_has() {
        let more = [
            ("request", text(REQUEST)),
            ("owner", text(b"vk-1")),
            ("released", integer(1)),
            ("history", text(b"w1 1\n")),
            ("progress", text(b"{}")),
            ("queued", integer(9_000)),
        ];
        let id = new_id();
        let started = claimed(&[row(id, &more)]).pop().unwrap();
        let held = Held {
            id,
            entry: "4000-7".to_owned(),
            fence: 3,
            body_apart: None,
            media_bytes: 0,
            counted_bytes: 0,
        };
        assert_eq!((started.held, started.attempt), (held, 2));
        assert_eq!((started.history.as_str(), started.progress.as_str()), ("w1 1\n", "{}"));
        assert_eq!(started.waited, Duration::from_secs(1));
        let request = started.request.unwrap();
        assert_eq!((request.body.as_str(), request.owner.as_deref()), (r#"{"prompt":"x"}"#, Some("vk-1")));
    }

    #[test]
    fn what_a_record_lacks_is_nothing() {
        let started = claimed(&[row(new_id(), &[("request", text(REQUEST))])]).pop().unwrap();
        assert_eq!((started.attempt, started.history.as_str(), started.progress.as_str()), (3, "", ""));
        assert_eq!(started.waited, Duration::from_secs(6), "since its entry was added");
        assert_eq!(started.request.unwrap().owner, None);
    }

    #[test]
    fn a_text_that_is_not_utf_8_is_that_jobs_matter_only() {
        let rows = [
            row(new_id(), &[("request", text(b"{\"targets\":[\"a/b\"],\"ttl\":60}\n\xff\xfe"))]),
            // Whose it is cannot be told, so it must not run as nobody's.
            row(new_id(), &[("request", text(REQUEST)), ("owner", text(b"\xff"))]),
            row(
                new_id(),
                &[("request", text(REQUEST)), ("history", text(b"\xff")), ("progress", text(b"\xff"))],
            ),
            row(new_id(), &[("request", text(&[REQUEST, "ü".repeat(40_000).as_bytes()].concat()))]),
        ];
        let started = claimed(&rows);
        let readable: Vec<bool> = started.iter().map(|started| started.request.is_some()).collect();
        assert_eq!(readable, [false, false, true, true]);
        assert!(started.iter().all(|started| started.history.is_empty() && started.progress.is_empty()));
    }

    #[test]
    fn an_entry_that_names_no_job_leaves_the_others() {
        let stranger =
            [("id", text(b"x")), ("entry", text(b"1-1")), ("fence", integer(1)), ("request", text(b""))];
        let id = new_id();
        let started = claimed(&[map(&stranger), row(id, &[("request", text(REQUEST))])]);
        assert_eq!(started.iter().map(|started| started.held.id).collect::<Vec<_>>(), [id]);
    }

    #[test]
    fn a_damaged_request_is_a_job_that_cannot_be_read() {
        for request in [&b""[..], b"{}", b"{}\n{}", b"\n", b"null\n{}"] {
            let started = claimed(&[row(new_id(), &[("request", text(request))])]).pop().unwrap();
            assert!(started.request.is_none(), "{request:?}");
            assert_eq!((started.held.body_apart, started.held.counted_bytes), (None, 0));
        }
    }

    #[test]
    fn what_became_of_an_end_is_told_in_the_words_of_the_script() {
        let script = include_str!("../lua/finish.lua");
        let words = ["done", "already_done", "lost", "gone", "cancelled", "expired"];
        assert!(words.iter().all(|word| script.contains(&format!("'{word}'"))));
        let words: Vec<Vec<u8>> = words.iter().map(|word| text(word.as_bytes())).collect();
        let settled: Vec<Settled> = crate::script::decode(&array(&words)).unwrap();
        assert_eq!(
            settled,
            [
                Settled::Done,
                Settled::AlreadyDone,
                Settled::Lost,
                Settled::Gone,
                Settled::Cancelled,
                Settled::Expired
            ]
        );
    }
}
