use secrecy::{ExposeSecret, SecretString};

/// What stands in place of a secret.
const MASK: &str = "****";
/// A shorter secret would mask ordinary words.
const SHORTEST_MASKED: usize = 4;

/// Takes secrets out of the words of somebody who was sent them, and may repeat them.
#[derive(Clone, Debug)]
pub struct Mask(Vec<SecretString>);

impl Mask {
    /// One that takes out these.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let is_masked = |secret: &&SecretString| secret.expose_secret().len() >= SHORTEST_MASKED;
        let mut secrets: Vec<_> = secrets.into_iter().filter(is_masked).cloned().collect();
        // One that begins with another must go first, or its end would stay.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
        Self(secrets)
    }

    /// `text` without them. Mask it before it is cut: half a secret is not found.
    pub fn whole(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| text.replace(secret.expose_secret(), MASK))
    }

    /// The same for a text of which no more than its beginning is there: what may be the first part of a secret is taken from its end.
    pub fn beginning(&self, text: String) -> String {
        let mut text = self.whole(text);
        let part_of = |secret: &SecretString| {
            let secret = secret.expose_secret();
            let ends = secret.char_indices().map(|(at, _)| at).rev().filter(|at| *at >= SHORTEST_MASKED);
            ends.filter_map(|at| secret.get(..at)).find(|part| text.ends_with(part)).map(str::len)
        };
        if let Some(length) = self.0.iter().filter_map(part_of).max() {
            text.truncate(text.len() - length);
            text.push_str(MASK);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(secrets: &[&str]) -> Mask {
        let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
        Mask::new(&secrets)
    }

    #[test]
    fn a_repeated_secret_is_masked() {
        let whole = |secrets: &[&str], text: &str| mask(secrets).whole(text.to_owned());
        assert_eq!(whole(&["sk-live"], "Incorrect key: sk-live, sk-live."), "Incorrect key: ****, ****.");
        assert_eq!(whole(&["sk-1", "sk-1234"], "sk-1234 sk-1"), "**** ****", "the longer one first");
        assert_eq!(whole(&["abc", ""], "abc"), "abc", "too short to be one");
    }

    #[test]
    fn a_secret_that_is_cut_off_is_masked_too() {
        let beginning = |text: &str| mask(&["secret-1", "secretive"]).beginning(text.to_owned());
        assert_eq!(beginning("echo: secr"), "echo: ****");
        assert_eq!(beginning("echo: secreti"), "echo: ****");
        assert_eq!(beginning("echo: secret-"), "echo: ****");
        assert_eq!(beginning("echo: secret-1"), "echo: ****");
        assert_eq!(beginning("echo: sec"), "echo: sec", "as short a part may be anything");
        assert_eq!(beginning("secretly"), "secretly");
        assert_eq!(mask(&["é-é-é"]).beginning("é-é".to_owned()), "****");
    }
}
