use std::collections::HashMap;
use std::sync::Arc;

use hermod_types::config::Models;
use hermod_types::governance::{ProviderGrant, VirtualKey, pattern_of};
use regex::Regex;

use crate::{Refusal, RefusalKind};

/// What a virtual key may use, ready to be asked.
#[derive(Debug)]
pub(super) struct Key {
    /// Its place among the definitions.
    pub(super) index: usize,
    grants: HashMap<String, Grant>,
    /// Whether providers without a grant are its, too.
    is_of_all: bool,
}

#[derive(Debug)]
struct Grant {
    /// None for all.
    allowed: Option<ModelSet>,
    blocked: ModelSet,
    /// Whether one of the provider's keys may serve it.
    has_keys: bool,
}

#[derive(Debug, Default)]
struct ModelSet {
    names: Vec<String>,
    patterns: Vec<Arc<Regex>>,
}

/// Patterns that were compiled, by their entries: many keys have the same. None for one that is none.
#[derive(Default)]
pub(super) struct Patterns(HashMap<String, Option<Arc<Regex>>>);

impl Patterns {
    /// Of what is no pattern, which is a name.
    fn of(&mut self, entry: &str) -> Entry {
        if let Some(known) = self.0.get(entry) {
            return known.clone().map_or(Entry::Nothing, Entry::Pattern);
        }
        let compiled = match pattern_of(entry) {
            Ok(None) => return Entry::Name,
            Ok(Some(pattern)) => Some(Arc::new(pattern)),
            Err(_) => None,
        };
        self.0.insert(entry.to_owned(), compiled.clone());
        compiled.map_or(Entry::Nothing, Entry::Pattern)
    }
}

enum Entry {
    Name,
    Pattern(Arc<Regex>),
    Nothing,
}

impl ModelSet {
    fn new(entries: &[String], patterns: &mut Patterns) -> Self {
        let mut set = Self::default();
        for entry in entries {
            match patterns.of(entry) {
                Entry::Name => set.names.push(entry.clone()),
                Entry::Pattern(pattern) => set.patterns.push(pattern),
                Entry::Nothing => {}
            }
        }
        set
    }

    fn contains(&self, model: &str) -> bool {
        self.names.iter().any(|name| name == model)
            || self.patterns.iter().any(|pattern| pattern.is_match(model))
    }
}

impl Grant {
    fn new(grant: &ProviderGrant, patterns: &mut Patterns) -> Self {
        Self {
            allowed: match &grant.allowed_models {
                Models::All => None,
                Models::Only(entries) => Some(ModelSet::new(entries, patterns)),
            },
            blocked: blocked(&grant.blacklisted_models, patterns),
            has_keys: grant.key_ids != Models::NONE,
        }
    }
}

/// A list of what is not allowed, in which `*` is all.
fn blocked(entries: &[String], patterns: &mut Patterns) -> ModelSet {
    let entries: Vec<String> = entries
        .iter()
        .map(|entry| if entry == "*" { "regex:.*".to_owned() } else { entry.clone() })
        .collect();
    ModelSet::new(&entries, patterns)
}

impl Key {
    pub(super) fn new(index: usize, key: &VirtualKey, patterns: &mut Patterns) -> Self {
        let mut grants = HashMap::with_capacity(key.grants.len());
        for grant in &key.grants {
            grants.entry(grant.provider.clone()).or_insert_with(|| Grant::new(grant, patterns));
        }
        Self { index, grants, is_of_all: key.allow_all_providers }
    }

    /// Whether it may use this model of this provider.
    ///
    /// # Errors
    /// Why it may not, in Bifrost's words.
    pub(super) fn judge(&self, provider: &str, model: &str) -> Result<(), Refusal> {
        let refused = |kind, what, name| {
            Err(Refusal::new(kind, format!("{what} '{name}' is not allowed for this virtual key")))
        };
        let grant = match self.grants.get(provider) {
            None if self.is_of_all => return Ok(()),
            None => return refused(RefusalKind::ProviderBlocked, "Provider", provider),
            Some(grant) => grant,
        };
        let is_allowed = grant.allowed.as_ref().is_none_or(|allowed| allowed.contains(model));
        if !is_allowed || grant.blocked.contains(model) {
            return refused(RefusalKind::ModelBlocked, "Model", model);
        }
        if !grant.has_keys {
            let message = format!(
                "Provider '{provider}' is not allowed for this virtual key: key_ids allows none of its keys"
            );
            return Err(Refusal::new(RefusalKind::ProviderBlocked, message));
        }
        Ok(())
    }
}
