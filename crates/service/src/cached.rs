use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How old a value may be.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A value that is fetched at most once a second, however many ask for it: they wait for one fetch together.
#[derive(Debug)]
pub struct Cached<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Cached<T> {
    /// The value, from `fetch` if there is none younger than a second.
    pub async fn get(&self, fetch: impl AsyncFnOnce() -> T) -> T {
        let mut cached = self.0.lock().await;
        match &*cached {
            Some((fetched, value)) if fetched.elapsed() < MAX_AGE => value.clone(),
            Some(_) | None => {
                let value = fetch().await;
                // Counted from now: while Redis hangs, a fetch takes longer than a value may be old.
                cached.insert((Instant::now(), value)).1.clone()
            }
        }
    }
}
