//! Hermod's HTTP front. A handler extracts, makes one queue call, and answers; see [`routes`].

mod body;
mod caller;
mod error;
mod observe;
mod poll;
mod routes;
mod server;
mod settings;
mod submit;

pub use server::serve;
pub use settings::Settings;
