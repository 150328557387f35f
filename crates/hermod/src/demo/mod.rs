//! A provider whose model names choose its behaviour, so that anyone sees fallbacks, retries and failures without a key.
//!
//! It answers every [`Operation`] below `/v1/`, in OpenAI's form; rerank in Cohere's, ocr in Mistral's.
//!
//! | endpoint | what `echo` answers |
//! |---|---|
//! | completions | each prompt, `n` times |
//! | chat, responses, Anthropic's messages | the last text of the user or of a tool; a call of a tool where one is demanded, or the text begins with `call `; `{"echo": text}` where JSON is demanded |
//! | embeddings | a vector of length 1 for each input, the same for the same text; of 8 numbers, or of `dimensions` |
//! | audio/speech | a tone for each word. Only `wav` and `pcm` are valid audio: `mp3`, `opus`, `aac` and `flac` are the bytes of `pcm` with another media type |
//! | audio/transcriptions | `a recording of N bytes named X` |
//! | images | PNGs of one colour, which the prompt, or the images, choose |
//! | rerank | the share of the query's words that a document has |
//! | ocr | a page that names the document |
//!
//! Each answer counts what it has used; [`pricing`] makes that cost something.

mod answer;
mod behaviour;
mod calls;
mod chat;
mod completion;
mod embeddings;
mod images;
mod messages;
mod ocr;
mod perform;
mod request;
mod rerank;
mod responses;
mod server;
mod speech;
mod tools;
mod transcription;
mod upload;

use hermod_types::Operation;
use serde_json::{Value, json};

pub use behaviour::Behaviour;
pub use calls::{Calls, ReceivedCall, ReceivedPart};
pub use server::{Demo, DemoProvider};

/// An entry of `governance.pricing_overrides` for a provider of this name: a dollar for a million tokens of a prompt, two for a million
/// of an answer, and something for what is not counted in tokens.
pub fn pricing(provider: &str) -> Value {
    let patch = json!({
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 2e-6,
        "input_cost_per_character": 1e-6,
        "input_cost_per_second": 1e-4,
        "input_cost_per_query": 1e-3,
        "ocr_cost_per_page": 1e-3,
    });
    let mut types: Vec<_> = Operation::all().map(Operation::request_type).collect();
    types.dedup();
    json!({
        "id": format!("{provider}-prices"),
        "name": "Prices of the demo provider",
        "scope_kind": "provider",
        "provider_id": provider,
        "match_type": "wildcard",
        "pattern": "*",
        "request_types": types,
        "pricing_patch": patch.to_string(),
    })
}
