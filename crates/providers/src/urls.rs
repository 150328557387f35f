use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use reqwest::Url;

/// URLs that are kept; clients choose the models that stand in some.
const MOST: usize = 256;

/// The URLs of a provider's calls: reading one costs about as much as the rest of building a request.
#[derive(Debug, Default)]
pub(crate) struct Urls(RwLock<HashMap<String, Url>>);

impl Urls {
    /// `text` as a URL; none if it is none.
    pub(crate) fn read(&self, text: &str) -> Option<Url> {
        if let Some(url) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Some(url.clone());
        }
        let url = Url::parse(text).ok()?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(text.to_owned(), url.clone());
        Some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_few_and_reads_any() {
        let urls = Urls::default();
        for number in 0..1000 {
            let text = format!("http://host/{number}");
            assert_eq!(urls.read(&text), urls.read(&text));
        }
        assert!(urls.0.read().unwrap().len() <= MOST);
        assert_eq!(urls.read("no url"), None);
    }
}
