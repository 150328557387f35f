//! A provider whose model names choose its behaviour, so that anyone sees fallbacks, retries and failures without a key.
//!
//! It answers every [`Operation`](hermod_types::Operation) below `/v1/`, in OpenAI's form; rerank in Cohere's, ocr in Mistral's.
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

pub use behaviour::Behaviour;
pub use calls::{Calls, ReceivedCall, ReceivedPart};
pub use server::{Demo, DemoProvider};
