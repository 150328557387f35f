use hermod_types::{ApiConfig, Target, Timestamp};

use crate::caller::Caller;
use crate::error::ApiError;

/// Refuses now what no worker could run, or what the virtual key does not allow.
pub(crate) fn check_targets(targets: &[Target], config: &ApiConfig, caller: &Caller) -> Result<(), ApiError> {
    let now = Timestamp::now();
    for (index, target) in targets.iter().enumerate() {
        let param = if index == 0 { "model" } else { "fallbacks" };
        if !config.providers.contains_key(target.provider()) {
            let names: Vec<_> = config.providers.keys().map(String::as_str).collect();
            let configured = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(ApiError::ProviderNotConfigured { target: target.clone(), param, configured });
        }
        caller.rules.judge(caller.owner(), target, now).map_err(|refusal| ApiError::TargetRefused {
            refusal,
            target: target.clone(),
            param,
        })?;
    }
    Ok(())
}

/// Where a model goes that names no provider: nowhere without a key, or if what it begins with is one.
pub(crate) fn choose(model: &str, caller: &Caller, config: &ApiConfig) -> Vec<Target> {
    let Some(owner) = caller.owner() else { return Vec::new() };
    let has_provider =
        model.split_once('/').is_some_and(|(provider, _)| config.providers.contains_key(provider));
    if has_provider || model.is_empty() {
        return Vec::new();
    }
    let mut targets = caller.rules.choose(owner, model);
    targets.retain(|target| config.providers.contains_key(target.provider()));
    targets
}
