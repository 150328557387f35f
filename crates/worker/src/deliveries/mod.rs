//! Deliveries: receivers are told of the ends of jobs.
//!
//! A delivery is a job of [`hermod_queue::Lane::Deliveries`], with the same claims, leases and fences. The script that ends a job
//! writes it. It has a place of its own here, and never a job's slot.
//!
//! | module | |
//! |---|---|
//! | `places` | no receiver takes the places of the others |
//! | `recipients` | who is told, as far as `config.json` says |
//! | `attempt` | one attempt: slot, definition, body, call |
//! | `content` | what of the job's record goes along |
//! | `settle` | what becomes of an attempt: its row, a retry, the delivery's end |
//! | `insist` | calls to Redis that are made until they are answered |
//! | `slots` | the slots of attempts under way, to be renewed |

mod attempt;
mod content;
mod counters;
mod insist;
mod places;
mod recipients;
mod settle;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use hermod_queue::webhooks::Webhooks;
use hermod_queue::{Delivery, Records, Started, Store, WorkerQueue};
use hermod_service::Tracing;
use hermod_webhooks::{Sender, Vault};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::held::HeldGuard;
use crate::memory::Memory;
use crate::work::Work;
use attempt::Run;
use counters::Counters;
use places::Places;
pub use recipients::Recipients;
use slots::Slots;

/// What a worker delivers, and with what.
pub struct DeliverySettings {
    /// Deliveries that it has at once; 0 for none.
    pub concurrency: usize,
    pub recipients: Recipients,
    /// Opens the secrets of registered endpoints.
    pub vault: Vault,
    pub sender: Sender,
    /// How long the history of attempts is kept.
    pub history: Duration,
    pub tracing: Tracing,
}

/// What every delivery reaches.
pub(crate) struct Deliveries {
    queue: WorkerQueue<Delivery>,
    webhooks: Webhooks,
    records: Records,
    settings: DeliverySettings,
    places: Places,
    slots: Slots,
    memory: Memory,
    counters: Counters,
    /// Of the slots of receivers: that of all leases.
    lease: Duration,
    stop: Stop,
}

/// Two steps of a worker's end.
#[derive(Clone)]
pub(crate) struct Stop {
    /// Nothing more is begun: what waits for a slot is released.
    pub(crate) drain: CancellationToken,
    /// Attempts under way end early, and are released.
    pub(crate) release: CancellationToken,
}

impl Deliveries {
    pub(crate) fn new(
        store: &Store,
        queue: WorkerQueue<Delivery>,
        settings: DeliverySettings,
        memory: Memory,
        lease: Duration,
        stop: Stop,
        tasks: &TaskTracker,
    ) -> Self {
        Self {
            queue,
            webhooks: Webhooks::new(store),
            records: Records::spawn(store, tasks),
            places: Places::new(settings.concurrency),
            settings,
            slots: Slots::default(),
            memory,
            counters: Counters::new(),
            lease,
            stop,
        }
    }

    /// Renews the slots of attempts under way until `stop`. One that is late costs no more than that a receiver is called more
    /// often at once than it wants.
    pub(crate) async fn keep_slots(self: Arc<Self>, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(self.lease / 3)).await.is_some() {
            if let Err(error) = self.webhooks.renew(&self.slots.all(), self.lease).await {
                tracing::debug!(%error, "the slots of deliveries are not renewed");
            }
        }
    }
}

impl Work for Deliveries {
    type Payload = Delivery;

    fn queue(&self) -> &WorkerQueue<Delivery> {
        &self.queue
    }

    async fn room(&self) {
        self.memory.room().await;
    }

    fn most(&self) -> usize {
        usize::MAX
    }

    async fn run(self: Arc<Self>, started: Started<Delivery>, held: HeldGuard) {
        let _running = self.counters.runs();
        match &started.request {
            Some(delivery) => Run::new(&self, &started, delivery, &held).run().await,
            None => {
                tracing::error!(delivery = %held.held().id, "the record of a delivery cannot be read; nobody is told");
                settle::finish(&self.queue, &held, false).await;
            }
        }
    }
}
