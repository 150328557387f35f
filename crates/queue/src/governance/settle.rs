use std::collections::HashMap;

use hermod_types::{JobId, Shard};
use redis::Script;
use serde::{Deserialize, Serialize};

use super::OwedRow;
use super::args::at_most;

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
    names: Vec<&'a str>,
    /// Lists, which cost less to read than maps.
    jobs: Vec<Vec<u64>>,
    opens: bool,
}

#[derive(Serialize)]
struct SuspendArgs {
    ids: Vec<String>,
    fences: Vec<u64>,
    opens: bool,
}

/// The names of one call, each once.
#[derive(Default)]
pub(crate) struct Names<'a> {
    pub(crate) names: Vec<&'a str>,
    places: HashMap<&'a str, u64>,
}

impl<'a> Names<'a> {
    /// The place of this one. Lua counts from 1.
    fn place(&mut self, name: &'a str) -> u64 {
        let Self { names, places } = self;
        *places.entry(name).or_insert_with(|| {
            names.push(name);
            u64::try_from(names.len()).unwrap_or(u64::MAX)
        })
    }
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
        let (mut names, mut ids, mut jobs) = (Names::default(), Vec::new(), Vec::new());
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
            jobs.push(job_args(fence, owed, swept, &mut names));
        }
        let opens = self.opener.is_some();
        if !ids.is_empty() {
            let args = Args { ids, names: names.names, jobs, opens };
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

/// A job that has ended, as `gov_settle.lua` takes it.
pub(crate) fn ended_args<'a>(owed: &'a Owed, names: &mut Names<'a>) -> Vec<u64> {
    job_args(owed.fence, Some(owed), false, names)
}

fn job_args<'a>(fence: u64, owed: Option<&'a Owed>, swept: bool, names: &mut Names<'a>) -> Vec<u64> {
    let mut job = vec![fence, u64::from(swept)];
    let Some(Owed { limits, rows, .. }) = owed else {
        job.push(0);
        return job;
    };
    job.push(u64::try_from(limits.len()).unwrap_or(u64::MAX));
    for (name, amount) in limits {
        job.extend([names.place(name), at_most(*amount)]);
    }
    for row in rows {
        let OwedRow { model, requests, input_tokens, output_tokens, cost, unpriced_calls, unknown_calls } =
            row;
        job.push(names.place(model));
        let sums = [requests, input_tokens, output_tokens, cost, unpriced_calls, unknown_calls];
        job.extend(sums.map(|sum| at_most(*sum)));
    }
    job
}
