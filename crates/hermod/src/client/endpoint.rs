//! The words for endpoints.

use anyhow::{anyhow, bail};
use hermod_types::Operation;

/// What an endpoint is called here. Its path is understood, too.
pub(super) const fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::TextCompletion => "completion",
        Operation::ChatCompletion => "chat",
        Operation::Responses => "responses",
        Operation::Embedding => "embeddings",
        Operation::Speech => "speech",
        Operation::Transcription => "transcriptions",
        Operation::ImageGeneration => "images",
        Operation::ImageEdit => "edits",
        Operation::ImageVariation => "variations",
        Operation::Rerank => "rerank",
        Operation::Ocr => "ocr",
        Operation::Messages => "messages",
    }
}

/// Whether its answer is, or has, something to save in a file.
pub(super) const fn answers_with_media(operation: Operation) -> bool {
    match operation {
        Operation::Speech
        | Operation::Transcription
        | Operation::ImageGeneration
        | Operation::ImageEdit
        | Operation::ImageVariation => true,
        Operation::TextCompletion
        | Operation::ChatCompletion
        | Operation::Responses
        | Operation::Embedding
        | Operation::Rerank
        | Operation::Ocr
        | Operation::Messages => false,
    }
}

/// Those that have an endpoint.
pub(super) fn all() -> impl Iterator<Item = Operation> {
    Operation::all().filter(|operation| operation.is_public())
}

fn known(name: &str) -> Option<Operation> {
    Operation::from_path(name).or_else(|| all().find(|operation| word(*operation) == name))
}

/// The endpoint with this word or path.
///
/// # Errors
/// If there is none: with the word that was probably meant, or all of them.
pub(super) fn parse(name: &str) -> anyhow::Result<Operation> {
    known(name).ok_or_else(|| {
        let near = all().flat_map(|operation| [word(operation), operation.path()]);
        let near = near.map(|known| (strsim::osa_distance(name, known), known)).min();
        match near {
            Some((1..=2, near)) => anyhow!("no endpoint is called {name}; did you mean {near}?"),
            Some(_) | None => {
                let all: Vec<_> = all().map(word).collect();
                anyhow!("no endpoint is called {name}; there are {}", all.join(", "))
            }
        }
    })
}

/// `[ENDPOINT] [TEXT]`: a text alone is a text completion; the name of an endpoint alone is that endpoint.
///
/// # Errors
/// If there are two words, and the first is no endpoint.
pub(super) fn with_text(words: &[String]) -> anyhow::Result<(Operation, Option<&str>)> {
    match words {
        [] => Ok((Operation::TextCompletion, None)),
        [one] => Ok(known(one).map_or((Operation::TextCompletion, Some(one)), |operation| (operation, None))),
        [endpoint, text] => Ok((parse(endpoint)?, Some(text))),
        [..] => bail!("expected an endpoint and a text; a text with blanks needs quotes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_word_and_a_path() {
        for operation in all() {
            assert_eq!(parse(word(operation)).unwrap(), operation);
            assert_eq!(parse(operation.path()).unwrap(), operation);
        }
        for (name, said) in [
            ("chta", "no endpoint is called chta; did you mean chat?"),
            (
                "audio/trancriptions",
                "no endpoint is called audio/trancriptions; did you mean audio/transcriptions?",
            ),
            (
                "video",
                "no endpoint is called video; there are completion, chat, responses, embeddings, speech, ",
            ),
        ] {
            let error = parse(name).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn a_text_alone_is_a_completion_as_ever() {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (words, operation, text) in [
            (owned(&["Hello"]), Operation::TextCompletion, Some("Hello")),
            (owned(&["chat", "Hello"]), Operation::ChatCompletion, Some("Hello")),
            (owned(&["images/edits"]), Operation::ImageEdit, None),
            (owned(&[]), Operation::TextCompletion, None),
        ] {
            assert_eq!(with_text(&words).unwrap(), (operation, text));
        }
        assert!(with_text(&owned(&["Hello", "you"])).is_err());
        assert!(with_text(&owned(&["a", "b", "c"])).unwrap_err().to_string().contains("quotes"));
    }
}
