use aws_lc_rs::digest::{Context, Digest, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::json;

/// A hash of parts, each of which is told from the next: SHA-256, for whoever could find two requests with one print could have the
/// answer to one taken for that to the other.
#[derive(Clone)]
pub(crate) struct Print(Context);

/// A hash of the contents of a form's files, as they arrive.
pub(crate) struct Contents(pub(super) Print);

impl Default for Print {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Print {
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.update(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    pub(super) fn option(&mut self, part: Option<impl AsRef<[u8]>>) {
        self.number(part.is_some().into());
        if let Some(part) = part {
            self.bytes(part.as_ref());
        }
    }

    pub(super) fn hash(&mut self, other: Self) {
        self.0.update(other.finish().as_ref());
    }

    /// Valid JSON, however its members are ordered and spaced.
    pub(super) fn json(&mut self, text: &str) {
        json::update(&mut self.0, text);
    }

    pub(super) fn finish(self) -> Digest {
        self.0.finish()
    }

    /// As a name in Redis.
    pub(super) fn name(self) -> String {
        URL_SAFE_NO_PAD.encode(self.finish())
    }
}

impl Contents {
    pub(crate) fn new() -> Self {
        Self(Print::default())
    }

    /// What has come. Which bytes are whose is said by the form.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.0.update(bytes);
    }
}
