//! Reads the operator's list of prices, at the start and then now and again.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use hermod_governance::{PriceTable, Prices};
use hermod_types::governance::PricingSource;
use tokio_util::sync::CancellationToken;

/// The longest that a list may be. `LiteLLM`'s is 4 MB.
const MOST_BYTES: usize = 32 << 20;
/// The longest that it may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How soon a list that could not be read is tried again, if that is before its time.
const RETRY: Duration = Duration::from_secs(300);

/// Keeps `prices` as the list at `source` has them, until `stop`. A file is read before this returns. While the list cannot be read, the
/// last one counts, or the table that ships.
pub async fn follow_prices(
    source: PricingSource,
    prices: Prices,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let url = source.url.clone();
    let mut read = match &url {
        Some(url) if url.starts_with("file://") => Some(load(url, &prices).await),
        Some(_) | None => None,
    };
    async move {
        let Some(url) = url else { return };
        loop {
            let is_read = match read.take() {
                Some(is_read) => is_read,
                None => load(&url, &prices).await,
            };
            let wait = if is_read { source.sync } else { source.sync.min(RETRY) };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }
}

/// Whether the list could be read.
async fn load(url: &str, prices: &Prices) -> bool {
    let table = match text_at(url).await {
        Ok(text) => PriceTable::parse(&text).context("framework.pricing.pricing_url"),
        Err(error) => Err(error),
    };
    match table {
        Ok(table) => {
            tracing::info!(models = table.len(), "prices are those of pricing_url");
            prices.set_list(table);
            true
        }
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "pricing_url is not read; the prices stay as they are"
            );
            false
        }
    }
}

async fn text_at(url: &str) -> anyhow::Result<String> {
    if let Some(path) = url.strip_prefix("file://") {
        let path = path.to_owned();
        return tokio::task::spawn_blocking(move || read_file(&path)).await?;
    }
    // An address may hold a secret: errors leave it out.
    let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
    let answer = client.get(url).send().await.map_err(reqwest::Error::without_url)?;
    let mut answer = answer.error_for_status().map_err(reqwest::Error::without_url)?;
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        text.extend_from_slice(&piece);
        if text.len() > MOST_BYTES {
            bail!("it is longer than {MOST_BYTES} bytes");
        }
    }
    Ok(String::from_utf8(text)?)
}

fn read_file(path: &str) -> anyhow::Result<String> {
    let file = std::fs::File::open(path).with_context(|| path.to_owned())?;
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    file.take(most).read_to_string(&mut text).with_context(|| path.to_owned())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use hermod_governance::{LiveRules, PricedCall};
    use hermod_types::Operation;

    use super::*;

    fn knows(prices: &Prices) -> bool {
        let target = "mine/model".parse().unwrap();
        let operation = Operation::ChatCompletion;
        prices.find(&PricedCall { operation, target: &target, resolved: None, provider_key: None }).is_some()
    }

    #[tokio::test]
    async fn a_file_is_read_at_once_and_one_that_is_none_changes_nothing() {
        let path = std::env::temp_dir().join(format!("hermod-prices-{}.json", std::process::id()));
        let prices = Prices::new([], LiveRules::default());
        let url = format!("file://{}", path.display());
        let source = || PricingSource { url: Some(url.clone()), ..PricingSource::default() };
        let stopped = CancellationToken::new();
        stopped.cancel();
        let follow = async || follow_prices(source(), prices.clone(), stopped.clone()).await.await;
        follow().await;
        assert!(!knows(&prices));
        let list = r#"{"mine/model":{"provider":"mine","input_cost_per_token":1e-6}}"#;
        std::fs::write(&path, list).unwrap();
        follow().await;
        assert!(knows(&prices));
        for broken in ["", "{}", "<html>"] {
            std::fs::write(&path, broken).unwrap();
            follow().await;
            assert!(knows(&prices), "the last one counts");
        }
        std::fs::remove_file(path).unwrap();
    }
}
