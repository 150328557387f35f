//! A request that is not the provider's own: the calls that it becomes, and the result that their answers make together.

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use hermod_types::{CallUsage, Operation};

use crate::Replies;
use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};

/// Calls of one request under way at once, if the provider's concurrency has room for them.
pub(crate) const MOST_AT_ONCE: usize = 8;

/// What to ask a provider for, in one call or several, and what to make of it.
pub(crate) trait Plan: Send + Sync {
    /// What one call gives.
    type Reply: Send + 'static;

    /// What the provider is asked for.
    fn sent_as(&self) -> Operation;

    /// How many calls there are.
    fn calls(&self) -> usize;

    /// The request of a call. It is written only when its turn comes: all together could be many times the client's.
    ///
    /// # Errors
    /// If it cannot be said, or cannot be sent.
    fn request(&self, ask: &Ask<'_>, number: usize) -> Result<Outgoing, Unsendable>;

    /// Reads the answer to a call.
    ///
    /// # Errors
    /// What is wrong with it, if it is no answer.
    fn read(&self, number: usize, answer: &Answer) -> Result<Self::Reply, String>;

    /// What a call has used by its answer, with what only the request and the reply show.
    fn used(&self, _reply: &Self::Reply, usage: CallUsage) -> CallUsage {
        usage
    }

    /// About how many bytes a reply has in memory.
    fn bytes(reply: &Self::Reply) -> usize;

    /// The result: a JSON object with members, in the form of the client's endpoint. None if it would be longer than `limit` bytes.
    fn compose(&self, ask: &Ask<'_>, replies: Vec<Self::Reply>, limit: usize) -> Option<String>;

    /// Bytes that the result has however short the answers are.
    fn least_bytes(&self) -> usize {
        0
    }
}

/// Makes the calls that are not in `replies` yet, `at_once` at a time. After a failure nothing more is asked, and what is under way is
/// waited for: it is paid for.
///
/// # Errors
/// That of the first call that failed.
pub(crate) async fn run<'p, P: Plan, E>(
    plan: &'p P,
    at_once: usize,
    replies: &Replies,
    ask: impl Fn(usize) -> BoxFuture<'p, Result<P::Reply, E>>,
) -> Result<(), E> {
    let mut missing = (0..plan.calls()).filter(|number| !replies.has(*number));
    let (mut under_way, mut failure) = (FuturesUnordered::new(), None);
    loop {
        while failure.is_none()
            && under_way.len() < at_once.max(1)
            && let Some(number) = missing.next()
        {
            under_way.push(ask(number).map(move |outcome| (number, outcome)));
        }
        match under_way.next().await {
            Some((number, Ok(reply))) => {
                let bytes = P::bytes(&reply);
                replies.put(number, reply, bytes);
            }
            Some((_, Err(error))) => _ = failure.get_or_insert(error),
            None => return failure.map_or(Ok(()), Err),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;

    use super::*;

    struct Numbers(usize);

    impl Plan for Numbers {
        type Reply = usize;

        fn sent_as(&self) -> Operation {
            Operation::Rerank
        }

        fn calls(&self) -> usize {
            self.0
        }

        fn request(&self, _: &Ask<'_>, _: usize) -> Result<Outgoing, Unsendable> {
            Err(Unsendable::Key)
        }

        fn read(&self, number: usize, _: &Answer) -> Result<usize, String> {
            Ok(number)
        }

        fn bytes(_: &usize) -> usize {
            1
        }

        fn compose(&self, _: &Ask<'_>, _: Vec<usize>, _: usize) -> Option<String> {
            None
        }
    }

    #[tokio::test]
    async fn what_was_answered_is_not_asked_again() {
        let (plan, replies, asked) = (Numbers(4), Replies::default(), Mutex::new(Vec::new()));
        let ask = |fails: Option<usize>| {
            let asked = &asked;
            move |number: usize| -> BoxFuture<'_, Result<usize, ()>> {
                asked.lock().unwrap().push(number);
                Box::pin(ready(if fails == Some(number) { Err(()) } else { Ok(number) }))
            }
        };
        assert!(run(&plan, 1, &replies, ask(Some(2))).await.is_err());
        assert_eq!(*asked.lock().unwrap(), [0, 1, 2], "what is not made is not made ready");
        assert_eq!(replies.bytes(), 2, "nothing is asked after a failure");
        asked.lock().unwrap().clear();
        run(&plan, 1, &replies, ask(None)).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [2, 3]);
        assert_eq!((replies.take::<usize>(), replies.is_empty()), (vec![0, 1, 2, 3], true));
    }
}
