use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;

/// One call that the provider received.
#[derive(Clone, Debug)]
pub struct ReceivedCall {
    /// When it came.
    pub at: Instant,
    /// Where it was sent to: `/v1/chat/completions`.
    pub path: String,
    /// The model that it named; empty without one.
    pub model: String,
    /// Its JSON, byte for byte; empty for a form.
    pub body: String,
    /// Its form, byte for byte; empty for JSON.
    pub form: Bytes,
    /// Its headers, by lower-case name.
    pub headers: Vec<(String, String)>,
}

/// One part of a received form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedPart {
    /// The field's name.
    pub name: String,
    /// The file's name; none for a field that is no file.
    pub filename: Option<String>,
    /// As it was written.
    pub content_type: Option<String>,
    /// What it holds.
    pub content: Bytes,
}

impl ReceivedCall {
    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The parts of its form, in order, repeats included.
    ///
    /// # Errors
    /// If it is not a form.
    pub async fn parts(&self) -> multer::Result<Vec<ReceivedPart>> {
        let boundary = multer::parse_boundary(self.header("content-type").unwrap_or_default())?;
        let whole = self.form.clone();
        let mut form = Multipart::new(stream::iter([std::io::Result::Ok(whole)]), boundary);
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await? {
            let content_type = field.headers().get("content-type");
            parts.push(ReceivedPart {
                name: field.name().unwrap_or_default().to_owned(),
                filename: field.file_name().map(str::to_owned),
                content_type: content_type
                    .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
                content: field.bytes().await?,
            });
        }
        Ok(parts)
    }
}

/// The calls that a provider has received, for tests.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Vec<ReceivedCall>>>);

impl Calls {
    /// All of them so far, in order.
    pub fn all(&self) -> Vec<ReceivedCall> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn push(&self, call: ReceivedCall) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
}
