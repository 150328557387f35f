//! What `hermod`, the user's tool, is made of; the tests and benchmarks use the same pieces.
//!
//! | module | |
//! |---|---|
//! | [`up`] | all of Hermod on one machine, with nothing configured |
//! | [`demo`] | a provider whose model names choose its behaviour |
//! | [`client`] | submit, get and cancel, on the command line |
//! | [`webhooks`] | receivers of webhooks, and one that prints what it receives |
//! | [`keys`], [`usage`] | virtual keys, and what they have used |
//! | [`config`] | what a config.json does here |
//! | [`queue`] | what an operator sees and does |
//! | [`healthcheck`] | whether a process is ready, for containers |
//! | [`generate`] | completions for shells, and pages for `man` |
//! | [`redis_server`] | finds a Redis or Valkey server, or fetches one |
//! | [`pip`] | Python packages, one of which is a Redis server |
//! | [`mod@table`] | tables for a terminal |
//! | [`process`] | processes that are gone when their owner is |

mod admin_login;
mod administration;
mod attempts;
pub mod client;
pub mod config;
mod config_limits;
pub mod demo;
pub mod generate;
pub mod healthcheck;
mod json;
pub mod keys;
pub mod pip;
pub mod process;
pub mod queue;
pub mod redis_server;
pub mod table;
pub mod up;
pub mod usage;
pub mod webhooks;
