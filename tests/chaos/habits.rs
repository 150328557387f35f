//! What the client of each job does besides asking: its number decides.

use std::time::Duration;

use reqwest::RequestBuilder;

use crate::job;
use crate::keys::{self, Key};

/// Besides what the job asks for, so that one does not follow from the other.
const SALT: u64 = 0x6861_6269_7473;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub(crate) webhook: Option<Webhook>,
    pub(crate) repeats: Repeats,
    pub(crate) waits: Waits,
    pub(crate) cancel: Option<Cancel>,
}

/// Who is to be told of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Webhook {
    /// All three events, without the result.
    Plain,
    /// With the result or error; it does not know of cancelled jobs.
    Full,
    /// One that never accepts anything.
    Dead,
}

/// Whether a submit is sent again, should its answer be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    Never,
    /// With the same key; also though it was answered, and sometimes at the same time.
    Key {
        at_once: bool,
    },
    /// As the official SDKs do.
    Count,
}

/// How it learns of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Never,
    /// The submit waits so many seconds.
    Submit(u64),
    /// A poll does.
    Poll(u64),
    /// It reads the job's events.
    Events,
}

/// The wish to end a job early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cancel {
    /// How long after the submit was answered.
    pub(crate) after: Duration,
    /// With DELETE, which removes what has ended.
    pub(crate) removes: bool,
    /// Whether it is sent once more after an answer.
    pub(crate) again: bool,
}

impl Webhook {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Full, Self::Dead];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Full => "full",
            Self::Dead => "dead",
        }
    }
}

impl Habits {
    pub(crate) fn of(number: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(number ^ SALT);
        let webhook = match random.u32(..100) {
            0..14 => Some(Webhook::Plain),
            14..24 => Some(Webhook::Full),
            24..26 => Some(Webhook::Dead),
            _ => None,
        };
        let repeats = match random.u32(..100) {
            0..15 => Repeats::Key { at_once: random.u32(..4) == 0 },
            15..25 => Repeats::Count,
            _ => Repeats::Never,
        };
        let waits = match random.u32(..100) {
            0..8 => Waits::Submit(random.u64(1..5)),
            8..16 => Waits::Poll(random.u64(1..5)),
            // Nobody knows how long a job of a key waits for its limits.
            16..22 if Key::of(number) == Key::Nobody => Waits::Events,
            _ => Waits::Never,
        };
        // Most of the others have ended before anybody could wish to end them.
        let percent = if job::is_slow(number) { 25 } else { 5 };
        let cancel = (random.u32(..100) < percent).then(|| Cancel {
            after: Duration::from_millis(if random.bool() { random.u64(..100) } else { random.u64(..2500) }),
            // Its journal would be missing from the books of its key.
            removes: random.u32(..5) == 0 && Key::of(number) == Key::Nobody,
            again: random.bool(),
        });
        Self { webhook, repeats, waits, cancel }
    }

    /// Adds to a submit what it says, at its try of this number from 0.
    pub(crate) fn add_to(&self, submit: RequestBuilder, number: u64, tries: usize) -> RequestBuilder {
        let mut submit = Key::of(number).add_to(submit).header("x-hermod-priority", keys::priority(number));
        if let Some(webhook) = self.webhook {
            submit = submit.header("x-bf-async-webhook", webhook.name());
        }
        if let Waits::Submit(seconds) = self.waits {
            submit = submit.header("prefer", format!("wait={seconds}"));
        }
        match self.repeats {
            Repeats::Never => submit,
            Repeats::Key { .. } => submit.header("idempotency-key", format!("chaos-{number}")),
            Repeats::Count => submit.header("x-stainless-retry-count", tries),
        }
    }
}
