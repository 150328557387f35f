//! The calls that Hermod takes, in one table: a row for each endpoint of Bifrost's async API.
//!
//! The API's routes, its checks and its polls, the worker's calls and the command line all read this table. A new endpoint is a row,
//! a file beside this one with its rules, and a column in the table of providers.

mod chat;
mod embedding;
mod images;
mod ocr;
mod rerank;
mod responses;
mod rules;
mod speech;
#[cfg(test)]
mod tests;
mod text_completion;
mod transcription;

use std::fmt;

pub(crate) use rules::{FormRules, JsonRules, Rules};

/// A kind of LLM call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    #[default]
    TextCompletion,
    ChatCompletion,
    Responses,
    Embedding,
    Speech,
    Transcription,
    ImageGeneration,
    ImageEdit,
    ImageVariation,
    Rerank,
    Ocr,
}

/// How a request's body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// A JSON object.
    Json,
    /// `multipart/form-data` with files.
    Multipart,
}

/// What is known of an [`Operation`].
#[derive(Debug)]
struct Row {
    operation: Operation,
    /// Below `/v1/async/`, and below OpenAI's `/v1/`.
    path: &'static str,
    /// What `extra_fields.request_type` says, and a job's record.
    request_type: &'static str,
    rules: Rules,
    /// Whether bodies carry media: they may be larger.
    media: bool,
    /// How the refusal of `stream` calls it.
    plural: &'static str,
}

const fn row(
    operation: Operation,
    path: &'static str,
    request_type: &'static str,
    rules: Rules,
    media: bool,
    plural: &'static str,
) -> Row {
    Row { operation, path, request_type, rules, media, plural }
}

const TEXT: bool = false;
const MEDIA: bool = true;

#[rustfmt::skip]
static ROWS: [Row; 11] = [
    row(Operation::TextCompletion, "completions", "text_completion", text_completion::RULES, TEXT, "text completions"),
    row(Operation::ChatCompletion, "chat/completions", "chat_completion", chat::RULES, MEDIA, "chat completions"),
    row(Operation::Responses, "responses", "responses", responses::RULES, MEDIA, "responses"),
    row(Operation::Embedding, "embeddings", "embedding", embedding::RULES, TEXT, "embeddings"),
    row(Operation::Speech, "audio/speech", "speech", speech::RULES, TEXT, "speech"),
    row(Operation::Transcription, "audio/transcriptions", "transcription", transcription::RULES, MEDIA, "transcriptions"),
    row(Operation::ImageGeneration, "images/generations", "image_generation", images::GENERATION, MEDIA, "image generations"),
    row(Operation::ImageEdit, "images/edits", "image_edit", images::EDIT, MEDIA, "image edits"),
    row(Operation::ImageVariation, "images/variations", "image_variation", images::VARIATION, MEDIA, "image variations"),
    row(Operation::Rerank, "rerank", "rerank", rerank::RULES, TEXT, "rerank"),
    row(Operation::Ocr, "ocr", "ocr", ocr::RULES, MEDIA, "ocr"),
];

// Each operation's row is found by its place in the enum.
const _: () = {
    let mut place = 0;
    while place < ROWS.len() {
        assert!(ROWS[place].operation as usize == place, "the rows stand in the order of the enum");
        place += 1;
    }
    assert!(Operation::Ocr as usize + 1 == ROWS.len(), "the last operation has the last row");
};

impl Operation {
    /// How many there are.
    pub const COUNT: usize = ROWS.len();

    /// Every operation.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.operation)
    }

    /// The operation of this path below `/v1/async/`.
    pub fn from_path(path: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.path == path).map(|row| row.operation)
    }

    /// The operation that records and answers call `request_type`.
    pub fn from_request_type(request_type: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.request_type == request_type).map(|row| row.operation)
    }

    /// Its path below `/v1/async/`, and below OpenAI's `/v1/`: `chat/completions`.
    pub const fn path(self) -> &'static str {
        self.row().path
    }

    /// What `extra_fields.request_type` says of it: `chat_completion`.
    pub const fn request_type(self) -> &'static str {
        self.row().request_type
    }

    /// How its requests are written.
    pub const fn form(self) -> BodyForm {
        match self.row().rules {
            Rules::Json(_) => BodyForm::Json,
            Rules::Form(_) => BodyForm::Multipart,
        }
    }

    /// Whether its bodies carry media, and may be as large as an upload.
    pub const fn carries_media(self) -> bool {
        self.row().media
    }

    /// How the refusal of `stream` calls it: `chat completions`.
    pub(crate) const fn plural(self) -> &'static str {
        self.row().plural
    }

    pub(crate) const fn rules(self) -> &'static Rules {
        &self.row().rules
    }

    const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.request_type())
    }
}

impl serde::Serialize for Operation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.request_type())
    }
}

impl<'de> serde::Deserialize<'de> for Operation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_request_type(&name).ok_or_else(|| serde::de::Error::custom("not a request type"))
    }
}
