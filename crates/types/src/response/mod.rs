//! OpenAI's Responses that run in the background: what a client sees of one until its provider's own takes its place, and how that
//! becomes ours: <https://platform.openai.com/docs/guides/background>

mod echo;
mod id;
mod splice;
mod view;

pub use echo::{ECHOED, ResponseEcho};
pub use id::{InvalidResponseId, ResponseId};
pub use splice::ResponseSplice;
pub use view::{ResponseStatus, ResponseView};
