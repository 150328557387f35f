use std::time::Duration;

use anyhow::bail;
use hermod_queue::Store;
use hermod_queue::governance::{DefinitionStore, name_of};
use hermod_types::governance::{Definitions, Kind};
use tokio::time::sleep;

use crate::Shutdown;

/// The wait before Redis is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// Sees to it that each id under `hermod.keys` that the file does not define is that of a key that was made over HTTP. Only where
/// there is one Redis is asked, and waited for.
///
/// # Errors
/// All that no key has, one a line.
pub async fn check_file_keys(
    store: &Store,
    definitions: &Definitions,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    if definitions.unknown_keys().next().is_none() {
        return Ok(());
    }
    let stored = DefinitionStore::new(store);
    let rows = loop {
        match stored.read().await {
            Ok(stored) => break stored.rows,
            Err(error) => tracing::warn!(%error, "waiting for Redis, which may know keys of hermod.keys"),
        }
        if shutdown.drain.run_until_cancelled(sleep(RETRY)).await.is_none() {
            return Ok(());
        }
    };
    let is_made = |id: &&str| rows.contains_key(&name_of(Kind::VirtualKeys, id));
    let unknown: Vec<_> = definitions.unknown_keys().filter(|id| !is_made(id)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> =
        unknown.iter().map(|id| format!("hermod.keys.{id}: no virtual key has this id")).collect();
    bail!("the configuration is not usable:\n{}", lines.join("\n"))
}
