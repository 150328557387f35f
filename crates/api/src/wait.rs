//! `Prefer: wait=N`: the answer to a submit or a poll comes as soon as the job has ended, or after N seconds as without it.
//!
//! A client that waits has a place in a map and a timer. Its job knows nothing of it: it goes on whether somebody waits or not.

use std::pin::pin;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, VARY};
use hermod_queue::{JobRecord, JobState, News, QueueError};
use hermod_types::JobId;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::ApiError;
use crate::prefer;
use crate::state::State;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// After a look that failed, the next one comes within this time.
const RETRY_WITHIN: Duration = Duration::from_secs(2);
/// How long after the end of the wait a look that is under way may take.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// How long a client waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    seconds: u64,
}

impl Wait {
    /// What the client prefers; none where it wants its answer at once.
    pub(crate) fn preferred(headers: &HeaderMap) -> Option<Self> {
        prefer::wait_seconds(headers).map(|seconds| Self { seconds })
    }

    pub(crate) const fn length(self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Says in an answer that it was waited for.
    pub(crate) fn applied(self, response: &mut HttpResponse) {
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Prefer"));
        if let Ok(applied) = HeaderValue::from_str(&format!("wait={}", self.seconds)) {
            headers.insert(PREFERENCE_APPLIED, applied);
        }
    }
}

/// Whether it is certain that there is a job with this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existence {
    /// It was just accepted: Redis may be away as long as it likes.
    Certain,
    /// A look has yet to tell.
    ToBeSeen,
}

/// Waits until the job has ended, for at most `length`, and gives its record as `look` has seen it last. On shutdown the wait
/// ends at once.
///
/// # Errors
/// That of a look which says that there is no such job. That of the last look, should Redis have been away all the time; of a job
/// that is [`Existence::ToBeSeen`], at once.
pub(crate) async fn for_end(
    id: JobId,
    length: Duration,
    existence: Existence,
    state: &State,
    look: impl AsyncFn() -> Result<JobRecord, ApiError>,
) -> Result<JobRecord, ApiError> {
    let end = Instant::now() + length;
    let mut watch = state.events.watch(id);
    let mut over = pin!(async {
        tokio::select! {
            () = sleep_until(end) => {}
            () = state.draining.cancelled() => {}
        }
    });
    let mut goes_on = tokio::select! {
        biased;
        // From now on nothing is missed.
        () = watch.ready() => true,
        () = &mut over => false,
    };
    // Boxed, as all that takes place only now and then: ten thousand may wait.
    let mut seen: Option<Box<JobRecord>> = None;
    loop {
        let looked = Box::pin(timeout_at(end + LAST_LOOK, look())).await;
        match looked.unwrap_or_else(|_| Err(ApiError::Unavailable(unanswered()))) {
            Ok(record) if record.status.is_ended() => return Ok(record),
            Ok(record) => seen = Some(Box::new(record)),
            Err(error) if !error.is_unavailable() => return Err(error),
            Err(error) => match seen {
                None if !goes_on || existence == Existence::ToBeSeen => return Err(error),
                None | Some(_) => watch.look_within(RETRY_WITHIN),
            },
        }
        if !goes_on && let Some(seen) = seen {
            return Ok(*seen);
        }
        while goes_on {
            tokio::select! {
                biased;
                news = watch.next() => if is_reason_to_look(news) { break },
                () = &mut over => goes_on = false,
            }
        }
    }
}

fn unanswered() -> QueueError {
    QueueError::Unanswered("no answer before the end of the wait".to_owned())
}

/// Others change nothing in the answer.
const fn is_reason_to_look(news: News) -> bool {
    match news {
        News::Event(event) => matches!(event.state, JobState::Ended),
        News::LookAgain => true,
        News::Away => false,
    }
}
