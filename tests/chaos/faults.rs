use std::collections::HashMap;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use hermod_tests::{Cluster, Process, Signal};

use crate::load::Load;
use crate::{Fault, LEASE};

/// More than this many workers that were frozen are killed, the oldest first.
const MOST_WOKEN: usize = 3;

/// Makes faults, the same for the same seed, and counts them.
pub(crate) struct Faults {
    random: fastrand::Rng,
    kinds: Vec<Fault>,
    /// How often each was made.
    pub(crate) made: HashMap<Fault, usize>,
    /// Workers that are frozen, and when they are to wake: then they go on beside the others for a while.
    frozen: Vec<(Process, Instant)>,
    /// Workers that were frozen, and are awake.
    woken: Vec<Process>,
    delayed_until: Option<Instant>,
}

impl Faults {
    pub(crate) fn new(seed: u64, kinds: &[Fault]) -> Self {
        // Killing is what most of it is about.
        let usual = [Fault::KillWorker, Fault::KillWorker, Fault::KillWorker, Fault::KillApi, Fault::KillApi];
        let kinds =
            if kinds.is_empty() { [&usual, Fault::value_variants()].concat() } else { kinds.to_vec() };
        Self {
            random: fastrand::Rng::with_seed(seed),
            kinds,
            made: HashMap::new(),
            frozen: Vec::new(),
            woken: Vec::new(),
            delayed_until: None,
        }
    }

    /// Makes them at random moments for so many minutes, then lets everything heal.
    pub(crate) async fn make(&mut self, cluster: &mut Cluster, load: &Load, minutes: f64, a_minute: f64) {
        let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
        let mut next_report = Instant::now();
        while Instant::now() < end {
            let pause = 60.0 / a_minute * 2.0 * self.random.f64();
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            self.wake(cluster, false);
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
        self.wake(cluster, true);
    }

    async fn one(&mut self, kind: Fault, cluster: &mut Cluster) {
        match kind {
            Fault::KillWorker => {
                let index = self.random.usize(..cluster.workers.len());
                drop(cluster.take_worker(index));
                cluster.add_worker();
            }
            Fault::KillApi => {
                let index = self.random.usize(..cluster.fronts.len());
                cluster.kill_front(index);
                cluster.add_front();
            }
            Fault::KillRedis => {
                cluster.redis.as_mut().unwrap().process.signal(Signal::KILL);
                cluster.redis = None;
                tokio::time::sleep(Duration::from_millis(self.random.u64(..1000))).await;
                cluster.start_redis();
            }
            Fault::Freeze => {
                let index = self.random.usize(..cluster.workers.len());
                let mut worker = cluster.take_worker(index);
                worker.signal(Signal::STOP);
                self.frozen.push((worker, Instant::now() + LEASE + Duration::from_secs(3)));
                cluster.add_worker();
            }
            Fault::Cut => cluster.proxy().cut(),
            Fault::Delay => {
                cluster.proxy().delay(Duration::from_millis(self.random.u64(10..200)));
                self.delayed_until = Some(Instant::now() + Duration::from_secs(2));
            }
            Fault::FlushScripts => {
                redis::cmd("SCRIPT").arg("FLUSH").exec(&mut cluster.connect()).unwrap();
            }
            Fault::DestroyGroup => {
                let mut command = redis::cmd("XGROUP");
                command.arg("DESTROY").arg("{hermod:0}:queue").arg("workers");
                // There may be no group, or no queue, just now.
                command.exec(&mut cluster.connect()).ok();
            }
        }
    }

    /// Wakes those whose time has come, or all. They work on, so that there is somebody to write what is stale.
    fn wake(&mut self, cluster: &Cluster, all: bool) {
        if all || self.delayed_until.is_some_and(|until| until < Instant::now()) {
            cluster.proxy().delay(Duration::ZERO);
            self.delayed_until = None;
        }
        let now = Instant::now();
        let (due, later) = self.frozen.drain(..).partition(|(_, until)| all || *until < now);
        self.frozen = later;
        for (mut worker, _) in due {
            worker.signal(Signal::CONT);
            self.woken.push(worker);
        }
        if self.woken.len() > MOST_WOKEN && !all {
            drop(self.woken.remove(0));
        }
    }
}
