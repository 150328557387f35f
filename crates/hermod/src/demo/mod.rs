//! A provider whose model names choose its behaviour, so that anyone sees fallbacks, retries and failures
//! without a key. It speaks OpenAI's text completions.

mod behaviour;
mod completion;
mod server;

pub use behaviour::Behaviour;
pub use server::{Calls, Demo, DemoProvider, ReceivedCall};
