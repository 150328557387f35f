//! A client of Hermod's HTTP API: submit a call, wait for its end, read the answer. `hermod`, the tool, uses it.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use hermod_client::{Client, Operation, Submission};
//! use serde_json::{Value, json};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), hermod_client::Error> {
//! let hermod = Client::new("http://localhost:8080")?;
//! let chat = json!({"model": "demo/slow-2s", "messages": [{"role": "user", "content": "Hello"}]});
//! let submission = Submission::json(Operation::ChatCompletion, &chat)?
//!     .ttl(Duration::from_secs(600))
//!     .idempotency_key("order-4711");
//! let job = hermod.submit(submission).await?;
//! println!("{}", job.at()); // chat/completions/0199…: enough to find the job again
//!
//! let completion: Value = hermod.wait(job).await?.completed()?.result()?;
//! println!("{}", completion["choices"][0]["message"]["content"]);
//! # Ok(())
//! # }
//! ```
//!
//! A job outlives its client. [`JobRef`] names it, is a text of one line, and is read from that text:
//!
//! ```no_run
//! # async fn example(hermod: hermod_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use hermod_client::{Error, JobRef};
//!
//! let at: JobRef = "chat/completions/0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70".parse()?;
//! let job = hermod.get(at).await?;
//! match hermod.wait(job).await?.completed() {
//!     Ok(job) => println!("{}", job.raw()),
//!     Err(Error::Failed { status_code, message, .. }) => println!("failed with {status_code}: {message}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | what | where |
//! |---|---|
//! | submit, get, wait, cancel, delete, list, content | [`Client`] |
//! | a call, with its options | [`Submission`]; with files, [`Form`] |
//! | a job, and its answer | [`Job`] |
//! | any other route, such as those of the administration | [`Client::request`] |
//! | what may go wrong | [`Error`] |

mod client;
mod content;
mod error;
mod form;
mod job;
mod list;
mod request;
mod submission;
mod wait;

pub use client::{Cancelled, Client, ClientBuilder};
pub use content::Content;
pub use error::{Error, Refused};
pub use form::Form;
pub use hermod_types::{Attempt, BodyForm, JobId, JobStatus, Journal, Operation};
pub use job::{InvalidJobRef, Job, JobRef};
pub use list::JobFilter;
pub use request::Request;
pub use reqwest::{Method, StatusCode};
pub use submission::Submission;
