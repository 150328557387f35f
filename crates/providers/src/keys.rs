use hermod_types::config::{KeyAccess, Models, ProviderKey};
use secrecy::{ExposeSecret, SecretString};

/// A provider's keys. A provider without keys gets a single empty key, so callers need no special case.
#[derive(Debug)]
pub(crate) struct KeyPool(Vec<Key>);

/// One key of a provider.
#[derive(Debug)]
pub struct Key {
    name: Option<String>,
    value: Option<SecretString>,
    access: KeyAccess,
    models: Models,
    weight: f64,
    aliases: Vec<(String, String)>,
}

impl KeyPool {
    pub(crate) fn new(keys: &[ProviderKey]) -> Self {
        if keys.is_empty() {
            return Self(vec![Key::none()]);
        }
        let key = |key: &ProviderKey| Key {
            name: Some(key.name.clone()),
            value: Some(key.value.clone()).filter(|value| !value.expose_secret().is_empty()),
            access: key.access.clone(),
            models: key.models.clone(),
            weight: key.weight,
            aliases: key.aliases.iter().map(|(from, to)| (from.clone(), to.clone())).collect(),
        };
        Self(keys.iter().map(key).collect())
    }

    /// The keys that serve `model` and are in `allowed`. A key of weight 0 serves nothing.
    pub(crate) fn serving<'a>(&'a self, model: &str, allowed: &Models) -> Vec<&'a Key> {
        let serves = |key: &&Key| {
            key.weight > 0.0
                && key.name().is_none_or(|name| allowed.contains(name))
                && (key.models.contains(model) || key.alias(model).is_some())
        };
        self.0.iter().filter(serves).collect()
    }
}

impl Key {
    /// The empty key.
    const fn none() -> Self {
        Self {
            name: None,
            value: None,
            access: KeyAccess::Plain,
            models: Models::All,
            weight: 1.0,
            aliases: Vec::new(),
        }
    }

    /// The name in logs and journals. The empty key has none.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether the configuration names `model` for this key, rather than allowing all.
    pub fn names(&self, model: &str) -> bool {
        self.alias(model).is_some() || self.models.names().iter().any(|named| named == model)
    }

    pub(crate) const fn value(&self) -> Option<&SecretString> {
        self.value.as_ref()
    }

    pub(crate) const fn access(&self) -> &KeyAccess {
        &self.access
    }

    /// The provider's name of `model`, where this key has an alias for it.
    pub fn model<'a>(&'a self, model: &'a str) -> &'a str {
        self.alias(model).unwrap_or(model)
    }

    fn alias(&self, model: &str) -> Option<&str> {
        self.aliases.iter().find(|(from, _)| from == model).map(|(_, to)| to.as_str())
    }
}

/// Picks one of `keys` at random, by weight. None if `keys` is empty.
pub fn choose<'a>(keys: &[&'a Key]) -> Option<&'a Key> {
    if let [only] = keys {
        return Some(only);
    }
    let mut at = fastrand::f64() * keys.iter().map(|key| key.weight).sum::<f64>();
    let chosen = keys.iter().find(|key| {
        at -= key.weight;
        at < 0.0
    });
    chosen.or(keys.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, models: Models, weight: f64) -> ProviderKey {
        let aliases = [("fast".to_owned(), "gpt-3.5".to_owned())].into();
        let value = format!("sk-{name}").into();
        ProviderKey { name: name.to_owned(), value, access: KeyAccess::Plain, models, weight, aliases }
    }

    fn serving(pool: &KeyPool, model: &str, allowed: &Models) -> Vec<String> {
        let keys = pool.serving(model, allowed);
        keys.iter().map(|key| format!("{} {}", key.name().unwrap_or("-"), key.model(model))).collect()
    }

    #[test]
    fn a_key_serves_its_models_and_aliases_only() {
        let pool = KeyPool::new(&[key("one", Models::Only(vec!["gpt-4".into()]), 1.0)]);
        assert_eq!(serving(&pool, "gpt-4", &Models::All), ["one gpt-4"]);
        assert_eq!(serving(&pool, "fast", &Models::All), ["one gpt-3.5"]);
        assert!(serving(&pool, "other", &Models::All).is_empty());
        let all = KeyPool::new(&[key("one", Models::All, 1.0)]);
        let names = |pool: &KeyPool, model| pool.0[0].names(model);
        assert!(names(&pool, "gpt-4") && names(&pool, "fast") && !names(&pool, "other"));
        assert!(names(&all, "fast") && !names(&all, "gpt-4"), "it may be any word of a client");
        assert!(serving(&pool, "gpt-4", &Models::Only(vec!["two".into()])).is_empty());
        assert_eq!(serving(&KeyPool::new(&[]), "any", &Models::Only(Vec::new())), ["- any"], "it needs none");
    }

    #[test]
    fn weight_is_a_share_and_zero_is_never() {
        let pool = KeyPool::new(&[
            key("one", Models::All, 3.0),
            key("two", Models::All, 1.0),
            key("off", Models::All, 0.0),
        ]);
        let keys = pool.serving("m", &Models::All);
        let mut ones = 0;
        for _ in 0..4000 {
            match choose(&keys).and_then(Key::name) {
                Some("one") => ones += 1,
                name => assert_eq!(name, Some("two")),
            }
        }
        assert!((2700..3300).contains(&ones), "{ones}");
        assert!(choose(&[]).is_none());
    }
}
