//! Redis is killed, and started again with what it had.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::rates::{Rates, commands};
use crate::measure::RedisProbe;
use crate::progress::progress;
use crate::report::{float, per};
use crate::run::Run;

/// How often a worker that is not ready is asked again.
const ASK_INTERVAL: Duration = Duration::from_millis(200);
/// How long it may take to say so.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// What happened once Redis was back.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outage {
    /// Commands a second before Redis went away.
    pub(crate) calm: f64,
    /// Commands in each second after all servers had loaded their data.
    pub(crate) commands: Vec<f64>,
    /// The worst of these seconds, as a multiple of `calm`.
    pub(crate) worst: f64,
    /// When the last worker was ready again; absent if one was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) all_ready_seconds: Option<f64>,
    pub(crate) ready_workers: usize,
    /// Clients of each server, at the end.
    pub(crate) connections: Vec<u64>,
}

impl Outage {
    pub(crate) async fn watch(run: &mut Run<'_>, what: &str, calm: &Rates) -> anyhow::Result<Self> {
        let options = run.options;
        let asked = commands_of_asking(run, calm).await?;
        let service = run.service.as_mut().context("there is no service of our own")?;
        service.quiet.store(true, Ordering::Relaxed);
        service.servers.kill();
        progress(|| format!("{what}: Redis is away"), sleep(Duration::from_secs(options.outage_seconds)))
            .await;
        service.servers.start()?;
        run.probe = RedisProbe::connect(&service.servers.own_urls()).await?;
        let mut looks = vec![run.probe.look().await?];
        service.servers.open()?;
        let back = Instant::now();
        let addresses: Vec<String> = service.workers.iter().map(|worker| worker.address.clone()).collect();

        let end = back + Duration::from_secs(options.recovery_seconds);
        let became_ready = RefCell::new(Vec::new());
        let asking = async {
            let client = client()?;
            let ask = async |address: &String| {
                while !ready(&client, address).await {
                    sleep(ASK_INTERVAL).await;
                }
                became_ready.borrow_mut().push(back.elapsed().as_secs_f64());
            };
            // Those that are not ready by then are not counted.
            timeout_at(end, join_all(addresses.iter().map(ask))).await.ok();
            anyhow::Ok(())
        };
        let counting = async {
            for second in 1..=options.recovery_seconds {
                sleep_until(back + Duration::from_secs(second)).await;
                looks.push(run.probe.look().await?);
            }
            anyhow::Ok(())
        };
        let both = async { tokio::try_join!(asking, counting) };
        progress(|| format!("{what}: Redis is back"), both).await?;
        service.quiet.store(false, Ordering::Relaxed);

        let became_ready = became_ready.into_inner();
        let commands: Vec<f64> = (0_u32..)
            .zip(looks.windows(2))
            .map(|(second, pair)| {
                let [before, after] = pair else { return 0.0 };
                let within = f64::from(second)..f64::from(second + 1);
                let asked_now = became_ready.iter().filter(|at| within.contains(*at)).count();
                let all = float(commands(before, after).0);
                (all - asked * float(u64::try_from(asked_now).unwrap_or(u64::MAX))).max(0.0)
            })
            .collect();
        let most = commands.iter().copied().fold(0.0, f64::max);
        let all_ready = became_ready.len() == addresses.len();
        Ok(Self {
            calm: calm.commands,
            worst: if calm.commands > 0.0 { most / calm.commands } else { 0.0 },
            commands,
            all_ready_seconds: all_ready.then(|| became_ready.iter().copied().fold(0.0, f64::max)),
            ready_workers: became_ready.len(),
            connections: looks.last().into_iter().flatten().map(|server| server.connections).collect(),
        })
    }
}

/// How many commands a worker sends because it is asked whether it is ready: those are not the fleet's own.
async fn commands_of_asking(run: &Run<'_>, calm: &Rates) -> anyhow::Result<f64> {
    let workers = run.service.iter().flat_map(|service| &service.workers);
    let client = client()?;
    let before = run.look().await?;
    let answers = join_all(workers.map(|worker| ready(&client, &worker.address))).await;
    let during = Rates::over(&[before, run.look().await?])?;
    let beyond = (during.commands - calm.commands) * during.seconds;
    let each = beyond * per(1, float(u64::try_from(answers.len())?));
    Ok(each.round().max(0.0))
}

pub(crate) fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().no_proxy().timeout(ASK_TIMEOUT).build()?)
}

/// Whether the worker with its health there says that it is ready.
pub(crate) async fn ready(client: &Client, address: &str) -> bool {
    let answer = client.get(format!("http://{address}/readyz")).send().await;
    answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
}
