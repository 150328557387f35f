//! Which provider serves which operation, and how.

use super::ProviderKind;
use crate::Operation;

/// How a kind of provider serves an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It has no such call.
    Absent,
    /// In the form in which the client wrote it: the client's members go as they came, and so does the answer.
    Native,
    /// In a form of its own, or made of another of its calls.
    Converted,
}

const A: Support = Support::Absent;
const N: Support = Support::Native;
const C: Support = Support::Converted;

/// Operations without a column: messages are served wherever chat is.
const DERIVED: usize = 1;

/// A column for each other operation, in the order of its enum; a row for each kind, in the order of its own.
#[rustfmt::skip]
const TABLE: [(ProviderKind, [Support; Operation::COUNT - DERIVED]); 28] = [
    //                        text chat resp embd spch trns  gen edit  var rank  ocr
    (ProviderKind::OpenAi,      [N,   N,   N,   N,   N,   N,   N,   N,   N,   A,   A]),
    (ProviderKind::Compatible,  [N,   N,   N,   N,   N,   N,   N,   N,   N,   N,   N]),
    (ProviderKind::Azure,       [N,   N,   N,   N,   N,   N,   N,   N,   A,   A,   A]),
    (ProviderKind::Vllm,        [N,   N,   N,   N,   A,   N,   A,   A,   A,   N,   A]),
    (ProviderKind::Ollama,      [N,   N,   C,   N,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::LlamaCpp,    [N,   N,   C,   N,   A,   A,   A,   A,   A,   N,   A]),
    (ProviderKind::Sgl,         [N,   N,   C,   N,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::Tgi,         [N,   N,   C,   A,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::Together,    [N,   N,   C,   N,   N,   N,   N,   A,   A,   N,   A]),
    (ProviderKind::Fireworks,   [N,   N,   C,   N,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::OpenRouter,  [N,   N,   N,   N,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::DeepSeek,    [N,   N,   C,   A,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::Nebius,      [N,   N,   C,   N,   A,   A,   N,   A,   A,   A,   A]),
    (ProviderKind::Parasail,    [N,   N,   C,   A,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::Mistral,     [C,   N,   C,   N,   A,   N,   A,   A,   A,   A,   N]),
    (ProviderKind::HuggingFace, [C,   N,   C,   A,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::Groq,        [C,   N,   C,   A,   N,   N,   A,   A,   A,   A,   A]),
    (ProviderKind::Xai,         [C,   N,   N,   A,   A,   A,   N,   A,   A,   A,   A]),
    (ProviderKind::Cerebras,    [C,   N,   C,   A,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::Perplexity,  [C,   N,   C,   A,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::Anthropic,   [C,   C,   C,   A,   A,   A,   A,   A,   A,   A,   A]),
    (ProviderKind::Cohere,      [C,   C,   C,   C,   A,   A,   A,   A,   A,   C,   A]),
    (ProviderKind::Gemini,      [C,   C,   C,   C,   C,   C,   C,   C,   A,   A,   A]),
    (ProviderKind::Vertex,      [C,   C,   C,   C,   A,   A,   C,   A,   A,   C,   A]),
    (ProviderKind::Bedrock,     [C,   C,   C,   C,   A,   A,   C,   C,   C,   C,   A]),
    (ProviderKind::ElevenLabs,  [A,   A,   A,   A,   C,   C,   A,   A,   A,   A,   A]),
    (ProviderKind::Voyage,      [A,   A,   A,   C,   A,   A,   A,   A,   A,   C,   A]),
    (ProviderKind::Jina,        [A,   A,   A,   N,   A,   A,   A,   A,   A,   N,   A]),
];

// Each kind's row is found by its place in the enum.
const _: () = {
    let mut place = 0;
    while place < TABLE.len() {
        assert!(TABLE[place].0 as usize == place, "the rows stand in the order of the enum");
        place += 1;
    }
    assert!(ProviderKind::Jina as usize + 1 == TABLE.len(), "the last kind has the last row");
};

impl ProviderKind {
    /// How it serves this operation.
    pub const fn support(self, operation: Operation) -> Support {
        let cells = &TABLE[self as usize].1;
        match operation as usize {
            place if place < cells.len() => cells[place],
            _ => match (self, cells[Operation::ChatCompletion as usize]) {
                (_, Support::Absent) => Support::Absent,
                (Self::Anthropic, _) => Support::Native,
                (_, Support::Native | Support::Converted) => Support::Converted,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_anthropics_own_and_served_wherever_chat_is() {
        for kind in ProviderKind::all() {
            let expected = match (kind, kind.support(Operation::ChatCompletion)) {
                (ProviderKind::Anthropic, _) => Support::Native,
                (_, Support::Absent) => Support::Absent,
                (_, Support::Native | Support::Converted) => Support::Converted,
            };
            assert_eq!(kind.support(Operation::Messages), expected, "{kind}");
        }
        assert_eq!(ProviderKind::Anthropic.support(Operation::Responses), Support::Converted);
    }

    #[test]
    fn text_completions_are_native_where_their_form_is() {
        for kind in ProviderKind::all() {
            let is_native = kind.support(Operation::TextCompletion) == Support::Native;
            assert_eq!(is_native, kind.form() == crate::config::Form::Native, "{kind}");
        }
    }
}
