//! Who waits for a job, or for all jobs of a virtual key, and what there is to tell them.

mod job_watch;
mod owner_watch;
#[cfg(test)]
mod tests;
mod told;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hermod_types::{JobId, Shard, ShardCount};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::subscription::{Channel, Heard, Subscription};
use crate::{Control, Store};
use job_watch::Slot;
pub use job_watch::{JobWatch, News};
use owner_watch::OwnerSlot;
pub use owner_watch::{End, OwnerNews, OwnerWatch};
use told::Told;
pub use told::{JobEvent, JobState};

/// How long a shard is listened to after the last who waited for one of its jobs has gone. Scripts tell only where somebody
/// listens.
const LINGER: Duration = Duration::from_secs(60);
/// How often it is looked for shards that nobody needs any more, and for new ones.
const TIDY_INTERVAL: Duration = Duration::from_secs(10);
/// After a break all look at the record, each at a random moment within this time: not to be the next outage.
const LOOK_WITHIN: Duration = Duration::from_millis(1500);

/// What this process hears of jobs. One for a process; cheap to clone.
///
/// It listens to a shard only while somebody waits for a job in it, and a minute longer. Who waits has a place in a map, and
/// neither a task nor a connection.
#[derive(Clone)]
pub struct Events(Arc<Hub>);

struct Hub {
    store: Store,
    subscription: Subscription,
    hearing: Mutex<Hearing>,
}

struct Hearing {
    jobs: HashMap<JobId, Vec<Arc<Slot>>>,
    owners: HashMap<String, Vec<Arc<OwnerSlot>>>,
    shards: HashMap<Shard, ShardHearing>,
    /// Those that jobs are spread over.
    in_use: ShardCount,
}

struct ShardHearing {
    standing: watch::Sender<Standing>,
    /// Who waits for a job in it.
    waiters: usize,
    /// When the last of them left.
    idle_since: Instant,
}

/// Whether a shard is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Not yet, or no longer; it will be known soon.
    Starting,
    Up,
    Away,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Events {
    /// Its tasks run on the current runtime, and end with `stop`. `shards`: those that jobs are known to be spread over.
    pub fn new(store: &Store, shards: ShardCount, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let hub = Arc::new_cyclic(|hub: &Weak<Hub>| {
            let hub = Weak::clone(hub);
            let tell = move |heard: Heard<'_>| {
                if let Some(hub) = hub.upgrade() {
                    hub.hear(heard);
                }
            };
            Hub {
                store: store.clone(),
                subscription: Subscription::new(store, tasks, stop.clone(), tell),
                hearing: Mutex::new(Hearing {
                    jobs: HashMap::new(),
                    owners: HashMap::new(),
                    shards: HashMap::new(),
                    in_use: shards,
                }),
            }
        });
        let weak = Arc::downgrade(&hub);
        tasks.spawn(async move {
            stop.run_until_cancelled(tidy(weak)).await;
        });
        Self(hub)
    }

    /// Begins to listen for a job. Then wait for [`JobWatch::ready`], look at the record once, and go on with
    /// [`JobWatch::next`]: so nothing is missed.
    pub fn watch(&self, id: JobId) -> JobWatch {
        let slot = Arc::<Slot>::default();
        let mut hearing = lock(&self.0.hearing);
        hearing.jobs.entry(id).or_default().push(Arc::clone(&slot));
        let shard = hearing.listen(id.shard(), &self.0.subscription);
        shard.waiters += 1;
        JobWatch::new(&self.0, id, slot, shard.standing.subscribe())
    }

    /// How many wait now, be it for a job or for those of a virtual key.
    pub fn listeners(&self) -> usize {
        let hearing = lock(&self.0.hearing);
        let waiters: usize = hearing.shards.values().map(|shard| shard.waiters).sum();
        waiters + hearing.owners.values().map(Vec::len).sum::<usize>()
    }

    /// Begins to listen for the ends of all jobs of a virtual key. None is missed from [`OwnerWatch::ready`] on.
    pub fn watch_owner(&self, owner: &str) -> OwnerWatch {
        let slot = Arc::<OwnerSlot>::default();
        lock(&self.0.hearing).owners.entry(owner.to_owned()).or_default().push(Arc::clone(&slot));
        OwnerWatch::new(&self.0, owner, slot)
    }
}

impl Hub {
    fn hear(&self, heard: Heard<'_>) {
        let hearing = lock(&self.hearing);
        match heard {
            Heard::Message { text, .. } => {
                text.lines().filter_map(Told::read).for_each(|told| hearing.tell(&told));
            }
            Heard::Restored(channel) => hearing.restored(channel.shard()),
            Heard::Lost(channel) => {
                hearing.set_standing(channel.shard(), Standing::Starting);
            }
            Heard::Away(channel) => hearing.away(channel.shard()),
        }
    }

    /// Listens to all shards in use, for those who watch virtual keys.
    async fn listen_to_all(&self) -> Vec<watch::Receiver<Standing>> {
        let in_use = Control::read(&self.store).await.ok().and_then(|control| control.shards);
        let mut hearing = lock(&self.hearing);
        if let Some(in_use) = in_use {
            hearing.in_use = hearing.in_use.max(in_use);
        }
        let shards = hearing.in_use.shards();
        shards.map(|shard| hearing.listen(shard, &self.subscription).standing.subscribe()).collect()
    }

    fn forget(&self, id: JobId, slot: &Arc<Slot>) {
        let mut hearing = lock(&self.hearing);
        if let Some(slots) = hearing.jobs.get_mut(&id) {
            slots.retain(|other| !Arc::ptr_eq(other, slot));
            if slots.is_empty() {
                hearing.jobs.remove(&id);
            }
        }
        if let Some(shard) = hearing.shards.get_mut(&id.shard()) {
            shard.waiters = shard.waiters.saturating_sub(1);
            shard.idle_since = Instant::now();
        }
    }

    fn forget_owner(&self, owner: &str, slot: &Arc<OwnerSlot>) {
        let mut hearing = lock(&self.hearing);
        if let Some(slots) = hearing.owners.get_mut(owner) {
            slots.retain(|other| !Arc::ptr_eq(other, slot));
            if slots.is_empty() {
                hearing.owners.remove(owner);
            }
        }
        hearing.shards.values_mut().for_each(|shard| shard.idle_since = Instant::now());
    }
}

impl Hearing {
    /// Listens to a shard, if that is not done already.
    fn listen(&mut self, shard: Shard, subscription: &Subscription) -> &mut ShardHearing {
        self.shards.entry(shard).or_insert_with(|| {
            subscription.add(Channel::events(shard));
            ShardHearing {
                standing: watch::Sender::new(Standing::Starting),
                waiters: 0,
                idle_since: Instant::now(),
            }
        })
    }

    fn tell(&self, told: &Told<'_>) {
        for slot in self.jobs.get(&told.id).into_iter().flatten() {
            slot.tell(told.event);
        }
        // Nobody watches the owner without a name.
        if told.event.state == JobState::Ended {
            for slot in self.owners.get(told.owner).into_iter().flatten() {
                slot.tell(End { id: told.id, code: told.event.code });
            }
        }
    }

    /// Notes how a shard stands, and tells how it stood before; none where nobody needs it any more.
    fn set_standing(&self, shard: Shard, standing: Standing) -> Option<Standing> {
        Some(self.shards.get(&shard)?.standing.send_replace(standing))
    }

    fn slots_of(&self, shard: Shard) -> impl Iterator<Item = &Arc<Slot>> {
        self.jobs.iter().filter(move |(id, _)| id.shard() == shard).flat_map(|(_, slots)| slots)
    }

    /// Those who watch virtual keys, where these may have jobs in the shard.
    fn owners_of(&self, shard: Shard) -> impl Iterator<Item = &Arc<OwnerSlot>> {
        let is_in_use = ShardCount::with(shard) <= self.in_use;
        self.owners.values().flatten().filter(move |_| is_in_use)
    }

    fn restored(&self, shard: Shard) {
        self.slots_of(shard).for_each(|slot| slot.look_within(LOOK_WITHIN));
        self.owners_of(shard).for_each(|slot| slot.missed());
        self.set_standing(shard, Standing::Up);
    }

    fn away(&self, shard: Shard) {
        if self.set_standing(shard, Standing::Away) != Some(Standing::Away) {
            self.slots_of(shard).for_each(|slot| slot.away());
            self.owners_of(shard).for_each(|slot| slot.away());
        }
    }
}

/// Ends subscriptions that nobody needs any more, and begins those to new shards.
async fn tidy(hub: Weak<Hub>) {
    loop {
        sleep(TIDY_INTERVAL).await;
        let Some(hub) = hub.upgrade() else { return };
        if !lock(&hub.hearing).owners.is_empty() {
            hub.listen_to_all().await;
            continue;
        }
        lock(&hub.hearing).shards.retain(|shard, hearing| {
            let is_needed = hearing.waiters > 0 || hearing.idle_since.elapsed() < LINGER;
            if !is_needed {
                hub.subscription.remove(&Channel::events(*shard));
            }
            is_needed
        });
    }
}
