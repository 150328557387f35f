//! Embeddings: by `predict`, <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>, and from
//! `gemini-embedding-2` on by `embedContent`, <https://cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-multimodal-embeddings>.

use serde::Deserialize;

use super::super::gemini::{Embedding, Tokens, content, read_embeddings, write_config};
use super::{Vertex, post};
use crate::answer::Answer;
use crate::dialect::{Ask, Outgoing, Unsendable};
use crate::embeddings::{EmbeddingRequest, Embeddings, Vectors};
use crate::literal::Literal;
use crate::request_body::RequestBody;

/// Texts of a call, for models before Gemini.
const MOST_TEXTS: usize = 250;

/// The one of Gemini's that is asked with `predict`, with one text a call.
const FIRST_GEMINI: &str = "gemini-embedding-001";

impl Embeddings for Vertex {
    fn most_inputs(&self, model: &str) -> usize {
        if model.contains("gemini") { 1 } else { MOST_TEXTS }
    }

    fn request(
        &self,
        ask: &Ask<'_>,
        request: &EmbeddingRequest<'_>,
        inputs: &[Literal<'_>],
    ) -> Result<Outgoing, Unsendable> {
        if ask.model.contains("gemini") && !ask.model.ends_with(FIRST_GEMINI) {
            let text = inputs.first().ok_or(Unsendable::Unreadable)?;
            let (mut body, mut config) = (RequestBody::nested(), RequestBody::nested());
            body.own("content", &content(text));
            write_config(&mut config, request);
            if !config.is_empty() {
                body.own("embedContentConfig", &config.finish());
            }
            return post(ask, "embedContent", body.finish());
        }
        let (mut body, mut parameters) = (RequestBody::nested(), RequestBody::nested());
        let instances: Vec<String> = inputs.iter().map(|text| instance(request, text)).collect();
        body.own("instances", &format!("[{}]", instances.join(",")));
        if let Some(dimensions) = request.dimensions {
            parameters.own("outputDimensionality", dimensions);
        }
        for (name, value) in &request.members {
            match name.as_ref() {
                // They are said of each text.
                "task_type" | "taskType" | "title" => {}
                "auto_truncate" | "autoTruncate" => parameters.own("autoTruncate", value),
                name => body.client(name, value),
            }
        }
        if !parameters.is_empty() {
            body.own("parameters", &parameters.finish());
        }
        post(ask, "predict", body.finish())
    }

    fn read(&self, answer: &Answer) -> Result<Vectors, String> {
        match read_embeddings(answer)? {
            EmbedAnswer { embedding: Some(embedding), usage_metadata, .. } => {
                let tokens = usage_metadata.and_then(|usage| usage.prompt_token_count);
                Ok(Vectors::of(vec![embedding.values.get().to_owned()], tokens))
            }
            EmbedAnswer { predictions, .. } => {
                let counts = predictions
                    .iter()
                    .map(|prediction| prediction.embeddings.statistics.as_ref()?.token_count);
                let tokens = counts.sum::<Option<u64>>();
                let vectors =
                    predictions.iter().map(|prediction| prediction.embeddings.values.get().to_owned());
                Ok(Vectors::of(vectors.collect(), tokens))
            }
        }
    }
}

fn instance(request: &EmbeddingRequest<'_>, text: &Literal<'_>) -> String {
    let mut instance = RequestBody::nested();
    instance.own("content", text.as_json());
    let task_type = request.member("task_type").or_else(|| request.member("taskType"));
    for (name, value) in [("task_type", task_type), ("title", request.member("title"))] {
        if let Some(value) = value {
            instance.own(name, value);
        }
    }
    instance.finish()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EmbedAnswer<'a> {
    #[serde(borrow, default)]
    embedding: Option<Embedding<'a>>,
    #[serde(default)]
    usage_metadata: Option<Tokens>,
    #[serde(borrow, default)]
    predictions: Vec<Prediction<'a>>,
}

#[derive(Deserialize)]
struct Prediction<'a> {
    #[serde(borrow)]
    embeddings: Counted<'a>,
}

#[derive(Deserialize)]
struct Counted<'a> {
    #[serde(borrow)]
    values: &'a serde_json::value::RawValue,
    #[serde(default)]
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    token_count: Option<u64>,
}
