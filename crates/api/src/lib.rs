//! Hermod's HTTP server. A handler extracts, makes one queue call, and answers; see [`routes`].

mod admin;
mod body;
mod caller;
mod cancel;
mod connection;
mod content;
mod error;
mod events;
mod form;
mod governance;
mod governed;
mod hook;
mod integration;
mod jobs;
mod media_stream;
mod memory;
mod metrics;
mod observe;
mod once;
mod poll;
mod prefer;
mod responses;
mod result_stream;
mod routes;
mod server;
mod settings;
mod share;
mod start;
mod state;
mod submit;
mod ui;
mod unescape;
mod wait;
mod webhooks;

pub use settings::ApiSettings;
