use std::collections::HashMap;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use hermod_tests::{Cluster, Process, Proxy, Signal};

use crate::load::Load;
use crate::{DEFAULT_LEASE, Fault, LEASE, SHARDS, Settings};

/// More than this many workers that were frozen are killed, the oldest first.
const MOST_WOKEN: usize = 3;
/// How much longer than its lease a worker is frozen or cut off.
const PAST_LEASE: Duration = Duration::from_secs(3);

/// Something that was done to one worker, and may have cost it its jobs.
pub(crate) struct Harm {
    /// The worker's number.
    pub(crate) worker: usize,
    pub(crate) from: Instant,
    /// None while it lasts, and for one that was killed.
    pub(crate) until: Option<Instant>,
}

/// Makes faults, the same for the same seed, and counts them.
pub(crate) struct Faults {
    random: fastrand::Rng,
    kinds: Vec<Fault>,
    lease: Duration,
    /// How often each was made.
    pub(crate) made: HashMap<Fault, usize>,
    /// What was done to which worker.
    pub(crate) harm: Vec<Harm>,
    /// Workers that are frozen, when they are to wake, and their place in `harm`. They go on beside the others for a while.
    frozen: Vec<(Process, Instant, usize)>,
    /// Workers that were frozen and are awake, with their numbers.
    woken: Vec<(Process, usize)>,
    /// Links of workers that are cut off, when they are to heal, and the workers' place in `harm`.
    blocked: Vec<(Proxy, Instant, usize)>,
    delayed_until: Option<Instant>,
}

impl Faults {
    pub(crate) fn new(settings: &Settings) -> Self {
        // Killing is what most of it is about.
        let usual = [Fault::KillWorker, Fault::KillWorker, Fault::KillWorker, Fault::KillApi, Fault::KillApi];
        let mut kinds = match (settings.faults.is_empty(), settings.defaults) {
            (false, _) => settings.faults.clone(),
            (true, true) => vec![Fault::KillWorker],
            (true, false) => [&usual, Fault::value_variants()].concat(),
        };
        // Nodes of a Cluster tell their own addresses, so there is no proxy before them.
        kinds.retain(|kind| *kind != Fault::Partition || !settings.cluster);
        Self {
            random: fastrand::Rng::with_seed(settings.seed),
            kinds,
            lease: if settings.defaults { DEFAULT_LEASE } else { LEASE },
            made: HashMap::new(),
            harm: Vec::new(),
            frozen: Vec::new(),
            woken: Vec::new(),
            blocked: Vec::new(),
            delayed_until: None,
        }
    }

    /// Makes them at random moments for so many minutes, then lets everything heal.
    pub(crate) async fn make(&mut self, cluster: &mut Cluster, load: &Load, minutes: f64, a_minute: f64) {
        let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
        let mut next_report = Instant::now();
        while Instant::now() < end {
            let pause = 60.0 / a_minute * 2.0 * self.random.f64();
            let left = end.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(Duration::try_from_secs_f64(pause).unwrap_or(left))).await;
            self.heal(cluster, false);
            if Instant::now() >= end {
                break;
            }
            let kind = self.kinds[self.random.usize(..self.kinds.len())];
            self.one(kind, cluster).await;
            *self.made.entry(kind).or_default() += 1;
            if next_report < Instant::now() {
                next_report = Instant::now() + Duration::from_secs(10);
                let accepted = load.accepted.lock().unwrap().len();
                let faults: usize = self.made.values().sum();
                println!(
                    "{:5.0} s left, {accepted} accepted, {faults} faults",
                    (end - Instant::now().min(end)).as_secs_f64()
                );
            }
        }
        self.heal(cluster, true);
    }

    async fn one(&mut self, kind: Fault, cluster: &mut Cluster) {
        match kind {
            Fault::KillWorker => {
                let index = self.random.usize(..cluster.workers.len());
                self.harm(cluster.worker_numbers[index]);
                drop(cluster.take_worker(index));
                cluster.add_worker().await;
            }
            Fault::KillApi => {
                let index = self.random.usize(..cluster.api_processes.len());
                cluster.kill_api(index);
                cluster.add_api().await;
            }
            Fault::KillRedis => self.kill_redis(cluster).await,
            Fault::Freeze => {
                let until = Instant::now() + self.lease + PAST_LEASE;
                let index = self.random.usize(..cluster.workers.len());
                let harm = self.harm(cluster.worker_numbers[index]);
                let mut worker = cluster.take_worker(index);
                worker.signal(Signal::STOP);
                self.frozen.push((worker, until, harm));
                cluster.add_worker().await;
            }
            Fault::Partition => {
                let until = Instant::now() + self.lease + PAST_LEASE;
                let index = self.random.usize(..cluster.workers.len());
                let harm = self.harm(cluster.worker_numbers[index]);
                let link = cluster.worker_links[index].clone();
                link.block(true);
                self.blocked.push((link, until, harm));
            }
            Fault::Cut if cluster.nodes.is_none() => cluster.cut_links(),
            Fault::Cut => {
                for mut node in cluster.connections() {
                    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec(&mut node).unwrap();
                }
            }
            Fault::Delay if cluster.nodes.is_none() => {
                let delay = Duration::from_millis(self.random.u64(10..200));
                cluster.links().for_each(|link| link.delay(delay));
                self.delayed_until = Some(Instant::now() + Duration::from_secs(2));
            }
            Fault::Delay => {
                let mut nodes = cluster.connections();
                let node = self.random.usize(..nodes.len());
                let millis = self.random.u64(100..2000);
                redis::cmd("CLIENT").arg("PAUSE").arg(millis).exec(&mut nodes[node]).unwrap();
            }
            Fault::FlushScripts => {
                for mut server in cluster.connections() {
                    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut server).unwrap();
                }
            }
            Fault::DestroyGroup => {
                let shard = if cluster.nodes.is_none() { 0 } else { self.random.u16(..SHARDS) };
                for mut server in cluster.connections() {
                    let mut command = redis::cmd("XGROUP");
                    command.arg("DESTROY").arg(format!("{{hermod:{shard}}}:queue")).arg("workers");
                    // There may be no group, or no queue, just now; or it is on another node.
                    command.exec(&mut server).ok();
                }
            }
        }
    }

    /// Notes that something is done to a worker from now on; gives its place.
    fn harm(&mut self, worker: usize) -> usize {
        self.harm.push(Harm { worker, from: Instant::now(), until: None });
        self.harm.len() - 1
    }

    async fn kill_redis(&mut self, cluster: &mut Cluster) {
        let away = Duration::from_millis(self.random.u64(..1000));
        if cluster.nodes.is_none() {
            cluster.kill_redis();
            tokio::time::sleep(away).await;
            cluster.start_redis().await;
        } else {
            // It has no replica, so its slots wait for it.
            let nodes = cluster.redis_cluster();
            let node = self.random.usize(..nodes.0.len());
            nodes.0[node].kill();
            tokio::time::sleep(away).await;
            nodes.0[node].restart().await;
        }
    }

    /// Ends the faults whose time has come, or all. Workers that wake work on, so that there is somebody to write what is
    /// stale.
    fn heal(&mut self, cluster: &Cluster, all: bool) {
        let now = Instant::now();
        if all || self.delayed_until.is_some_and(|until| until < now) {
            cluster.links().for_each(|link| link.delay(Duration::ZERO));
            self.delayed_until = None;
        }
        for (link, until, harm) in std::mem::take(&mut self.blocked) {
            if all || until < now {
                link.block(false);
                self.harm[harm].until = Some(Instant::now());
            } else {
                self.blocked.push((link, until, harm));
            }
        }
        for (mut worker, until, harm) in std::mem::take(&mut self.frozen) {
            if all || until < now {
                worker.signal(Signal::CONT);
                self.harm[harm].until = Some(Instant::now());
                self.woken.push((worker, self.harm[harm].worker));
            } else {
                self.frozen.push((worker, until, harm));
            }
        }
        if self.woken.len() > MOST_WOKEN && !all {
            let (worker, number) = self.woken.remove(0);
            self.harm(number);
            drop(worker);
        }
    }
}
