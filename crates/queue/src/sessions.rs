//! Logins of administrators, valid on every API process.

use std::time::Duration;

use crate::connection::Call;
use crate::{QueueError, Store, keys};

/// Logins that have not ended: one key each, which expires. Redis does not know their tokens. Cheap to clone.
#[derive(Clone)]
pub struct Sessions(Store);

impl Sessions {
    /// Those in `store`.
    pub fn new(store: &Store) -> Self {
        Self(store.clone())
    }

    /// Begins one, which ends by itself after `length`. `token` is a hash of the token in hexadecimal digits, `value` what its
    /// finder is to know.
    ///
    /// # Errors
    /// If Redis does not answer; likewise for all that follow.
    pub async fn begin(&self, token: &str, value: &str, length: Duration) -> Result<(), QueueError> {
        let mut command = redis::cmd("SET");
        command.arg(keys::session(token)).arg(value).arg("EX").arg(length.as_secs().max(1));
        self.0.shared().run(Call::Command(&command)).await
    }

    /// What was given at its begin; none for one that is unknown or has ended.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn find(&self, token: &str) -> Result<Option<String>, QueueError> {
        self.0.shared().run(Call::Command(redis::cmd("GET").arg(keys::session(token)))).await
    }

    /// Ends one.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn end(&self, token: &str) -> Result<(), QueueError> {
        self.0.shared().run(Call::Command(redis::cmd("DEL").arg(keys::session(token)))).await
    }
}
