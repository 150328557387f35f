use std::collections::HashSet;
use std::iter;
use std::sync::Arc;

use hermod_governance::Limit;
use hermod_types::{JobId, Timestamp};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use super::args::{LimitArgs, LimitList, at_most, lua_place};
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

#[derive(Default, Serialize)]
struct Args<'a> {
    limits: Vec<LimitArgs<'a>>,
    groups: Vec<Group<'a>>,
    ids: Vec<String>,
    places: Vec<u64>,
    told: Vec<i32>,
    distinct: bool,
    opens: bool,
}

/// Jobs of one owner with the same limits: the place of each among the limits, and how much they want of it together.
struct Group<'a> {
    owner: &'a str,
    wants: Vec<(u64, u64)>,
}

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(1 + 2 * self.wants.len()))?;
        list.serialize_element(self.owner)?;
        for (place, amount) in &self.wants {
            list.serialize_element(place)?;
            list.serialize_element(amount)?;
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
        let (args, own) = args(items);
        let args = Args { opens: self.opener.is_some(), ..args };
        let queue = keys::queue(hermod_types::Shard::default());
        let reply: Reply =
            script::run_with(&self.connection, &SCRIPTS.gov_admit, &queue, &args, &own).await?;
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

/// Of all jobs, and what their permits have of their own, as `gov_admit.lua` takes both.
fn args(items: &[AskItem]) -> (Args<'_>, Vec<u8>) {
    let (mut args, mut limits, mut own) = (Args::default(), LimitList::default(), Vec::new());
    let mut seen = HashSet::with_capacity(items.len());
    args.distinct = true;
    for AskItem { ask, waits } in items {
        let owner = ask.owner.as_deref().unwrap_or_default();
        let places: Vec<_> = ask.wants.iter().map(|(limit, _)| lua_place(limits.place(limit))).collect();
        // They are few, and mostly one.
        let is_of = |group: &Group<'_>| {
            group.owner == owner && places.iter().eq(group.wants.iter().map(|(place, _)| place))
        };
        let at = args.groups.iter().position(is_of).unwrap_or(args.groups.len());
        if at == args.groups.len() {
            args.groups.push(Group { owner, wants: places.into_iter().map(|place| (place, 0)).collect() });
        }
        let amounts = || ask.wants.iter().map(|(_, amount)| at_most(*amount));
        if let Some(group) = args.groups.get_mut(at) {
            for ((_, sum), amount) in group.wants.iter_mut().zip(amounts()) {
                *sum = sum.saturating_add(amount);
            }
        }
        args.ids.push(ask.job.to_string());
        args.places.push(lua_place(at));
        args.told.push(if *waits { ask.job.shard().number().into() } else { -1 });
        args.distinct &= seen.insert(ask.job);
        own.push(1);
        own.extend(u16::try_from(ask.wants.len()).unwrap_or(u16::MAX).to_le_bytes());
        for number in iter::once(ask.fence).chain(amounts()) {
            #[expect(clippy::cast_precision_loss, reason = "none is so large")]
            own.extend((number as f64).to_le_bytes());
        }
    }
    (Args { limits: limits.limits, ..args }, own)
}
