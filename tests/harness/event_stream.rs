use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::PATIENCE;

/// A stream of server-sent events, read as browsers do: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    /// What has come and was not read yet.
    rest: String,
    /// All that was read.
    pub read: String,
    /// The newest `id:`, which a browser shows when it connects again.
    pub last_id: Option<String>,
}

/// What a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An event: its name, its data, and the id that it set.
    Event { name: String, data: String, id: Option<String> },
    /// A comment.
    Comment(String),
    /// After how many milliseconds to connect again.
    Retry(u64),
}

impl Said {
    /// The data of the event with this name.
    pub fn data(&self, expected: &str) -> Value {
        let Self::Event { name, data, .. } = self else { panic!("not an event: {self:?}") };
        assert_eq!(name, expected, "{data}");
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))
    }

    /// The id of an event.
    pub fn id(&self) -> Option<u64> {
        let Self::Event { id, .. } = self else { panic!("not an event: {self:?}") };
        id.as_ref().map(|id| id.parse().unwrap())
    }
}

impl EventStream {
    /// Opens a stream, whose answer must be one.
    pub async fn open(request: RequestBuilder) -> Self {
        let response = request.timeout(Duration::from_secs(300)).send().await.unwrap();
        let header = |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap());
        assert_eq!((response.status().as_u16(), header("content-type")), (200, "text/event-stream"));
        assert_eq!((header("cache-control"), header("x-accel-buffering")), ("no-store", "no"));
        assert!(header("content-length").is_empty() && header("content-encoding").is_empty());
        assert!(!header("x-request-id").is_empty());
        Self { response, rest: String::new(), read: String::new(), last_id: None }
    }

    /// What it says next; none at its end. An event that is not whole is dropped.
    pub async fn next(&mut self) -> Option<Said> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read.push_str(&block);
                self.read.push_str("\n\n");
                self.rest = rest;
                let said = self.said(&block);
                if said.is_some() {
                    return said;
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("a stream is never quiet for so long").ok().flatten()?;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event; none at the end of the stream.
    pub async fn next_event(&mut self) -> Option<Said> {
        loop {
            let said = self.next().await?;
            if matches!(said, Said::Event { .. }) {
                return Some(said);
            }
        }
    }

    /// What one or more lines up to an empty one mean.
    fn said(&mut self, block: &str) -> Option<Said> {
        let (mut name, mut data, mut id) = ("message".to_owned(), Vec::new(), None);
        let mut has_data = false;
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => return Some(Said::Comment(value.to_owned())),
                "retry" => return Some(Said::Retry(value.parse().unwrap())),
                "event" => value.clone_into(&mut name),
                "data" => {
                    has_data = true;
                    data.push(value);
                }
                "id" => id = Some(value.to_owned()),
                _ => panic!("an unknown field: {line}"),
            }
        }
        if id.is_some() {
            self.last_id.clone_from(&id);
        }
        has_data.then(|| Said::Event { name, data: data.join("\n"), id })
    }
}
