//! The calls that Hermod takes, in one table: a row for each endpoint of Bifrost's async API, and one for Anthropic's messages, which
//! an integration route takes.
//!
//! The API's routes, its checks and its polls, the worker's calls and the command line all read this table. A new endpoint is a row,
//! a file beside this one with its rules, and a column in the table of providers.

mod chat;
mod embedding;
mod images;
mod messages;
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
    Messages,
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
    /// What `extra_fields.request_type` says, and the configuration's lists.
    request_type: &'static str,
    /// What a job's record says.
    record_type: &'static str,
    /// The operation under whose path its jobs are polled.
    polled_as: Operation,
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
    Row {
        operation,
        path,
        request_type,
        record_type: request_type,
        polled_as: operation,
        rules,
        media,
        plural,
    }
}

const TEXT: bool = false;
const MEDIA: bool = true;

#[rustfmt::skip]
static ROWS: [Row; 12] = [
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
    // Bifrost calls its type `responses`: <https://docs.getbifrost.ai/integrations/anthropic-sdk/overview>.
    Row { record_type: "messages", polled_as: Operation::Responses, ..row(Operation::Messages, "messages", "responses", messages::RULES, MEDIA, "messages") },
];

// Each operation's row is found by its place in the enum.
const _: () = {
    let mut place = 0;
    while place < ROWS.len() {
        assert!(ROWS[place].operation as usize == place, "the rows stand in the order of the enum");
        place += 1;
    }
    assert!(Operation::Messages as usize + 1 == ROWS.len(), "the last operation has the last row");
};

impl Operation {
    /// How many there are.
    pub const COUNT: usize = ROWS.len();

    /// Every operation.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.operation)
    }

    /// Those that have a path below `/v1/async/`.
    pub fn public() -> impl Iterator<Item = Self> {
        Self::all().filter(|operation| operation.is_public())
    }

    /// The operation of this path below `/v1/async/`.
    pub fn from_path(path: &str) -> Option<Self> {
        Self::public().find(|operation| operation.path() == path)
    }

    /// The operation that records call `record_type`.
    pub fn from_record_type(record_type: &str) -> Option<Self> {
        Self::all().find(|operation| operation.record_type() == record_type)
    }

    /// Whether it has a path below `/v1/async/`.
    pub fn is_public(self) -> bool {
        self.polled_as() == self
    }

    /// The operation under whose path below `/v1/async/` its jobs are polled, and whose names in the configuration count for it.
    pub const fn polled_as(self) -> Self {
        self.row().polled_as
    }

    /// Its path below OpenAI's or Anthropic's `/v1/`, and below `/v1/async/` if it [is public](Self::is_public): `chat/completions`.
    pub const fn path(self) -> &'static str {
        self.row().path
    }

    /// What `extra_fields.request_type` says of it: `chat_completion`.
    pub const fn request_type(self) -> &'static str {
        self.row().request_type
    }

    /// What a job's record calls it: no other operation's is the same.
    pub const fn record_type(self) -> &'static str {
        self.row().record_type
    }

    /// How its requests are written.
    pub const fn form(self) -> BodyForm {
        match self.row().rules {
            Rules::Json(_) => BodyForm::Json,
            Rules::Form(_) => BodyForm::Multipart,
        }
    }

    /// What is checked of the members of its requests, as JSON Schema; of a form, of its fields and files. What must be there is not
    /// in it.
    pub fn request_schema(self) -> serde_json::Value {
        match self.rules() {
            Rules::Json(rules) => rules.schema(),
            Rules::Form(rules) => rules.schema(),
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

/// As its [record type](Operation::record_type).
impl serde::Serialize for Operation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.record_type())
    }
}

impl<'de> serde::Deserialize<'de> for Operation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_record_type(&name).ok_or_else(|| serde::de::Error::custom("not a record's type"))
    }
}
