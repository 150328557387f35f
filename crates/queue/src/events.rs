//! Who waits for a job, or for all jobs of a virtual key, and what there is to tell them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hermod_types::{JobId, Shard, ShardCount};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::subscription::{Channel, Heard, Subscription};
use crate::{Control, Store};

/// How long a shard is listened to after the last who waited for one of its jobs has gone. Scripts tell only where somebody
/// listens.
const LINGER: Duration = Duration::from_secs(60);
/// How often it is looked for shards that nobody needs any more, and for new ones.
const TIDY_INTERVAL: Duration = Duration::from_secs(10);
/// How often whoever waits looks at the record though nothing was told: a message may be lost without a trace.
const SLOW_LOOK: Duration = Duration::from_secs(30);
/// After a break all look again, at a moment within this time.
const LOOK_WITHIN: Duration = Duration::from_millis(1500);
/// Ends that wait for one who watches a virtual key.
const MOST_ENDS: usize = 1024;

/// What this process hears of jobs. One for a process; cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<Hub>);

/// A transition of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// Counts the job's transitions.
    pub seq: u64,
    /// Where it is in its life now.
    pub state: JobState,
    /// 200, or the code of what failed it; 0 unless it has ended.
    pub code: u16,
}

/// Where a job is in its life, in the words of the scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It waits for a worker, or for a retry time.
    Waiting,
    /// A worker runs it.
    Running,
    /// It runs, and is to be cancelled.
    Cancelling,
    /// Nothing more will happen to it.
    Ended,
}

/// What one who waits for a job hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The job's newest transition.
    Event(JobEvent),
    /// Something may have been missed: look at the record.
    LookAgain,
    /// Redis is away. [`News::LookAgain`] comes when it is back.
    Away,
}

/// A job that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Which.
    pub id: JobId,
    /// 200, or the code of what failed it.
    pub code: u16,
}

/// What one who watches a virtual key hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerNews {
    /// One of its jobs has ended.
    End(End),
    /// Ends may have been missed.
    Missed,
    /// Redis is away. [`OwnerNews::Missed`] comes when it is back.
    Away,
}

/// Whether a shard is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Not yet, or no longer; it will be known soon.
    Starting,
    Up,
    Away,
}

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

/// What is to be told to one who waits for a job.
#[derive(Default)]
struct Slot {
    pending: Mutex<Pending>,
    notify: Notify,
}

#[derive(Default)]
struct Pending {
    event: Option<JobEvent>,
    /// When to look at the record.
    look_at: Option<Instant>,
    away: bool,
}

/// What is to be told to one who watches a virtual key.
#[derive(Default)]
struct OwnerSlot {
    pending: Mutex<PendingEnds>,
    notify: Notify,
}

#[derive(Default)]
struct PendingEnds {
    ends: VecDeque<End>,
    missed: bool,
    away: bool,
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
        let standing = self.0.listen(&mut hearing, id.shard());
        JobWatch { hub: Arc::clone(&self.0), id, slot, standing, look_at: slow_look() }
    }

    /// Begins to listen for the ends of all jobs of a virtual key, from [`OwnerWatch::ready`] on.
    pub fn watch_owner(&self, owner: &str) -> OwnerWatch {
        let slot = Arc::<OwnerSlot>::default();
        let mut hearing = lock(&self.0.hearing);
        hearing.owners.entry(owner.to_owned()).or_default().push(Arc::clone(&slot));
        self.0.listen_to_all(&mut hearing);
        OwnerWatch { hub: Arc::clone(&self.0), owner: owner.to_owned(), slot }
    }
}

fn slow_look() -> Instant {
    Instant::now() + SLOW_LOOK.mul_f64(0.8 + 0.4 * fastrand::f64())
}

impl Hub {
    /// One more waits for a job in this shard.
    fn listen(&self, hearing: &mut Hearing, shard: Shard) -> watch::Receiver<Standing> {
        let shard_hearing = hearing.shards.entry(shard).or_insert_with(|| {
            self.subscription.add(Channel::events(shard));
            ShardHearing::new()
        });
        shard_hearing.waiters += 1;
        shard_hearing.standing.subscribe()
    }

    /// Listens to all shards in use for those who watch virtual keys.
    fn listen_to_all(&self, hearing: &mut Hearing) {
        for shard in hearing.in_use.shards() {
            hearing.shards.entry(shard).or_insert_with(|| {
                self.subscription.add(Channel::events(shard));
                ShardHearing::new()
            });
        }
    }

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
}

/// A line of a message.
struct Told<'a> {
    id: JobId,
    event: JobEvent,
    owner: &'a str,
}

impl<'a> Told<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        let id = words.next()?.parse().ok()?;
        let seq = words.next()?.parse().ok()?;
        let state = match words.next()? {
            "waiting" => JobState::Waiting,
            "running" => JobState::Running,
            "cancelling" => JobState::Cancelling,
            "ended" => JobState::Ended,
            _ => return None,
        };
        let code = words.next()?.parse().ok()?;
        Some(Self { id, event: JobEvent { seq, state, code }, owner: words.next().unwrap_or_default() })
    }
}

impl Hearing {
    fn tell(&self, told: &Told<'_>) {
        for slot in self.jobs.get(&told.id).into_iter().flatten() {
            lock(&slot.pending).event = Some(told.event);
            slot.notify.notify_one();
        }
        if told.event.state == JobState::Ended
            && let Some(slots) = self.owners.get(told.owner).filter(|_| !told.owner.is_empty())
        {
            for slot in slots {
                slot.push(End { id: told.id, code: told.event.code });
            }
        }
    }

    fn set_standing(&self, shard: Shard, standing: Standing) -> Option<Standing> {
        let hearing = self.shards.get(&shard)?;
        Some(hearing.standing.send_replace(standing))
    }

    fn slots_of(&self, shard: Shard) -> impl Iterator<Item = &Arc<Slot>> {
        self.jobs.iter().filter(move |(id, _)| id.shard() == shard).flat_map(|(_, slots)| slots)
    }

    fn restored(&self, shard: Shard) {
        let now = Instant::now();
        for slot in self.slots_of(shard) {
            // Not all in one moment: that would be the next outage.
            lock(&slot.pending).look_at = Some(now + LOOK_WITHIN.mul_f64(fastrand::f64()));
            slot.notify.notify_one();
        }
        self.set_standing(shard, Standing::Up);
        for slot in self.owners.values().flatten() {
            slot.missed();
        }
    }

    fn away(&self, shard: Shard) {
        if self.set_standing(shard, Standing::Away) == Some(Standing::Away) {
            return;
        }
        for slot in self.slots_of(shard) {
            lock(&slot.pending).away = true;
            slot.notify.notify_one();
        }
        for slot in self.owners.values().flatten() {
            lock(&slot.pending).away = true;
            slot.notify.notify_one();
        }
    }
}

impl ShardHearing {
    fn new() -> Self {
        Self { standing: watch::Sender::new(Standing::Starting), waiters: 0, idle_since: Instant::now() }
    }
}

impl OwnerSlot {
    fn push(&self, end: End) {
        let mut pending = lock(&self.pending);
        if pending.ends.len() < MOST_ENDS {
            pending.ends.push_back(end);
        } else {
            pending.missed = true;
        }
        drop(pending);
        self.notify.notify_one();
    }

    fn missed(&self) {
        lock(&self.pending).missed = true;
        self.notify.notify_one();
    }
}

/// One who waits for a job. Dropping it ends that.
pub struct JobWatch {
    hub: Arc<Hub>,
    id: JobId,
    slot: Arc<Slot>,
    standing: watch::Receiver<Standing>,
    look_at: Instant,
}

impl JobWatch {
    /// Waits until the job's shard is listened to, or Redis is known to be away.
    pub async fn ready(&mut self) {
        // An error means that the process stops.
        if self.standing.wait_for(|standing| *standing != Standing::Starting).await.is_ok() {
            *lock(&self.slot.pending) = Pending::default();
        }
    }

    /// Waits for something to be told. Safe to drop before.
    pub async fn next(&mut self) -> News {
        loop {
            {
                let mut pending = lock(&self.slot.pending);
                if let Some(event) = pending.event.take() {
                    return News::Event(event);
                }
                if std::mem::take(&mut pending.away) {
                    return News::Away;
                }
                if let Some(look_at) = pending.look_at.take() {
                    self.look_at = self.look_at.min(look_at);
                }
            }
            tokio::select! {
                () = self.slot.notify.notified() => {}
                () = sleep_until(self.look_at) => {
                    self.look_at = slow_look();
                    return News::LookAgain;
                }
            }
        }
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        let mut hearing = lock(&self.hub.hearing);
        if let Some(slots) = hearing.jobs.get_mut(&self.id) {
            slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
            if slots.is_empty() {
                hearing.jobs.remove(&self.id);
            }
        }
        if let Some(shard) = hearing.shards.get_mut(&self.id.shard()) {
            shard.waiters = shard.waiters.saturating_sub(1);
            shard.idle_since = Instant::now();
        }
    }
}

/// One who watches a virtual key. Dropping it ends that.
pub struct OwnerWatch {
    hub: Arc<Hub>,
    owner: String,
    slot: Arc<OwnerSlot>,
}

impl OwnerWatch {
    /// Waits until all shards are listened to, or Redis is known to be away.
    pub async fn ready(&mut self) {
        let standings: Vec<_> = {
            let hearing = lock(&self.hub.hearing);
            hearing.shards.values().map(|shard| shard.standing.subscribe()).collect()
        };
        for mut standing in standings {
            if standing.wait_for(|standing| *standing != Standing::Starting).await.is_err() {
                return;
            }
        }
        lock(&self.slot.pending).missed = false;
    }

    /// Waits for something to be told. Safe to drop before.
    pub async fn next(&mut self) -> OwnerNews {
        loop {
            {
                let mut pending = lock(&self.slot.pending);
                if let Some(end) = pending.ends.pop_front() {
                    return OwnerNews::End(end);
                }
                if std::mem::take(&mut pending.away) {
                    return OwnerNews::Away;
                }
                if std::mem::take(&mut pending.missed) {
                    return OwnerNews::Missed;
                }
            }
            self.slot.notify.notified().await;
        }
    }
}

impl Drop for OwnerWatch {
    fn drop(&mut self) {
        let mut hearing = lock(&self.hub.hearing);
        if let Some(slots) = hearing.owners.get_mut(&self.owner) {
            slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
            if slots.is_empty() {
                hearing.owners.remove(&self.owner);
            }
        }
    }
}

/// Ends subscriptions that nobody needs any more, and begins those to new shards.
async fn tidy(hub: Weak<Hub>) {
    loop {
        sleep(TIDY_INTERVAL).await;
        let Some(hub) = hub.upgrade() else { return };
        let watches_owners = !lock(&hub.hearing).owners.is_empty();
        let in_use = if watches_owners { Control::read(&hub.store).await.ok() } else { None };
        let mut hearing = lock(&hub.hearing);
        if let Some(in_use) = in_use.and_then(|control| control.shards) {
            hearing.in_use = hearing.in_use.max(in_use);
        }
        if !hearing.owners.is_empty() {
            hub.listen_to_all(&mut hearing);
            continue;
        }
        hearing.shards.retain(|shard, hearing| {
            let is_needed = hearing.waiters > 0 || hearing.idle_since.elapsed() < LINGER;
            if !is_needed {
                hub.subscription.remove(&Channel::events(*shard));
            }
            is_needed
        });
    }
}
