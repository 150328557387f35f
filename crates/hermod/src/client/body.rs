use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use hermod_client::Form;
use hermod_types::{BodyForm, Operation, RawObject};
use serde::Serialize;
use serde_json::json;

use super::endpoint::word;

/// What is submitted.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Input {
    /// provider/model
    #[arg(long, short)]
    model: Option<String>,
    /// provider/model to try when the model has failed; may be given again.
    #[arg(long = "fallback", value_name = "MODEL")]
    fallbacks: Vec<String>,
    /// The most tokens to answer with (completion, chat, responses).
    #[arg(long)]
    max_tokens: Option<u64>,
    /// Instructions that come before the text (chat, responses).
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Who speaks (speech).
    #[arg(long)]
    voice: Option<String>,
    /// A document to rank by the text; may be given again (rerank).
    #[arg(long = "document", value_name = "TEXT")]
    documents: Vec<String>,
    /// A file to send (transcriptions, ocr), or an image; images may be several (edits, variations).
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Where to edit the image (edits).
    #[arg(long, value_name = "PATH")]
    mask: Option<PathBuf>,
    /// Another member of the body, its value JSON or else a text; may be given again.
    #[arg(long = "field", value_name = "NAME=VALUE")]
    fields: Vec<Field>,
    /// The body as JSON, from a file, or `-` for standard input; --model and --fallback count before its own.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["max_tokens", "system", "voice", "documents", "files", "mask", "fields"])]
    json: Option<PathBuf>,
}

/// `name=value`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Field {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            Some(_) | None => Err("expected NAME=VALUE"),
        }
    }
}

/// A body that is ready to be sent.
#[derive(Debug)]
pub(super) enum Body {
    Json(String),
    Form(Form),
}

/// A JSON object that is being written.
#[derive(Debug)]
pub(crate) struct JsonObject(String);

impl JsonObject {
    pub(crate) fn new() -> Self {
        Self("{".to_owned())
    }

    pub(crate) fn set(&mut self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        self.set_raw(name, &serde_json::to_string(value)?)
    }

    pub(crate) fn set_raw(&mut self, name: &str, json: &str) -> anyhow::Result<()> {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        self.0.push_str(&serde_json::to_string(name)?);
        self.0.push(':');
        self.0.push_str(json);
        Ok(())
    }

    /// The field's value is JSON, or else a text.
    pub(crate) fn set_field(&mut self, Field { name, value }: &Field) -> anyhow::Result<()> {
        match serde_json::from_str::<&serde_json::value::RawValue>(value) {
            Ok(json) => self.set_raw(name, json.get()),
            Err(_) => self.set(name, value),
        }
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

impl Input {
    /// The body of a job of this kind.
    ///
    /// # Errors
    /// If something that it needs is missing, something is given that it does not take, or a file cannot be read.
    pub(super) fn body(&self, operation: Operation, text: Option<&str>) -> anyhow::Result<Body> {
        self.check(operation)?;
        if let Some(path) = &self.json {
            ensure!(text.is_none(), "--json is the whole body: a text beside it has no place");
            ensure!(
                operation.form() == BodyForm::Json,
                "--json: {} takes a form, by --file and --field",
                word(operation)
            );
            return Ok(Body::Json(self.whole(&read(path)?)?));
        }
        let model = self.model.as_deref().context("--model is missing: provider/model")?;
        match operation.form() {
            BodyForm::Json => Ok(Body::Json(self.object(operation, model, text)?)),
            BodyForm::Multipart => Ok(Body::Form(self.form(operation, model, text)?)),
        }
    }

    /// Refuses the options of other endpoints.
    fn check(&self, operation: Operation) -> anyhow::Result<()> {
        use Operation::{
            ChatCompletion, ImageEdit, ImageVariation, Ocr, Rerank, Responses, Speech, TextCompletion,
            Transcription,
        };
        for (is_given, option, takers) in [
            (self.max_tokens.is_some(), "--max-tokens", &[TextCompletion, ChatCompletion, Responses][..]),
            (self.system.is_some(), "--system", &[ChatCompletion, Responses]),
            (self.voice.is_some(), "--voice", &[Speech]),
            (!self.documents.is_empty(), "--document", &[Rerank]),
            (!self.files.is_empty(), "--file", &[Transcription, ImageEdit, ImageVariation, Ocr]),
            (self.mask.is_some(), "--mask", &[ImageEdit]),
        ] {
            if is_given && !takers.contains(&operation) {
                let takers: Vec<_> = takers.iter().map(|taker| word(*taker)).collect();
                bail!("{option} is for {}, not for {}", takers.join(", "), word(operation));
            }
        }
        Ok(())
    }

    /// `json`, with the options' model and fallbacks for its own.
    fn whole(&self, json: &str) -> anyhow::Result<String> {
        let object: RawObject<'_> = serde_json::from_str(json).context("--json: expected a JSON object")?;
        let mut body = JsonObject::new();
        object.write_members(&mut body.0, |name| match name {
            "model" => self.model.is_none(),
            "fallbacks" => self.fallbacks.is_empty(),
            _ => true,
        });
        if let Some(model) = &self.model {
            body.set("model", model)?;
        }
        if !self.fallbacks.is_empty() {
            body.set("fallbacks", &self.fallbacks)?;
        }
        Ok(body.end())
    }

    fn object(&self, operation: Operation, model: &str, text: Option<&str>) -> anyhow::Result<String> {
        let mut body = JsonObject::new();
        body.set("model", &model)?;
        let text_or = || text.with_context(|| missing_text(operation));
        match operation {
            Operation::TextCompletion => {
                body.set("prompt", &text_or()?)?;
                self.set_max_tokens(&mut body, "max_tokens")?;
            }
            Operation::ChatCompletion => {
                let system = self.system.iter().map(|text| json!({"role": "system", "content": text}));
                let user = json!({"role": "user", "content": text_or()?});
                body.set("messages", &system.chain([user]).collect::<Vec<_>>())?;
                self.set_max_tokens(&mut body, "max_completion_tokens")?;
            }
            Operation::Responses => {
                body.set("input", &text_or()?)?;
                if let Some(system) = &self.system {
                    body.set("instructions", system)?;
                }
                self.set_max_tokens(&mut body, "max_output_tokens")?;
            }
            Operation::Embedding => body.set("input", &text_or()?)?,
            Operation::Speech => {
                body.set("input", &text_or()?)?;
                let voice = self.voice.as_ref();
                body.set("voice", voice.context("speech needs --voice, such as alloy at OpenAI")?)?;
            }
            Operation::ImageGeneration => body.set("prompt", &text_or()?)?,
            Operation::Rerank => {
                body.set("query", &text_or()?)?;
                ensure!(!self.documents.is_empty(), "rerank needs --document, once for each document");
                body.set("documents", &self.documents)?;
            }
            Operation::Ocr => body.set("document", &self.document(text)?)?,
            Operation::Transcription | Operation::ImageEdit | Operation::ImageVariation => {
                bail!("{} takes a form", word(operation))
            }
            Operation::Messages => bail!("{} has no path below /v1/async", word(operation)),
        }
        if !self.fallbacks.is_empty() {
            body.set("fallbacks", &self.fallbacks)?;
        }
        for field in &self.fields {
            body.set_field(field)?;
        }
        Ok(body.end())
    }

    fn set_max_tokens(&self, body: &mut JsonObject, name: &str) -> anyhow::Result<()> {
        self.max_tokens.map_or(Ok(()), |most| body.set(name, &most))
    }

    /// A URL, or a file as a data URL.
    fn document(&self, url: Option<&str>) -> anyhow::Result<serde_json::Value> {
        let (url, media_type) = match (self.files.as_slice(), url) {
            ([path], None) => {
                let media_type = mime_guess::from_path(path).first_or_octet_stream();
                let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                (format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes)), media_type)
            }
            ([], Some(url)) => {
                let is_url = url.contains("://") || url.starts_with("data:");
                ensure!(is_url, "ocr takes a URL, and {url} is none; a file is sent with --file");
                let path = url.split(['?', '#']).next().unwrap_or(url);
                (url.to_owned(), mime_guess::from_path(path).first_or_octet_stream())
            }
            ([..], _) => bail!("ocr needs one document: its URL, or --file"),
        };
        let member = if media_type.type_() == "image" { "image_url" } else { "document_url" };
        Ok(json!({"type": member, member: url}))
    }

    fn form(&self, operation: Operation, model: &str, text: Option<&str>) -> anyhow::Result<Form> {
        let word = word(operation);
        ensure!(!self.files.is_empty(), "{word} needs --file");
        ensure!(
            operation != Operation::Transcription || self.files.len() == 1,
            "transcriptions takes one --file"
        );
        ensure!(operation != Operation::ImageVariation || text.is_none(), "{word} takes no text");
        let mut form = Form::default().field("model", model);
        for fallback in &self.fallbacks {
            form = form.field("fallbacks", fallback);
        }
        if let Some(text) = text {
            form = form.field("prompt", text);
        }
        for Field { name, value } in &self.fields {
            form = form.field(name, value);
        }
        let field = if operation == Operation::Transcription { "file" } else { "image[]" };
        for path in &self.files {
            form = form.file(field, path)?;
        }
        if let Some(mask) = &self.mask {
            form = form.file("mask", mask)?;
        }
        Ok(form)
    }
}

fn missing_text(operation: Operation) -> String {
    let word = word(operation);
    format!("{word} needs a text: hermod submit {word} --model MODEL TEXT")
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input is not text")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests;
