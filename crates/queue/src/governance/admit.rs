use std::sync::Arc;

use hermod_governance::Limit;
use hermod_types::{JobId, Timestamp};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use super::args::{LimitArgs, LimitList, at_most};
use super::openings::{Opener, Openings};
use crate::batch::Batch;
use crate::connection::Connection;
use crate::script::{self, SCRIPTS};
use crate::{QueueError, keys};

/// A job that asks to be admitted.
#[derive(Clone, Debug)]
pub struct Ask {
    pub job: JobId,
    /// That of its holder; 0 at its submit.
    pub fence: u64,
    /// The id of its virtual key.
    pub owner: Option<String>,
    /// What it must pass, and how much of each is reserved. What it holds already is not reserved again.
    pub wants: Vec<(Arc<Limit>, u64)>,
}

/// What came of an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// All of it is reserved.
    Admitted,
    /// Nothing is reserved: these limits, by their places among the wants, have no room.
    Closed {
        exceeded: Vec<usize>,
        /// When it is worth asking again: the end of the last of their windows; none where no window ends. For jobs that run, and
        /// for what they merely reserve, it is a moment from now, and whoever asked is told before, once there is room.
        until: Option<Timestamp>,
    },
}

/// The batches of asks.
pub(super) struct Admits {
    pub(super) connection: Connection,
    pub(super) opener: Option<Opener>,
}

/// One of a batch.
pub(super) struct AskItem {
    pub(super) ask: Ask,
    /// Whether the job is given back if it is refused, and is told once there is room.
    pub(super) waits: bool,
}

#[derive(Serialize)]
struct Args<'a> {
    limits: Vec<LimitArgs<'a>>,
    ids: Vec<String>,
    jobs: Vec<JobArgs<'a>>,
    opens: bool,
}

/// A list, which costs less to read than a map: fence, owner, shard, whether it waits, and the wants.
struct JobArgs<'a> {
    fence: u64,
    owner: &'a str,
    shard: u16,
    waits: bool,
    wants: Vec<u64>,
}

impl Serialize for JobArgs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(4 + self.wants.len()))?;
        list.serialize_element(&self.fence)?;
        list.serialize_element(self.owner)?;
        list.serialize_element(&self.shard)?;
        list.serialize_element(&u8::from(self.waits))?;
        for want in &self.wants {
            list.serialize_element(want)?;
        }
        list.end()
    }
}

#[derive(Deserialize)]
struct Reply {
    closed: Vec<Closed>,
    open: Openings,
}

#[derive(Deserialize)]
struct Closed {
    job: usize,
    exceeded: Vec<usize>,
    #[serde(default)]
    until: Option<u64>,
}

impl Batch for Admits {
    type Item = AskItem;
    type Reply = Admission;

    fn bytes(item: &AskItem) -> usize {
        100 + item.ask.wants.len() * 20
    }

    async fn call(&mut self, items: &[AskItem]) -> Result<Vec<Admission>, QueueError> {
        let mut limits = LimitList::default();
        let jobs = items.iter().map(|item| job_args(item, &mut limits)).collect();
        let ids = items.iter().map(|item| item.ask.job.to_string()).collect();
        let args = Args { limits: limits.limits, ids, jobs, opens: self.opener.is_some() };
        let queue = keys::queue(hermod_types::Shard::default());
        let reply: Reply = script::run(&self.connection, &SCRIPTS.gov_admit, &queue, &args).await?;
        if let Some(opener) = &self.opener {
            opener.open(reply.open);
        }
        let mut admissions = vec![Admission::Admitted; items.len()];
        for Closed { job, exceeded, until } in reply.closed {
            let beyond = || QueueError::Unexpected("a job that did not ask is refused".to_owned());
            let until = until.map(Timestamp::from_millis);
            *admissions.get_mut(job).ok_or_else(beyond)? = Admission::Closed { exceeded, until };
        }
        Ok(admissions)
    }
}

fn job_args<'a>(item: &'a AskItem, limits: &mut LimitList<'a>) -> JobArgs<'a> {
    let AskItem { ask, waits } = item;
    let mut wants = Vec::with_capacity(ask.wants.len() * 2);
    for (limit, amount) in &ask.wants {
        // Lua counts from 1.
        wants.push(u64::try_from(limits.place(limit)).unwrap_or(u64::MAX).saturating_add(1));
        wants.push(at_most(*amount));
    }
    JobArgs {
        fence: ask.fence,
        owner: ask.owner.as_deref().unwrap_or_default(),
        shard: ask.job.shard().number(),
        wants,
        waits: *waits,
    }
}
