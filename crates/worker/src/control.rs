//! What the worker does each second: it asks what the operator and the other workers want, and where it leads, it looks after
//! the queue for all.

use std::sync::Arc;
use std::time::Duration;

use hermod_governance::Rules;
use hermod_queue::governance::{Limits, Upkeep};
use hermod_queue::{
    Admin, Control, Lane, Leadership, Maintenance, Store, WorkerName, WorkerQueue, raise_shards,
};
use hermod_types::{Shard, ShardCount, Timestamp};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::figures::Teller;

const TICK: Duration = Duration::from_secs(1);
/// The wait after a comparison that failed.
const CHECK_RETRY: Duration = Duration::from_secs(5);
/// How often the leader compares records and entries. It finds something only where something else than Hermod wrote, or
/// Redis lost data.
const CHECK_INTERVAL: Duration = Duration::from_secs(3600);

/// Looks for which all closed lanes are opened after a change of what is defined: a worker that hears of it later than the leader may
/// yet close one by what was defined before.
const OPENINGS: u32 = 3;

/// What the worker has been told, for the parts of it that must know.
pub(crate) struct Signals {
    /// Nothing is to be claimed. So it is until Redis has said otherwise for the first time.
    pub(crate) paused: watch::Sender<bool>,
    /// Shards to serve.
    pub(crate) shards: watch::Sender<ShardCount>,
    /// Whether this worker looks after the queue for all.
    pub(crate) leads: watch::Sender<bool>,
}

impl Signals {
    pub(crate) fn new(shards: ShardCount) -> Self {
        Self {
            paused: watch::Sender::new(true),
            shards: watch::Sender::new(shards),
            leads: watch::Sender::new(false),
        }
    }
}

/// Keeps the signals up to date until `stop`.
pub(crate) async fn follow(
    store: Store,
    worker: WorkerName,
    context: Arc<Context>,
    signals: Arc<Signals>,
    mut teller: Teller,
    stop: CancellationToken,
) {
    let leadership = Leadership::new(&store, worker);
    let (mut said_paused, mut cooldowns_version) = (false, None);
    let mut openings = Openings { left: 0, looked: Timestamp::now() };
    loop {
        match Control::read(&store).await {
            // Who does not know what is defined does not know which jobs may run.
            Ok(control) if !follow_definitions(&context, &control, &mut openings).await => {}
            Ok(control) => {
                if control.paused != said_paused {
                    said_paused = control.paused;
                    tracing::info!(paused = said_paused, "the operator has paused the queue, or resumed it");
                }
                signals.paused.send_if_modified(|paused| set(paused, control.paused));
                follow_shards(&store, control.shards, &signals.shards).await;
                if control.cooldowns_version != cooldowns_version {
                    match context.cooldowns.refresh().await {
                        Ok(()) => cooldowns_version.clone_from(&control.cooldowns_version),
                        Err(error) => tracing::debug!(%error, "cooldowns not read"),
                    }
                }
                let leads = leadership.lead(&control).await.unwrap_or(false);
                if signals.leads.send_if_modified(|now| set(now, leads)) {
                    tracing::info!(leads, "looks after the queue for all workers, or no longer");
                }
                if openings.left > 0 && leads {
                    let shards = *signals.shards.borrow();
                    open_lanes(&context.queue, shards).await;
                }
                openings.left = openings.left.saturating_sub(1);
                teller.tell(&context.calls, leads).await;
            }
            // Nothing is claimed meanwhile anyway.
            Err(error) => tracing::debug!(%error, "nothing heard of the operator"),
        }
        if stop.run_until_cancelled(sleep(TICK)).await.is_none() {
            break;
        }
    }
    teller.leave(&context.calls).await;
    if *signals.leads.borrow()
        && let Err(error) = leadership.resign().await
    {
        tracing::debug!(%error, "the lead ends by itself");
    }
}

/// How often all lanes are yet to be opened.
struct Openings {
    left: u32,
    /// When keys that expire were looked for last.
    looked: Timestamp,
}

impl Openings {
    /// Has the lanes opened if the time of a key is over since the last look: jobs of it that wait are to end.
    fn look(&mut self, rules: &Rules, now: Timestamp) {
        let since = std::mem::replace(&mut self.looked, now);
        let expires = |at: Timestamp| since < at && at <= now;
        if rules.definitions().virtual_keys.iter().any(|key| key.expires_at.is_some_and(expires)) {
            self.left = OPENINGS;
        }
    }
}

/// Follows what is defined. Returns whether it is known.
async fn follow_definitions(context: &Context, control: &Control, openings: &mut Openings) -> bool {
    match context.definitions.follow(control.definitions_version.as_deref()).await {
        Ok(true) => {
            tracing::info!(version = control.definitions_version, "what is defined has changed");
            openings.left = OPENINGS;
        }
        Ok(false) => {}
        Err(error) => tracing::debug!(%error, "what is defined is not read"),
    }
    openings.look(&context.rules.current(), Timestamp::now());
    context.definitions.known().is_some()
}

/// Opens all lanes, whose limits may be others now.
async fn open_lanes(queue: &WorkerQueue, shards: ShardCount) {
    for shard in shards.shards() {
        if let Err(error) = queue.open_all(shard).await {
            tracing::debug!(shard = shard.number(), %error, "its lanes open at their times");
        }
    }
}

fn set<T: PartialEq>(current: &mut T, new: T) -> bool {
    let changed = *current != new;
    *current = new;
    changed
}

async fn follow_shards(store: &Store, in_use: Option<ShardCount>, shards: &watch::Sender<ShardCount>) {
    let known = *shards.borrow();
    let wanted = match in_use {
        Some(in_use) => in_use,
        None if known == ShardCount::ONE => known,
        // Redis has lost it, or nobody has set it yet.
        None => match raise_shards(store, known).await {
            Ok(raised) => raised,
            Err(_) => return,
        },
    };
    if shards.send_if_modified(|known| set(known, wanted)) {
        tracing::info!(shards = wanted.get(), "serves another number of shards");
    }
}

/// Looks after the queue while this worker leads; until `stop`.
pub(crate) async fn maintain(
    store: Store,
    limits: Limits,
    lease: Duration,
    signals: Arc<Signals>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    tasks.spawn(check(store.clone(), signals.leads.subscribe(), stop.clone()));
    let (mut shards, mut started) = (signals.shards.subscribe(), 0);
    loop {
        let wanted = *shards.borrow_and_update();
        for shard in wanted.shards().skip(started) {
            for lane in Lane::ALL {
                let maintenance = Maintenance::new(&store, lane, shard, lease);
                tasks.spawn(maintain_shard(maintenance, shard, Arc::clone(&signals), stop.clone()));
            }
            let upkeep = Upkeep::new(&store, &limits, shard);
            tasks.spawn(maintain_limits(upkeep, shard, Arc::clone(&signals), stop.clone()));
            started += 1;
        }
        if !matches!(stop.run_until_cancelled(shards.changed()).await, Some(Ok(()))) {
            break;
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn maintain_shard(
    mut maintenance: Maintenance,
    shard: Shard,
    signals: Arc<Signals>,
    stop: CancellationToken,
) {
    let mut turns = Turns::new(shard, &signals, stop);
    while let Some(shards) = turns.next().await {
        if let Err(error) = maintenance.run(shards).await {
            tracing::debug!(shard = shard.number(), %error, "not looked after");
        }
    }
}

async fn maintain_limits(mut upkeep: Upkeep, shard: Shard, signals: Arc<Signals>, stop: CancellationToken) {
    let mut turns = Turns::new(shard, &signals, stop);
    while turns.next().await.is_some() {
        if let Err(error) = upkeep.run().await {
            tracing::debug!(shard = shard.number(), %error, "its limits are not looked after");
        }
    }
}

/// When something is to be done for a shard: each second while this worker leads, and the shard is served.
struct Turns {
    leads: watch::Receiver<bool>,
    shards: watch::Receiver<ShardCount>,
    shard: Shard,
    /// Before the next one.
    pause: Duration,
    stop: CancellationToken,
}

impl Turns {
    fn new(shard: Shard, signals: &Signals, stop: CancellationToken) -> Self {
        let (leads, shards) = (signals.leads.subscribe(), signals.shards.subscribe());
        Self { leads, shards, shard, pause: Duration::ZERO, stop }
    }

    /// Returns with how many shards there are; none once all is over.
    async fn next(&mut self) -> Option<ShardCount> {
        let Self { leads, shards, shard, pause, stop } = self;
        loop {
            stop.run_until_cancelled(sleep(std::mem::replace(pause, TICK))).await?;
            stop.run_until_cancelled(leads.wait_for(|leads| *leads)).await?.ok()?;
            let shards = *shards.borrow();
            if shards.shards().any(|served| served == *shard) {
                return Some(shards);
            }
        }
    }
}

/// Compares records and entries now and then while this worker leads.
async fn check(store: Store, mut leads: watch::Receiver<bool>, stop: CancellationToken) {
    loop {
        let Some(Ok(_)) = stop.run_until_cancelled(leads.wait_for(|leads| *leads)).await else { return };
        let admin = Admin::new(&store);
        // With many jobs it takes minutes.
        let checked = stop.run_until_cancelled(admin.check_gently()).await;
        let pause = match checked {
            None => return,
            Some(Ok(None)) => CHECK_INTERVAL,
            Some(Ok(Some(findings))) if findings.agree() => {
                tracing::debug!(?findings, "records and entries agree");
                CHECK_INTERVAL
            }
            Some(Ok(Some(findings))) => {
                tracing::warn!(?findings, "records and entries disagreed; mended");
                CHECK_INTERVAL
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "records and entries not compared yet");
                CHECK_RETRY
            }
        };
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use hermod_types::governance::{Definitions, VirtualKey};

    use super::*;

    #[test]
    fn lanes_open_once_the_time_of_a_key_is_over() {
        let at = Timestamp::from_millis;
        let expiring = VirtualKey { expires_at: Some(at(2000)), ..VirtualKey::new("a") };
        let virtual_keys = vec![expiring, VirtualKey::new("b")];
        let definitions = Definitions { virtual_keys, ..Definitions::default() };
        let rules = Rules::new(definitions);
        let mut openings = Openings { left: 0, looked: at(0) };
        for (now, left) in [(1000, 0), (1999, 0), (2500, OPENINGS)] {
            openings.look(&rules, at(now));
            assert_eq!(openings.left, left, "{now}");
        }
        openings.left = 0;
        openings.look(&rules, at(3000));
        assert_eq!(openings.left, 0, "once");
    }
}
