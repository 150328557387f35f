//! Batches that form by themselves: while one call is under way, what arrives waits and goes with the next.
//! So a lone request is sent at once, and under load a round trip carries many.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::QueueError;

/// Items of one call: enough to spread its cost, few enough not to hold up Redis.
const MAX_ITEMS: usize = 64;
/// Bytes of one call, for the same reason; a larger item goes alone.
const MAX_BYTES: usize = 1 << 20;
/// Items that may wait for their turn; more wait before they are taken in.
const CAPACITY: usize = 1024;
/// The longest that anybody waits for an answer, its turn included.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// One kind of call that takes many items.
pub(crate) trait Batch: Send + 'static {
    /// What is asked.
    type Item: Send + Sync + 'static;
    /// What is answered to each.
    type Reply: Send + 'static;

    /// About how many bytes an item adds to the call.
    fn bytes(item: &Self::Item) -> usize;

    /// Makes the call. The replies are in the order of the items. It may be given the same items again.
    fn call(
        &mut self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Reply>, QueueError>> + Send;
}

type ReplySender<R> = oneshot::Sender<Result<R, QueueError>>;

/// The way to one [`Batch`], which runs as a task of its own and ends with its last sender.
pub(crate) struct Batcher<B: Batch> {
    sender: mpsc::Sender<(B::Item, ReplySender<B::Reply>)>,
}

impl<B: Batch> Batcher<B> {
    /// Starts the task on the current runtime.
    pub(crate) fn spawn(batch: B, tasks: &TaskTracker) -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        tasks.spawn(run(batch, receiver));
        Self { sender }
    }

    /// Asks with the next call.
    pub(crate) async fn ask(&self, item: B::Item) -> Result<B::Reply, QueueError> {
        let (answer, reply) = oneshot::channel();
        let asked = async {
            self.sender.send((item, answer)).await.ok()?;
            reply.await.ok()
        };
        match tokio::time::timeout(DEADLINE, asked).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err(QueueError::Unreachable("the connection's task has ended".to_owned())),
            Err(_) => Err(QueueError::Unanswered("no answer in time".to_owned())),
        }
    }
}

async fn run<B: Batch>(mut batch: B, mut receiver: mpsc::Receiver<(B::Item, ReplySender<B::Reply>)>) {
    let mut left_over = None;
    loop {
        let Some(first) = (match left_over.take() {
            Some(item) => Some(item),
            None => receiver.recv().await,
        }) else {
            return;
        };
        if first.1.is_closed() {
            continue;
        }
        // Those who are about to ask do so first: on a busy thread this makes batches of what one wake-up
        // brought.
        tokio::task::yield_now().await;
        let mut bytes = B::bytes(&first.0);
        let (mut items, mut answers) = (vec![first.0], vec![first.1]);
        while items.len() < MAX_ITEMS
            && let Ok((item, answer)) = receiver.try_recv()
        {
            bytes += B::bytes(&item);
            if bytes > MAX_BYTES {
                left_over = Some((item, answer));
                break;
            }
            // Who no longer waits has been told that it failed: it must not happen now.
            if !answer.is_closed() {
                items.push(item);
                answers.push(answer);
            }
        }
        match batch.call(&items).await {
            Ok(replies) if replies.len() == answers.len() => {
                for (answer, reply) in answers.into_iter().zip(replies) {
                    // Who no longer waits has no use for it.
                    drop(answer.send(Ok(reply)));
                }
            }
            outcome => {
                let error = outcome.err().unwrap_or_else(|| {
                    QueueError::Unexpected("the number of replies is not that of the questions".to_owned())
                });
                for answer in answers {
                    drop(answer.send(Err(error.clone())));
                }
            }
        }
    }
}
