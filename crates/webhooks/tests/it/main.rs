//! Attempts against receivers that listen.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod addresses;
mod answers;
mod proxy;
mod receiver;
mod sent;

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hermod_types::Timestamp;
use hermod_types::webhook::Endpoint;
use hermod_webhooks::{Attempt, Lookup, Lookups, Message, Sender};

/// Answers each look-up with the next of these, and with the last from then on.
#[derive(Clone)]
struct Scripted(Arc<Mutex<Vec<Vec<IpAddr>>>>);

impl Scripted {
    fn new(answers: &[&[&str]]) -> Self {
        let parsed = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Self(Arc::new(Mutex::new(answers.iter().map(parsed).collect())))
    }
}

impl Lookup for Scripted {
    fn lookup(&self, _: &str) -> Lookups {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Box::pin(async move { Ok::<_, io::Error>(answer) })
    }
}

/// One whose names all lead to this machine.
fn sender() -> Sender {
    Sender::with(Arc::new(Scripted::new(&[&["127.0.0.1"]])), &[]).unwrap()
}

/// An endpoint at `url` that may be in a private network, with these members besides.
fn endpoint(url: &str, members: &str) -> Endpoint {
    let body = format!(
        r#"{{"name":"n","url":"{url}","events":["async_job.completed"],"allow_private_network":true{members}}}"#
    );
    Endpoint::from_body(&body, Timestamp::now()).unwrap()
}

const ID: &str = "c6fe0c6a-af3f-5cb8-8d15-8eca07769370";

fn message(endpoint: &Endpoint) -> Message<'_> {
    Message::to(endpoint, ID, "async_job.completed", r#"{"event":"async_job.completed"}"#.to_owned())
}

/// An attempt within `timeout`, at an endpoint with no other members.
async fn attempt(url: &str, timeout: Duration) -> Attempt {
    sender().send(Message { timeout, ..message(&endpoint(url, "")) }).await
}

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(60);
