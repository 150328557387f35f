//! What an API process does twice a second: it follows what others define, and makes the values that keys of the file lack.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use hermod_queue::QueueError;
use hermod_queue::governance::{MadeValue, name_of_made};
use hermod_types::governance::VirtualKey;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::state::{Governance, new_value};

/// So a change counts within a second.
const TICK: Duration = Duration::from_millis(500);

/// A value that was offered for a key of the file, and may have been kept.
struct Offer {
    value: SecretString,
    row: String,
}

impl Governance {
    /// Follows until `stop`.
    pub(crate) async fn follow(self, stop: CancellationToken) {
        let mut offers = BTreeMap::new();
        loop {
            if let Err(error) = self.tick(&mut offers).await {
                tracing::debug!(%error, "what is defined is not read yet");
            }
            if stop.run_until_cancelled(sleep(TICK)).await.is_none() {
                return;
            }
        }
    }

    async fn tick(&self, offers: &mut BTreeMap<String, Offer>) -> Result<(), QueueError> {
        let version = self.live.store().version().await?;
        if self.live.follow(version.as_deref()).await? {
            tracing::info!(version, "what is defined has changed");
        }
        let Some(known) = self.live.known() else { return Ok(()) };
        let of_file = known.all().virtual_keys.iter().take(self.live.file().virtual_keys.len());
        for key in of_file.filter(|key| key.value_sha256.is_none()) {
            self.make_value(&key.id, offers).await?;
        }
        Ok(())
    }

    /// Makes the value of a key of the file, unless another process has.
    async fn make_value(&self, key: &str, offers: &mut BTreeMap<String, Offer>) -> Result<(), QueueError> {
        // One whose answer was lost is offered again: only who knows it can tell it.
        let offer = match offers.remove(key) {
            Some(offer) => offer,
            None => self.new_offer(key)?,
        };
        match self.live.store().keep(&name_of_made(key), &offer.row).await {
            Ok(kept) if kept == offer.row => self.tell(key, &offer.value),
            Ok(_) => {}
            Err(error) => {
                offers.insert(key.to_owned(), offer);
                return Err(error);
            }
        }
        Ok(())
    }

    fn new_offer(&self, key: &str) -> Result<Offer, QueueError> {
        let unexpected = |error: String| QueueError::Unexpected(error);
        let value = new_value();
        let sealed = self.sealed(key, &value).map_err(|error| unexpected(error.to_string()))?;
        let mut known = VirtualKey::new(key);
        known.set_value(&value);
        let sha256 = known.value_sha256.ok_or_else(|| unexpected("a value has no hash".to_owned()))?;
        let made = MadeValue { sha256, last4: known.value_last4, sealed };
        let row = serde_json::to_string(&made).map_err(|error| unexpected(error.to_string()))?;
        Ok(Offer { value, row })
    }

    /// Says that a key has a value now; where it is not kept, this is the only time that it is shown.
    fn tell(&self, key: &str, value: &SecretString) {
        if self.encrypts() {
            tracing::info!(
                virtual_key = key,
                "a value was made for a virtual key; `hermod keys show` shows it"
            );
            return;
        }
        tracing::info!(virtual_key = key, "a value was made for a virtual key; standard error shows it once");
        let value = value.expose_secret();
        let line =
            format!("virtual key {key:?} had no value and was given one, which is not shown again: {value}");
        if writeln!(std::io::stderr(), "{line}").is_err() {
            tracing::warn!(
                virtual_key = key,
                "standard error is closed: delete the made value to have another one"
            );
        }
    }
}
