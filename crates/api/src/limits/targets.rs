use std::cell::RefCell;

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
            refusal: Box::new(refusal),
            target: target.clone(),
            param,
        })?;
    }
    Ok(())
}

/// What was chosen for a model that names no provider.
#[derive(Debug, Default)]
pub(crate) struct Choice(RefCell<Option<Chosen>>);

#[derive(Debug)]
struct Chosen {
    model: String,
    candidates: Vec<Target>,
}

impl Choice {
    /// Where a model goes that names no provider: nowhere without a key, or if what it begins with is one.
    pub(crate) fn choose(&self, model: &str, caller: &Caller, config: &ApiConfig) -> Vec<Target> {
        let Some(owner) = caller.owner() else { return Vec::new() };
        let has_provider =
            model.split_once('/').is_some_and(|(provider, _)| config.providers.contains_key(provider));
        if has_provider || model.is_empty() {
            return Vec::new();
        }
        let mut candidates = caller.rules.choose(owner, model);
        candidates.retain(|target| config.providers.contains_key(target.provider()));
        if !candidates.is_empty() {
            let (model, candidates) = (model.to_owned(), candidates.clone());
            self.0.replace(Some(Chosen { model, candidates }));
        }
        candidates
    }

    /// Those that may be chosen, the one that was first; none where nothing was.
    pub(crate) fn candidates(&self) -> Option<Vec<Target>> {
        self.0.borrow().as_ref().map(|chosen| chosen.candidates.clone())
    }

    /// What tells a job's targets from those of other submits: as its client has written them, whatever was chosen.
    pub(crate) fn written(&self, targets: &[Target]) -> Vec<String> {
        let chosen = self.0.borrow();
        let Some(chosen) = &*chosen else { return targets.iter().map(ToString::to_string).collect() };
        let others = targets.iter().filter(|target| !chosen.candidates.contains(target));
        std::iter::once(chosen.model.clone()).chain(others.map(ToString::to_string)).collect()
    }
}
