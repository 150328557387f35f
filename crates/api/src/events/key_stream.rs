use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use hermod_queue::{End, OwnerNews, OwnerWatch};
use hermod_types::{ErrorBody, ErrorCode};
use tokio::time::{Instant, sleep_until};

use super::{COMMENT_INTERVAL, frame};
use crate::caller;
use crate::state::State;

/// What a client is told of all jobs of its virtual key: their ends.
///
/// An end is told once, to those who listen just then: nothing is kept for those who come later. So an event has no `id`, and
/// where ends may have been missed an `error` says so; who needs them all lists or polls its jobs then.
pub(super) struct KeyStream {
    http: HttpRequest,
    owner: String,
    state: web::Data<State>,
    watch: OwnerWatch,
    phase: Phase,
    /// When a comment is due.
    quiet_until: Instant,
}

/// What is to be done next.
enum Phase {
    Begin,
    /// Wait until all is heard.
    Start,
    /// Hear what there is.
    Hear,
}

impl KeyStream {
    pub(super) fn new(http: HttpRequest, owner: &str, state: web::Data<State>) -> Self {
        let watch = state.events.watch_owner(owner);
        let quiet_until = Instant::now() + COMMENT_INTERVAL;
        Self { http, owner: owner.to_owned(), state, watch, phase: Phase::Begin, quiet_until }
    }

    /// What is to be sent next; none at the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let sent = match std::mem::replace(&mut self.phase, Phase::Hear) {
            Phase::Begin => {
                self.phase = Phase::Start;
                frame::RETRY
            }
            Phase::Start => {
                // The first comment says that from now on all ends are told.
                let ready = self.state.draining.run_until_cancelled(Box::pin(self.watch.ready()));
                ready.await?;
                frame::COMMENT
            }
            Phase::Hear => self.hear().await?,
        };
        // The key may have expired, or may be gone.
        if !caller::may_see(self.http.headers(), &self.state, Some(&self.owner)) {
            return None;
        }
        self.quiet_until = Instant::now() + COMMENT_INTERVAL;
        Some(sent)
    }

    async fn hear(&mut self) -> Option<Bytes> {
        let news = tokio::select! {
            news = self.watch.next() => news,
            () = sleep_until(self.quiet_until) => return Some(frame::COMMENT),
            () = self.state.draining.cancelled() => return None,
        };
        Some(match news {
            OwnerNews::Ended(ends) => Box::pin(self.tell(&ends)).await,
            OwnerNews::Away => super::away(None),
            OwnerNews::Missed => {
                let message = "ends of jobs may be missing here: list or poll those that you wait for";
                let body = ErrorBody::new(ErrorCode::QueueUnavailable, message);
                frame::event("error", None, body.to_json())
            }
        })
    }

    /// Each end has the poll's body without result and error.
    async fn tell(&self, ends: &[End]) -> Bytes {
        let mut events = BytesMut::new();
        for view in self.watch.views(ends).await {
            events.extend_from_slice(&frame::event("end", None, view.to_json(None)));
        }
        events.freeze()
    }
}
