use hermod_types::Target;

use super::Rules;

impl Rules {
    /// Where a job of `owner` goes whose model names no provider: to one that is drawn by the weights of those that the key may use
    /// for it, and behind it the others, the heaviest first. None for a key without such a provider.
    pub fn choose(&self, owner: &str, model: &str) -> Vec<Target> {
        let (Some(key), Some(rules)) = (self.key(owner), self.keys.get(owner)) else { return Vec::new() };
        let candidate = |grant: &hermod_types::governance::ProviderGrant| {
            let weight = grant.weight?;
            rules.judge(&grant.provider, model).ok()?;
            let target = format!("{}/{model}", grant.provider).parse().ok()?;
            Some((weight, target))
        };
        let mut candidates: Vec<(f64, Target)> = key.grants.iter().filter_map(candidate).collect();
        candidates.sort_by(|(first, _), (second, _)| second.total_cmp(first));
        let all: f64 = candidates.iter().map(|(weight, _)| weight).sum();
        let mut drawn = fastrand::f64() * all;
        let place = candidates.iter().position(|(weight, _)| {
            drawn -= weight;
            drawn < 0.0
        });
        if let Some(place) = place {
            // The others stay in their order.
            candidates.get_mut(..=place).unwrap_or_default().rotate_right(1);
        }
        candidates.into_iter().map(|(_, target)| target).collect()
    }
}
