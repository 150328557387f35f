use hermod_types::{JobId, Shard};
use serde::{Deserialize, Serialize};

use super::openings::{Opener, Opening};
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
    jobs: Vec<JobArgs<'a>>,
    opens: bool,
}

#[derive(Serialize)]
struct JobArgs<'a> {
    id: String,
    fence: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    used: Option<Used<'a>>,
    swept: bool,
}

#[derive(Serialize)]
struct Used<'a> {
    limits: &'a std::collections::BTreeMap<String, u64>,
    rows: &'a [super::OwedRow],
}

#[derive(Deserialize)]
struct Reply {
    open: Vec<Opening>,
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
        let is_suspended = |settlement: &Settlement| matches!(settlement, Settlement::Suspended { .. });
        for suspends in [false, true] {
            let of_script = items.iter().filter(|(_, settlement)| is_suspended(settlement) == suspends);
            let jobs: Vec<_> = of_script.map(job_args).collect();
            if jobs.is_empty() {
                continue;
            }
            let script = if suspends { &SCRIPTS.gov_suspend } else { &SCRIPTS.gov_settle };
            let args = Args { jobs, opens: self.opener.is_some() };
            let queue = keys::queue(Shard::default());
            let reply: Reply = script::run(&self.connection, script, &queue, &args).await?;
            if let Some(opener) = &self.opener {
                opener.open(reply.open);
            }
        }
        Ok(vec![(); items.len()])
    }
}

fn job_args((id, settlement): &(JobId, Settlement)) -> JobArgs<'_> {
    let (fence, owed, swept) = match settlement {
        Settlement::Ended(owed) => (owed.fence, Some(owed), false),
        Settlement::Swept(owed) => (owed.fence, Some(owed), true),
        Settlement::Refunded { fence } | Settlement::Suspended { fence } => (*fence, None, false),
    };
    let used = owed.map(|Owed { limits, rows, .. }| Used { limits, rows });
    JobArgs { id: id.to_string(), fence, used, swept }
}
