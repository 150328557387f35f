use std::sync::Arc;

use hermod_queue::{Payload, Started, WorkerQueue};

use crate::held::HeldGuard;

/// What a worker does with what it claims of one lane.
pub(crate) trait Work: Send + Sync + 'static {
    /// What the records of the lane ask for.
    type Payload: Payload;

    fn queue(&self) -> &WorkerQueue<Self::Payload>;

    /// Returns once there is memory for one more.
    fn room(&self) -> impl Future<Output = ()> + Send;

    /// How many may be claimed now, at least one.
    fn most(&self) -> usize;

    /// Runs one; its slot is free when that returns.
    fn run(
        self: Arc<Self>,
        started: Started<Self::Payload>,
        held: HeldGuard,
    ) -> impl Future<Output = ()> + Send;
}
