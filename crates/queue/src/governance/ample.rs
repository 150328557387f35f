use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hermod_governance::{Limit, Measure};
use tokio::time::Instant;

use super::Usage;

/// With room for so many jobs, a limit is not read again for each submit, but only so often: fewer are submitted meanwhile. Whether a job
/// may start is found out when it does, in any case.
const JOBS: u64 = 1000;
const FRESH: Duration = Duration::from_millis(20);
/// Limits of which it is known.
const MOST: usize = 10_000;

/// What was used a moment ago, of limits by their names.
#[derive(Debug, Default)]
pub(super) struct Ample(Mutex<HashMap<String, (Instant, u64)>>);

impl Ample {
    /// Whether each had room for many jobs like this one a moment ago.
    pub(super) fn have_room(&self, wants: &[(Arc<Limit>, u64)]) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = |limit: &Limit, amount: u64| {
            let recent = known.get(&limit.name).filter(|(read, _)| read.elapsed() < FRESH);
            recent.is_some_and(|(_, used)| limit.max.saturating_sub(*used) / JOBS >= amount.max(1))
        };
        // Of jobs that run each is over sooner or later.
        wants.iter().all(|(limit, amount)| match limit.measure {
            Measure::Running => limit.max > 0,
            Measure::Requests | Measure::Tokens | Measure::Cost => has_room(limit, *amount),
        })
    }

    pub(super) fn note(&self, wants: &[(Arc<Limit>, u64)], usage: &[Usage]) {
        let now = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (read, _)| read.elapsed() < FRESH);
        }
        for ((limit, _), usage) in wants.iter().zip(usage) {
            if let Some(recent) = known.get_mut(&limit.name) {
                *recent = (now, usage.used);
            } else if known.len() < MOST {
                known.insert(limit.name.clone(), (now, usage.used));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hermod_governance::{Scope, Window};

    use super::*;

    fn want(max: u64, amount: u64) -> (Arc<Limit>, u64) {
        let (name, id, scope) = ("x".to_owned(), "x".to_owned(), Scope::Key("k".to_owned()));
        (Arc::new(Limit { name, id, measure: Measure::Tokens, max, window: Window::Never, scope }), amount)
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_read_just_now_and_had_much_room_is_not_read_again() {
        let ample = Ample::default();
        let wants = [want(100_000, 10)];
        assert!(!ample.have_room(&wants), "nothing is known");
        ample.note(&wants, &[Usage { used: 90_000, ..Usage::default() }]);
        assert!(ample.have_room(&wants));
        assert!(!ample.have_room(&[want(100_000, 11)]), "not for a thousand of these");
        assert!(!ample.have_room(&[want(99_999, 10)]), "the limit was lowered");
        tokio::time::advance(FRESH).await;
        assert!(!ample.have_room(&wants), "it was long ago");
    }
}
