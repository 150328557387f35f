use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A form of which nothing has come for so long no longer keeps another from being taken: its client may have lost the connection
/// without our knowing.
const STALLED: Duration = Duration::from_secs(5);

/// Forms with an idempotency key that this process takes: a second one would be read in vain. Cheap to clone.
///
/// What has one process for all of it is not needed for more: of two forms that are taken at once, by whatever processes, only the
/// first to reach Redis is accepted.
#[derive(Clone, Default)]
pub(crate) struct UnderWays(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// When something last came, and of which one.
    all: HashMap<String, (Instant, u64)>,
    begun: u64,
}

/// One of them. Dropping it ends that.
pub(crate) struct UnderWay {
    all: UnderWays,
    name: String,
    number: u64,
}

impl UnderWays {
    /// Begins one; none where another with this name is under way.
    pub(crate) fn begin(&self, name: String) -> Option<UnderWay> {
        let mut inner = self.lock();
        if inner.all.get(&name).is_some_and(|(moved, _)| moved.elapsed() < STALLED) {
            return None;
        }
        inner.begun += 1;
        let number = inner.begun;
        inner.all.insert(name.clone(), (Instant::now(), number));
        Some(UnderWay { all: self.clone(), name, number })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Something has come.
    pub(crate) fn moved(&self) {
        if let Some((moved, number)) = self.all.lock().all.get_mut(&self.name)
            && *number == self.number
        {
            *moved = Instant::now();
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut inner = self.all.lock();
        if inner.all.get(&self.name).is_some_and(|(_, number)| *number == self.number) {
            inner.all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_has_stalled_makes_way() {
        let all = UnderWays::default();
        let begin = |name: &str| all.begin(name.to_owned());
        let (first, other) = (begin("a").unwrap(), begin("b"));
        assert!(other.is_some() && begin("a").is_none());
        tokio::time::advance(STALLED / 2).await;
        first.moved();
        tokio::time::advance(STALLED / 2).await;
        assert!(begin("a").is_none(), "it has moved");
        tokio::time::advance(STALLED / 2).await;
        let second = begin("a").unwrap();
        first.moved();
        drop(first);
        assert!(begin("a").is_none(), "the end of the one before is not its end");
        drop(second);
        assert!(begin("a").is_some());
    }
}
