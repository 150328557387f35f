use hermod_types::config::ProviderConfig;
use hermod_types::{ErrorDetail, Mask};
use secrecy::SecretString;

/// What an error's message is cut to, in characters: nobody reads more, and a page of HTML is none.
const LONGEST_MESSAGE: usize = 2000;
/// The same for its type, code and param.
const LONGEST_WORD: usize = 200;

/// All that a provider is sent and must not reach a client, should the provider repeat it.
#[derive(Debug)]
pub(crate) struct Secrets(Mask);

impl Secrets {
    pub(crate) fn of(config: &ProviderConfig) -> Self {
        let keys = config.keys.iter().flat_map(|key| key.secrets());
        Self(Mask::new(keys.chain(config.extra_headers.iter().map(|(_, value)| value))))
    }

    /// One that lives for an hour and is in no configuration.
    pub(crate) fn of_token(token: &SecretString) -> Self {
        Self(Mask::new([token]))
    }

    /// A provider's words without secrets, and of a length that can be kept.
    pub(crate) fn mask(&self, detail: ErrorDetail) -> ErrorDetail {
        let word = |text: Option<String>| text.map(|text| self.mask_text(text, LONGEST_WORD));
        ErrorDetail {
            message: self.mask_text(detail.message, LONGEST_MESSAGE),
            kind: word(detail.kind),
            code: word(detail.code),
            param: word(detail.param),
        }
    }

    /// Masks before it cuts: half a secret would not be found.
    fn mask_text(&self, text: String, longest: usize) -> String {
        self.0.whole(text).chars().take(longest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let mut config = ProviderConfig::new(hermod_types::config::ProviderKind::OpenAi);
        config.extra_headers =
            values.iter().map(|value| ("x".to_owned(), SecretString::from(*value))).collect();
        Secrets::of(&config)
    }

    fn masked(secrets: &Secrets, message: &str) -> String {
        secrets.mask(ErrorDetail { message: message.to_owned(), ..ErrorDetail::default() }).message
    }

    #[test]
    fn keys_and_headers_are_masked() {
        assert_eq!(masked(&secrets(&["sk-1", "sk-1234"]), "sk-1234 sk-1"), "**** ****");
        assert_eq!(masked(&Secrets::of_token(&"token".into()), "a token"), "a ****");
    }

    #[test]
    fn a_secret_across_the_cut_is_masked_too() {
        let message = format!("{}sk-secret", "x".repeat(LONGEST_MESSAGE - 4));
        assert_eq!(
            masked(&secrets(&["sk-secret"]), &message),
            format!("{}****", "x".repeat(LONGEST_MESSAGE - 4))
        );
    }

    #[test]
    fn all_members_are_cut() {
        let detail = ErrorDetail {
            message: "m".repeat(9000),
            kind: Some("k".repeat(9000)),
            code: Some("c".repeat(9000)),
            param: Some("p".repeat(9000)),
        };
        let cut = secrets(&[]).mask(detail);
        let total =
            cut.message.len() + cut.kind.unwrap().len() + cut.code.unwrap().len() + cut.param.unwrap().len();
        assert_eq!(total, LONGEST_MESSAGE + 3 * LONGEST_WORD);
    }
}
