//! What an answer says that it has used, in whichever provider's words. It is read before the answer is taken apart, so that an
//! answer that is of no use, or an error, is accounted for, too.

use hermod_types::governance::Money;
use hermod_types::{CallUsage, Operation, RawObject, ServiceTier};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::literal::Literal;

/// Bedrock's, for models whose answers do not count.
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>
const BEDROCK_INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";
const BEDROCK_OUTPUT_TOKENS: &str = "x-amzn-bedrock-output-token-count";
/// xAI's `cost_in_usd_ticks` in a dollar: <https://docs.x.ai/developers/cost-tracking>
const TICKS: f64 = 1e10;
/// Documents that Cohere counts as one search: <https://cohere.com/pricing>
const DOCUMENTS_OF_A_SEARCH: u64 = 100;

/// The members of an answer that count something.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Accounts<'a> {
    /// OpenAI's, Anthropic's, Cohere's, Bedrock's Converse, and of all who are like them.
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    /// Gemini's.
    #[serde(borrow, rename = "usageMetadata")]
    usage_metadata: Option<&'a RawValue>,
    /// Cohere's, of embeddings and rerank.
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    /// Mistral's, of OCR.
    #[serde(borrow)]
    usage_info: Option<&'a RawValue>,
    /// Titan's, of embeddings.
    #[serde(borrow, rename = "inputTextTokenCount")]
    titan: Option<&'a RawValue>,
    /// Vertex AI's, of embeddings.
    #[serde(borrow)]
    predictions: Option<&'a RawValue>,
    /// Of a transcription, in seconds.
    #[serde(borrow, alias = "audio_duration_secs")]
    duration: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
}

/// What an answer says, and whether it says anything.
pub(crate) fn of_answer(text: &str, headers: &HeaderMap) -> Option<CallUsage> {
    of_text(text).or_else(|| {
        let count = |name| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        let (input_tokens, output_tokens) = (count(BEDROCK_INPUT_TOKENS), count(BEDROCK_OUTPUT_TOKENS));
        let is_told = input_tokens.is_some() || output_tokens.is_some();
        is_told.then(|| CallUsage { input_tokens, output_tokens, ..CallUsage::default() })
    })
}

fn of_text(text: &str) -> Option<CallUsage> {
    if !text.trim_ascii_start().starts_with('{') {
        return None;
    }
    let accounts: Accounts<'_> = serde_json::from_str(text).ok()?;
    let read = |raw: Option<&RawValue>| serde_json::from_str::<Value>(raw?.get()).ok();
    let usage = if let Some(usage) = read(accounts.usage).filter(Value::is_object) {
        openai(&usage)
    } else if let Some(usage) = read(accounts.usage_metadata).filter(Value::is_object) {
        gemini(&usage)
    } else if let Some(usage) = read(accounts.meta).as_ref().and_then(cohere) {
        usage
    } else if let Some(pages) = read(accounts.usage_info).and_then(|info| count(&info, "pages_processed")) {
        CallUsage { pages: Some(pages), ..CallUsage::default() }
    } else if let Some(tokens) = read(accounts.titan).as_ref().and_then(number) {
        CallUsage { input_tokens: Some(tokens), ..CallUsage::default() }
    } else if let Some(tokens) = accounts.predictions.and_then(vertex) {
        CallUsage { input_tokens: Some(tokens), ..CallUsage::default() }
    } else {
        let audio_ms = read(accounts.duration).as_ref().and_then(millis)?;
        CallUsage { audio_ms: Some(audio_ms), ..CallUsage::default() }
    };
    let tier = |value: Option<Value>| value.as_ref().and_then(Value::as_str).map(service_tier);
    let service_tier = tier(read(accounts.service_tier)).unwrap_or(usage.service_tier);
    Some(CallUsage { service_tier, ..usage })
}

fn service_tier(word: &str) -> ServiceTier {
    match word {
        "flex" => ServiceTier::Flex,
        "priority" => ServiceTier::Priority,
        _ => ServiceTier::Standard,
    }
}

/// Any number that may be a count: Cohere's may have a point.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(crate::chat::whole))
}

/// Seconds, as a number or, as in older answers of OpenAI, as a text.
fn millis(value: &Value) -> Option<u64> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    (seconds.is_finite() && seconds >= 0.0).then(|| crate::chat::whole((seconds * 1000.0).round()))
}

fn count(object: &Value, name: &str) -> Option<u64> {
    object.get(name).and_then(number)
}

/// The first of these paths that has a number.
fn first(object: &Value, paths: &[&str]) -> Option<u64> {
    paths.iter().find_map(|path| object.pointer(path).and_then(number))
}

/// `usage`: whether those tokens that came from a cache are among the others differs by who says it.
fn openai(usage: &Value) -> CallUsage {
    if let Some(usage) = cohere(usage) {
        return usage;
    }
    let cache_read_tokens = first(
        usage,
        &[
            "/prompt_tokens_details/cached_tokens",
            "/input_tokens_details/cached_tokens",
            "/cache_read_input_tokens",
            "/cacheReadInputTokens",
            "/prompt_cache_hit_tokens",
            "/cached_tokens",
        ],
    );
    let cache_write_tokens = first(
        usage,
        &[
            "/prompt_tokens_details/cache_write_tokens",
            "/prompt_tokens_details/cache_creation_tokens",
            "/input_tokens_details/cache_write_tokens",
            "/cache_creation_input_tokens",
            "/cacheWriteInputTokens",
        ],
    );
    let (cache_read_tokens, cache_write_tokens) =
        (cache_read_tokens.unwrap_or(0), cache_write_tokens.unwrap_or(0));
    // Anthropic and Bedrock count those apart; whoever has details of `input_tokens` speaks as OpenAI does.
    let apart = || {
        let tokens = first(usage, &["/input_tokens", "/inputTokens"])?;
        let is_openai = usage.get("input_tokens_details").is_some();
        let more = if is_openai { 0 } else { cache_read_tokens.saturating_add(cache_write_tokens) };
        Some(tokens.saturating_add(more))
    };
    let prompt = first(usage, &["/prompt_tokens"]);
    let output = first(usage, &["/completion_tokens", "/output_tokens", "/outputTokens"]);
    let total = first(usage, &["/total_tokens"]);
    // Voyage and Jina have no more than a total.
    let input_tokens = prompt.or_else(apart).or(if output.is_none() { total } else { None });
    let reasoning_tokens = first(
        usage,
        &["/completion_tokens_details/reasoning_tokens", "/output_tokens_details/reasoning_tokens"],
    );
    let reasoning_tokens = reasoning_tokens.unwrap_or(0);
    // xAI does not count its thoughts among what it wrote.
    let is_apart = reasoning_tokens > 0
        && total.is_some_and(|total| {
            let sum = input_tokens.unwrap_or(0).saturating_add(output.unwrap_or(0));
            total == sum.saturating_add(reasoning_tokens)
        });
    let output_tokens =
        output.map(|tokens| tokens.saturating_add(if is_apart { reasoning_tokens } else { 0 }));
    let details = |sides: [&str; 3], kind: &str| {
        let mut paths = sides.iter().map(|side| format!("/{side}/{kind}_tokens"));
        paths.find_map(|path| usage.pointer(&path).and_then(number)).unwrap_or(0)
    };
    let input = ["prompt_tokens_details", "input_tokens_details", "input_token_details"];
    let output = ["completion_tokens_details", "output_tokens_details", "output_token_details"];
    CallUsage {
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cache_hour_tokens: hour(usage),
        input_audio_tokens: details(input, "audio"),
        input_image_tokens: details(input, "image"),
        reasoning_tokens,
        output_audio_tokens: details(output, "audio"),
        output_image_tokens: details(output, "image"),
        audio_ms: usage.get("seconds").or_else(|| usage.get("prompt_audio_seconds")).and_then(millis),
        cost: cost(usage),
        service_tier: usage.get("service_tier").and_then(Value::as_str).map(service_tier).unwrap_or_default(),
        ..CallUsage::default()
    }
}

/// Tokens that are written to a cache for an hour, as Anthropic and Bedrock say.
fn hour(usage: &Value) -> u64 {
    let bedrock = || {
        let of_an_hour = |detail: &&Value| detail.get("ttl").and_then(Value::as_str) == Some("1h");
        let details = usage.get("cacheDetails")?.as_array()?;
        details.iter().filter(of_an_hour).map(|detail| count(detail, "inputTokens")).sum()
    };
    first(usage, &["/cache_creation/ephemeral_1h_input_tokens"]).or_else(bedrock).unwrap_or(0)
}

/// What the provider itself charges: `OpenRouter`'s `cost`, Perplexity's `cost.total_cost`, xAI's ticks.
fn cost(usage: &Value) -> Option<Money> {
    let dollars = |value: &Value| value.as_f64().and_then(Money::from_dollars);
    let stated =
        usage.get("cost").and_then(|cost| dollars(cost).or_else(|| dollars(cost.get("total_cost")?)));
    stated.or_else(|| Money::from_dollars(usage.get("cost_in_usd_ticks")?.as_f64()? / TICKS))
}

/// `billed_units`: <https://docs.cohere.com/reference/chat>
fn cohere(meta: &Value) -> Option<CallUsage> {
    let billed = meta.get("billed_units")?;
    Some(CallUsage {
        input_tokens: count(billed, "input_tokens"),
        output_tokens: count(billed, "output_tokens"),
        cache_read_tokens: 0,
        searches: count(billed, "search_units"),
        ..CallUsage::default()
    })
}

/// <https://ai.google.dev/api/generate-content#UsageMetadata>
fn gemini(usage: &Value) -> CallUsage {
    let sum = |a: &str, b: &str| match (count(usage, a), count(usage, b)) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    let of = |details: &str, modality: &str| -> u64 {
        let is_it = |detail: &&Value| detail.get("modality").and_then(Value::as_str) == Some(modality);
        let details = usage.get(details).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        details.iter().filter(is_it).filter_map(|detail| count(detail, "tokenCount")).sum()
    };
    CallUsage {
        input_tokens: sum("promptTokenCount", "toolUsePromptTokenCount"),
        output_tokens: sum("candidatesTokenCount", "thoughtsTokenCount"),
        cache_read_tokens: count(usage, "cachedContentTokenCount").unwrap_or(0),
        input_audio_tokens: of("promptTokensDetails", "AUDIO"),
        input_image_tokens: of("promptTokensDetails", "IMAGE"),
        reasoning_tokens: count(usage, "thoughtsTokenCount").unwrap_or(0),
        output_audio_tokens: of("candidatesTokensDetails", "AUDIO"),
        output_image_tokens: of("candidatesTokensDetails", "IMAGE"),
        ..CallUsage::default()
    }
}

/// The sum of what is counted of each text.
fn vertex(predictions: &RawValue) -> Option<u64> {
    #[derive(Deserialize)]
    struct Prediction {
        embeddings: Embeddings,
    }
    #[derive(Deserialize)]
    struct Embeddings {
        statistics: Statistics,
    }
    #[derive(Deserialize)]
    struct Statistics {
        token_count: f64,
    }
    let predictions: Vec<Prediction> = serde_json::from_str(predictions.get()).ok()?;
    Some(predictions.iter().map(|one| crate::chat::whole(one.embeddings.statistics.token_count)).sum())
}

/// Adds what no provider has to say, as it is seen from the request and the result: what speech, images and rerank are sold by.
pub(crate) fn with_units(operation: Operation, body: &str, result: &str, usage: CallUsage) -> CallUsage {
    if has_tokens(&usage) {
        return usage;
    }
    match operation {
        Operation::Speech => CallUsage { characters: characters(body), ..usage },
        Operation::ImageGeneration | Operation::ImageEdit | Operation::ImageVariation => {
            #[derive(Deserialize)]
            struct Images {
                data: Vec<IgnoredAny>,
            }
            let images = serde_json::from_str::<Images>(result).ok();
            CallUsage { images: images.and_then(|images| u64::try_from(images.data.len()).ok()), ..usage }
        }
        Operation::Rerank => {
            let documents = serde_json::from_str::<Documents>(body).ok();
            CallUsage {
                searches: usage.searches.or(documents.map(|all| searches(all.documents.len()))),
                ..usage
            }
        }
        Operation::TextCompletion
        | Operation::ChatCompletion
        | Operation::Responses
        | Operation::Messages
        | Operation::Embedding
        | Operation::Transcription
        | Operation::Ocr => usage,
    }
}

/// Of a text that is to be spoken.
fn characters(body: &str) -> Option<u64> {
    let object: RawObject<'_> = serde_json::from_str(body).ok()?;
    let text = Literal::from_json(object.get("input")?.get())?;
    u64::try_from(text.decode().chars().count()).ok()
}

#[derive(Deserialize)]
struct Documents {
    documents: Vec<IgnoredAny>,
}

/// How often Cohere would say that it has searched.
pub(crate) fn searches(documents: usize) -> u64 {
    u64::try_from(documents).unwrap_or(u64::MAX).div_ceil(DOCUMENTS_OF_A_SEARCH).max(1)
}

/// Whether it counts tokens: then nothing else is needed.
pub(crate) const fn has_tokens(usage: &CallUsage) -> bool {
    usage.input_tokens.is_some() || usage.output_tokens.is_some()
}

#[cfg(test)]
mod tests;
