use std::io;
use std::pin::Pin;

use actix_web::{HttpRequest, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use hermod_queue::{JobEvent, JobJson, JobRecord, JobState, JobWatch, News};
use hermod_types::{JobId, JobStatus, Operation};
use tokio::time::{Instant, sleep_until};

use super::{COMMENT_INTERVAL, RETRY_WITHIN, frame};
use crate::error::ApiError;
use crate::poll;
use crate::result_stream::ResultParts;
use crate::state::State;

/// What a client is told of one job: `status` at once and at each change, `end` with the ended job.
///
/// A start needs no look at the record: the message says all. An end does, and so does a wish to cancel.
pub(super) struct JobStream {
    http: HttpRequest,
    id: JobId,
    operation: Operation,
    state: web::Data<State>,
    watch: JobWatch,
    /// The last transition that the client knows of.
    told: Option<u64>,
    /// As it was seen last; none while Redis was away at each look.
    record: Option<Box<JobRecord>>,
    /// Whether the client knows that Redis is away.
    is_away: bool,
    phase: Phase,
    /// When a comment is due.
    quiet_until: Instant,
}

/// What is to be done next.
enum Phase {
    Begin,
    /// Tell what was seen, so far as it is new.
    Tell,
    /// Hear what there is.
    Hear,
    /// Look at the record.
    Look,
    /// Send what is left of a large result.
    Result(Pin<Box<dyn Stream<Item = io::Result<Bytes>>>>),
    Over,
}

impl JobStream {
    /// `record` is as it was seen once `watch` was ready; none where Redis was away. `told`: what the client has heard over an
    /// earlier connection.
    pub(super) fn new(
        http: HttpRequest,
        (id, operation): (JobId, Operation),
        state: web::Data<State>,
        watch: JobWatch,
        record: Option<JobRecord>,
        told: Option<u64>,
    ) -> Self {
        let (record, quiet_until) = (record.map(Box::new), Instant::now() + COMMENT_INTERVAL);
        let phase = Phase::Begin;
        Self { http, id, operation, state, watch, told, record, is_away: false, phase, quiet_until }
    }

    /// What is to be sent next; none at the end.
    pub(super) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            let sent = match std::mem::replace(&mut self.phase, Phase::Hear) {
                Phase::Begin => {
                    self.phase = if self.record.is_some() { Phase::Tell } else { Phase::Look };
                    Some(frame::RETRY)
                }
                Phase::Tell => self.tell().await,
                Phase::Hear => self.hear().await,
                Phase::Look => self.look().await,
                Phase::Result(mut pieces) => {
                    match pieces.next().await {
                        // The client drops an event that is not whole, and connects again.
                        Some(Err(error)) => return Some(Err(error)),
                        Some(Ok(piece)) => {
                            self.phase = Phase::Result(pieces);
                            Some(frame::lines(piece))
                        }
                        None => {
                            self.phase = Phase::Over;
                            Some(frame::END)
                        }
                    }
                }
                Phase::Over => {
                    self.phase = Phase::Over;
                    return None;
                }
            };
            if let Some(bytes) = sent {
                self.quiet_until = Instant::now() + COMMENT_INTERVAL;
                return Some(Ok(bytes));
            }
        }
    }

    async fn hear(&mut self) -> Option<Bytes> {
        let news = tokio::select! {
            news = self.watch.next() => news,
            () = sleep_until(self.quiet_until) => return Some(frame::COMMENT),
            () = self.state.draining.cancelled() => {
                // The client connects again by itself, to another process.
                self.phase = Phase::Over;
                return None;
            }
        };
        match news {
            News::Event(event) => self.heard(event),
            News::LookAgain => self.phase = Phase::Look,
            News::Away => return self.away(),
        }
        None
    }

    fn heard(&mut self, event: JobEvent) {
        let status = match event.state {
            JobState::Waiting => JobStatus::Pending,
            JobState::Running => JobStatus::Processing,
            JobState::Cancelling | JobState::Ended => {
                self.phase = Phase::Look;
                return;
            }
        };
        match &mut self.record {
            Some(record) if record.seq < event.seq => {
                (record.seq, record.status) = (event.seq, status);
                self.phase = Phase::Tell;
            }
            // It was told before the look.
            Some(_) => {}
            None => self.phase = Phase::Look,
        }
    }

    async fn look(&mut self) -> Option<Bytes> {
        let is_here = |its: Operation| its.polled_as() == self.operation;
        match Box::pin(poll::look(self.id, self.http.headers(), &self.state, is_here)).await {
            Ok(record) => {
                self.record = Some(Box::new(record));
                self.phase = Phase::Tell;
                None
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Redis is away, or the job is gone.
    fn failed(&mut self, error: &ApiError) -> Option<Bytes> {
        if error.is_unavailable() {
            self.watch.look_within(RETRY_WITHIN);
            return self.away();
        }
        // Who connects again learns the same from the status of the answer, and stops.
        self.phase = Phase::Over;
        Some(frame::event("error", None, error.body(Some(self.operation)).to_json()))
    }

    /// Says once that Redis is away.
    fn away(&mut self) -> Option<Bytes> {
        let is_known = std::mem::replace(&mut self.is_away, true);
        (!is_known).then(|| super::away(Some(self.operation)))
    }

    async fn tell(&mut self) -> Option<Bytes> {
        let was_away = std::mem::take(&mut self.is_away);
        let record = self.record.as_ref()?;
        let is_told = self.told == Some(record.seq);
        if record.status.is_ended() {
            if is_told {
                self.phase = Phase::Over;
                return None;
            }
            return Box::pin(self.tell_end()).await;
        }
        // After an outage it is told again: so the client knows that it is over.
        if is_told && !was_away {
            return None;
        }
        self.told = Some(record.seq);
        Some(frame::event("status", self.told, record.view().to_json(None)))
    }

    async fn tell_end(&mut self) -> Option<Bytes> {
        let record = self.record.take()?;
        let seq = Some(record.seq);
        match record.into_json() {
            JobJson::Whole(json) => {
                self.phase = Phase::Over;
                Some(frame::event("end", seq, json))
            }
            JobJson::Around { head, outcome, tail } => {
                let parts = ResultParts { head, outcome, tail };
                match parts.pieces(self.state.outcomes.clone(), &self.state.memory).await {
                    Ok(pieces) => {
                        self.phase = Phase::Result(Box::pin(pieces));
                        Some(frame::begin("end", seq).freeze())
                    }
                    Err(ApiError::Overloaded) => {
                        self.watch.look_within(RETRY_WITHIN);
                        None
                    }
                    Err(error) => self.failed(&error),
                }
            }
        }
    }
}
