use hermod_types::config::{Models, ProviderKey};
use secrecy::SecretString;

/// A provider's keys.
#[derive(Debug)]
pub(crate) struct KeyPool(Vec<Key>);

#[derive(Debug)]
struct Key {
    name: String,
    value: SecretString,
    models: Models,
    weight: f64,
    aliases: Vec<(String, String)>,
}

/// A key, and what it calls the model.
#[derive(Debug)]
pub(crate) struct Chosen<'a> {
    pub(crate) value: &'a SecretString,
    pub(crate) model: &'a str,
}

impl KeyPool {
    pub(crate) fn new(keys: &[ProviderKey]) -> Self {
        let key = |key: &ProviderKey| Key {
            name: key.name.clone(),
            value: key.value.clone(),
            models: key.models.clone(),
            weight: key.weight,
            aliases: key.aliases.iter().map(|(from, to)| (from.clone(), to.clone())).collect(),
        };
        Self(keys.iter().map(key).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of the keys that serve `model` and are in `allowed`, by weight.
    pub(crate) fn choose<'a>(&'a self, model: &'a str, allowed: &Models) -> Option<Chosen<'a>> {
        let serves = |key: &&Key| {
            key.weight > 0.0
                && allowed.contains(&key.name)
                && (key.models.contains(model) || key.alias(model).is_some())
        };
        let candidates: Vec<&Key> = self.0.iter().filter(serves).collect();
        let total: f64 = candidates.iter().map(|key| key.weight).sum();
        let mut at = fastrand::f64() * total;
        let key = candidates.iter().find(|key| {
            at -= key.weight;
            at < 0.0
        });
        let key = key.or(candidates.last())?;
        Some(Chosen { value: &key.value, model: key.alias(model).unwrap_or(model) })
    }
}

impl Key {
    fn alias(&self, model: &str) -> Option<&str> {
        self.aliases.iter().find(|(from, _)| from == model).map(|(_, to)| to.as_str())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn key(name: &str, models: Models, weight: f64) -> ProviderKey {
        let aliases = [("fast".to_owned(), "gpt-3.5".to_owned())].into();
        ProviderKey { name: name.to_owned(), value: format!("sk-{name}").into(), models, weight, aliases }
    }

    fn chosen(pool: &KeyPool, model: &str, allowed: &Models) -> Option<String> {
        pool.choose(model, allowed).map(|chosen| format!("{} {}", chosen.value.expose_secret(), chosen.model))
    }

    #[test]
    fn a_key_serves_its_models_and_aliases_only() {
        let pool = KeyPool::new(&[key("one", Models::Only(vec!["gpt-4".into()]), 1.0)]);
        assert_eq!(chosen(&pool, "gpt-4", &Models::All).as_deref(), Some("sk-one gpt-4"));
        assert_eq!(chosen(&pool, "fast", &Models::All).as_deref(), Some("sk-one gpt-3.5"));
        assert_eq!(chosen(&pool, "other", &Models::All), None);
        assert_eq!(chosen(&pool, "gpt-4", &Models::Only(vec!["two".into()])), None);
    }

    #[test]
    fn weight_is_a_share_and_zero_is_never() {
        let pool = KeyPool::new(&[
            key("one", Models::All, 3.0),
            key("two", Models::All, 1.0),
            key("off", Models::All, 0.0),
        ]);
        let mut counts = [0; 3];
        for _ in 0..4000 {
            match chosen(&pool, "m", &Models::All).unwrap().as_str() {
                "sk-one m" => counts[0] += 1,
                "sk-two m" => counts[1] += 1,
                _ => counts[2] += 1,
            }
        }
        assert_eq!(counts[2], 0);
        assert!((2700..3300).contains(&counts[0]), "{counts:?}");
    }
}
