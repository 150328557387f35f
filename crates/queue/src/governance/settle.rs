use std::collections::HashMap;

use hermod_types::{JobId, Shard};
use redis::Script;
use serde::{Deserialize, Serialize};

use super::OwedRow;
use super::args::{at_most, lua_place};
use super::openings::{Opener, Openings};
use super::owed::Owed;
use crate::batch::Batch;
use crate::connection::Connection;
use crate::script::{self, SCRIPTS};
use crate::{QueueError, keys};

/// The batches of settlements.
pub(super) struct Settles {
    pub(super) connection: Connection,
    pub(super) opener: Option<Opener>,
}

/// What becomes of a permit.
pub(super) enum Settlement {
    /// The job has ended, and has used this.
    Ended(Owed),
    /// It was handed back without a call, by the holder of this fence, or was never submitted.
    Refunded { fence: u64 },
    /// Nobody knows what it has done.
    Swept(Owed),
    /// It is nobody's for a while, and no longer runs.
    Suspended { fence: u64 },
}

#[derive(Serialize)]
struct Args<'a> {
    ids: Vec<String>,
    starts: Vec<u64>,
    names: Vec<&'a str>,
    shapes: Vec<Vec<u64>>,
    numbers: Vec<u64>,
    opens: bool,
}

#[derive(Serialize)]
struct SuspendArgs {
    ids: Vec<String>,
    fences: Vec<u64>,
    opens: bool,
}

/// What the jobs of one call have used, as `gov_settle.lua` takes it.
#[derive(Default)]
pub(crate) struct Settlements<'a> {
    /// Of limits and models, each once.
    pub(crate) names: Vec<&'a str>,
    /// Lists of limits, by their names, each once.
    pub(crate) shapes: Vec<Vec<u64>>,
    /// Those of all jobs in one list, which costs Lua less to read than many.
    pub(crate) numbers: Vec<u64>,
    places: HashMap<&'a str, u64>,
}

impl<'a> Settlements<'a> {
    /// Adds a job that has ended; gives where it begins.
    pub(crate) fn add_ended(&mut self, owed: &'a Owed) -> u64 {
        self.add(owed.fence, Some(owed), false)
    }

    fn add(&mut self, fence: u64, owed: Option<&'a Owed>, swept: bool) -> u64 {
        let start = lua_place(self.numbers.len());
        let limits = owed.into_iter().flat_map(|owed| &owed.limits);
        let shape = limits.clone().map(|(name, _)| self.place(name)).collect();
        let shape = self.shape(shape);
        self.numbers.extend([shape, fence, u64::from(swept)]);
        self.numbers.extend(limits.map(|(_, amount)| at_most(*amount)));
        let rows = owed.map(|owed| owed.rows.as_slice()).unwrap_or_default();
        self.numbers.push(number(rows.len()));
        for row in rows {
            let OwedRow { model, requests, input_tokens, output_tokens, cost, unpriced_calls, unknown_calls } =
                row;
            let model = self.place(model);
            let sums = [requests, input_tokens, output_tokens, cost, unpriced_calls, unknown_calls];
            self.numbers.push(model);
            self.numbers.extend(sums.map(|sum| at_most(*sum)));
        }
        start
    }

    fn shape(&mut self, shape: Vec<u64>) -> u64 {
        // They are few, and mostly one.
        let known = self.shapes.iter().position(|known| *known == shape);
        lua_place(known.unwrap_or_else(|| {
            self.shapes.push(shape);
            self.shapes.len() - 1
        }))
    }

    fn place(&mut self, name: &'a str) -> u64 {
        let Self { names, places, .. } = self;
        *places.entry(name).or_insert_with(|| {
            names.push(name);
            number(names.len())
        })
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[derive(Deserialize)]
struct Reply {
    open: Openings,
}

impl Batch for Settles {
    type Item = (JobId, Settlement);
    type Reply = ();

    fn bytes((_, settlement): &Self::Item) -> usize {
        match settlement {
            Settlement::Ended(owed) | Settlement::Swept(owed) => {
                100 + owed.limits.len() * 40 + owed.rows.len() * 60
            }
            Settlement::Refunded { .. } | Settlement::Suspended { .. } => 60,
        }
    }

    async fn call(&mut self, items: &[Self::Item]) -> Result<Vec<()>, QueueError> {
        let (mut settlements, mut ids, mut starts) = (Settlements::default(), Vec::new(), Vec::new());
        let (mut suspended, mut fences) = (Vec::new(), Vec::new());
        for (id, settlement) in items {
            let (fence, owed, swept) = match settlement {
                Settlement::Suspended { fence } => {
                    suspended.push(id.to_string());
                    fences.push(*fence);
                    continue;
                }
                Settlement::Ended(owed) => (owed.fence, Some(owed), false),
                Settlement::Swept(owed) => (owed.fence, Some(owed), true),
                Settlement::Refunded { fence } => (*fence, None, false),
            };
            ids.push(id.to_string());
            starts.push(settlements.add(fence, owed, swept));
        }
        let opens = self.opener.is_some();
        if !ids.is_empty() {
            let Settlements { names, shapes, numbers, .. } = settlements;
            let args = Args { ids, starts, names, shapes, numbers, opens };
            self.run(&SCRIPTS.gov_settle, &args).await?;
        }
        if !suspended.is_empty() {
            let args = SuspendArgs { ids: suspended, fences, opens };
            self.run(&SCRIPTS.gov_suspend, &args).await?;
        }
        Ok(vec![(); items.len()])
    }
}

impl Settles {
    async fn run(&self, script: &Script, args: &(impl Serialize + Sync)) -> Result<(), QueueError> {
        let queue = keys::queue(Shard::default());
        let reply: Reply = script::run(&self.connection, script, &queue, args).await?;
        if let Some(opener) = &self.opener {
            opener.open(reply.open);
        }
        Ok(())
    }
}
