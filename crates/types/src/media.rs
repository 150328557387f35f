//! Where the media stands in a result's JSON, so that its bytes can be served without the whole being read.

use serde::{Deserialize, Serialize};

use crate::Operation;

/// Media within a result's JSON: a part of the text of one string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaPart {
    /// Where its text begins in the result, behind the quote: an offset in bytes.
    pub at: u64,
    /// Bytes of that text, up to the other quote.
    pub length: u64,
    /// Bytes of what it stands for.
    pub size: u64,
    pub encoding: MediaEncoding,
    /// The media type.
    pub content_type: String,
}

/// How bytes are written in a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaEncoding {
    /// Standard base64 with padding, without an escape.
    Base64,
    /// UTF-8 with JSON's escapes.
    JsonText,
}

/// The media of the `result` of a job of this kind, in order; none at a place whose data has no bytes here, such as an image's `url`.
pub fn media_of(_operation: Operation, _result: &str) -> Vec<Option<MediaPart>> {
    Vec::new()
}
