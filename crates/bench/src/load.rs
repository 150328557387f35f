//! Closed loop: so many clients, each waits for its answer. Open loop: so many requests a second, whatever the answers
//! do; latency counts from when a request was due, so that a stall is seen in all that it held up.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::http::{Connection, Target};

/// The longest that one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections of the open loop; beyond them a request waits, and its wait counts.
const MOST_CONNECTIONS: usize = 1024;
/// Requests that are due and not yet sent.
const MOST_DUE: usize = 65_536;

/// What is sent, and what its answer must be.
pub(crate) trait Exchange {
    /// The request of this number, counted from 0.
    fn request(&self, number: u64) -> Request<Full<Bytes>>;
    /// Takes its answer, or says what is wrong with it.
    fn answer(&self, number: u64, status: StatusCode, body: &[u8]) -> Result<(), String>;
}

/// What a loop has seen.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Latencies of what was answered as it must be, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Requests that failed, and what the first of them failed with.
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
}

impl Outcome {
    /// With what another loop has seen.
    ///
    /// # Errors
    /// None: all histograms here have the same bounds.
    pub(crate) fn and(mut self, other: &Self) -> anyhow::Result<Self> {
        self.latencies.add(&other.latencies).context("histograms of other bounds")?;
        self.elapsed += other.elapsed;
        self.failed += other.failed;
        self.first_failure = self.first_failure.or_else(|| other.first_failure.clone());
        Ok(self)
    }
}

/// A histogram of times up to ten minutes, in nanoseconds.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).context("a histogram cannot be made")
}

/// Nanoseconds that fit a histogram.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

struct Tally {
    latencies: RefCell<Histogram<u64>>,
    failed: Cell<u64>,
    first_failure: RefCell<Option<String>>,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: RefCell::new(histogram()?),
            failed: Cell::new(0),
            first_failure: RefCell::default(),
        })
    }

    fn note(&self, latency: Duration, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.latencies.borrow_mut().saturating_record(nanos(latency)),
            Err(what) => {
                self.failed.set(self.failed.get() + 1);
                self.first_failure.borrow_mut().get_or_insert(what);
            }
        }
    }

    fn outcome(self, elapsed: Duration) -> Outcome {
        Outcome {
            latencies: self.latencies.into_inner(),
            elapsed,
            failed: self.failed.get(),
            first_failure: self.first_failure.into_inner(),
        }
    }
}

pub(crate) struct Closed<'a> {
    pub(crate) target: &'a Target,
    /// Clients, each with a connection.
    pub(crate) clients: usize,
    /// Requests of all of them together.
    pub(crate) requests: u64,
    /// What a client waits between an answer and its next request.
    pub(crate) pause: Duration,
    /// Counts the requests that were answered.
    pub(crate) done: &'a Cell<u64>,
}

impl Closed<'_> {
    /// Runs it over these connections, and opens what is missing.
    ///
    /// # Errors
    /// If there is no connection to be had.
    pub(crate) async fn run(
        &self,
        pool: &mut Vec<Connection>,
        exchange: &impl Exchange,
    ) -> anyhow::Result<Outcome> {
        let clients = self.clients.min(usize::try_from(self.requests).unwrap_or(usize::MAX));
        let missing = clients.saturating_sub(pool.len());
        pool.extend(try_join_all((0..missing).map(|_| self.target.connect())).await?);
        let connections = pool.split_off(pool.len() - clients);
        let (next, tally) = (Cell::new(0), Tally::new()?);
        let started = Instant::now();
        let clients = connections.into_iter().enumerate().map(async |(client, mut connection)| {
            if !self.pause.is_zero() {
                // Clients that think do not all think in step.
                sleep(self.pause.mul_f64(f64::from(u32::try_from(client % 1000)?) / 1000.0)).await;
            }
            while next.get() < self.requests {
                let number = next.replace(next.get() + 1);
                let sent = Instant::now();
                let outcome = call(self.target, &mut connection, exchange, number).await?;
                tally.note(sent.elapsed(), outcome);
                self.done.set(self.done.get() + 1);
                if !self.pause.is_zero() {
                    sleep(self.pause).await;
                }
            }
            anyhow::Ok(connection)
        });
        pool.extend(try_join_all(clients).await?);
        Ok(tally.outcome(started.elapsed()))
    }
}

pub(crate) struct Open<'a> {
    pub(crate) target: &'a Target,
    pub(crate) rate: u64,
    pub(crate) requests: u64,
    /// Counts the requests that were answered.
    pub(crate) done: &'a Cell<u64>,
}

impl Open<'_> {
    /// Runs it; `due` is told when each request is due.
    ///
    /// # Errors
    /// If there is no connection to be had.
    pub(crate) async fn run(
        &self,
        exchange: &impl Exchange,
        due: impl Fn(u64, std::time::Instant),
    ) -> anyhow::Result<Outcome> {
        let (sender, mut schedule) = mpsc::channel(MOST_DUE);
        let (rate, requests) = (self.rate, self.requests);
        // On a thread of its own: the runtime's timer has a resolution of a millisecond only.
        let pacer = std::thread::Builder::new().name("pacer".to_owned()).spawn(move || {
            let started = std::time::Instant::now();
            for number in 0..requests {
                let at = started + Duration::from_nanos(number.saturating_mul(1_000_000_000) / rate);
                std::thread::sleep(at.saturating_duration_since(std::time::Instant::now()));
                if sender.blocking_send((number, at)).is_err() {
                    return;
                }
            }
        })?;
        let tally = Tally::new()?;
        let started = Instant::now();
        let (mut idle, mut running) = (Vec::<Connection>::new(), FuturesUnordered::new());
        let mut is_over = false;
        while !is_over || !running.is_empty() {
            tokio::select! {
                next = schedule.recv(), if !is_over && running.len() < MOST_CONNECTIONS => {
                    let Some((number, at)) = next else {
                        is_over = true;
                        continue;
                    };
                    due(number, at);
                    let connection = idle.pop();
                    running.push(async move {
                        let mut connection = match connection {
                            Some(connection) => connection,
                            None => self.target.connect().await?,
                        };
                        let outcome = call(self.target, &mut connection, exchange, number).await?;
                        anyhow::Ok((connection, at, outcome))
                    });
                }
                Some(ended) = running.next() => {
                    let (connection, at, outcome) = ended?;
                    tally.note(at.elapsed(), outcome);
                    self.done.set(self.done.get() + 1);
                    idle.push(connection);
                }
            }
        }
        drop(pacer.join());
        Ok(tally.outcome(started.elapsed()))
    }
}

/// One exchange. A connection that broke is replaced, and what was on it has failed.
async fn call(
    target: &Target,
    connection: &mut Connection,
    exchange: &impl Exchange,
    number: u64,
) -> anyhow::Result<Result<(), String>> {
    let answer = timeout(ANSWER_TIMEOUT, connection.call(exchange.request(number))).await;
    let broken = match answer {
        Ok(Ok((status, body))) => return Ok(exchange.answer(number, status, &body)),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
    };
    *connection = target.connect().await?;
    Ok(Err(broken))
}
