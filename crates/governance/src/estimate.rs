//! What a job may use at most, read off its request: no value is built, and only the members that matter are looked at.

use hermod_types::config::{Form as TextForm, ProviderKind};
use hermod_types::{BodyForm, CallUsage, Form, Operation, PartContent, RawObject, ServiceTier, Target};
use serde_json::value::RawValue;

use crate::prices::PricedCall;
use crate::{Estimate, Price, Prices};

/// Bytes of a prompt to a token.
const BYTES_PER_TOKEN: u64 = 4;
/// Bytes of an image, a recording or a document to a token: a photo of 100 KB has some 1,600.
const MEDIA_BYTES_PER_TOKEN: u64 = 64;
/// A text without a space of this length in bytes is a medium.
const SHORTEST_MEDIUM: usize = 512;
/// What a text completion generates where its request does not say: OpenAI's default.
const DEFAULT_COMPLETION: u64 = 16;
/// What chat generates at most where neither its request nor the list of prices says.
const DEFAULT_CHAT: u64 = 4096;
/// Tokens of the largest image that is sold by tokens: <https://platform.openai.com/docs/guides/image-generation>
const TOKENS_OF_AN_IMAGE: u64 = 6240;
/// Bytes of a second of a recording that is sold by time: 32 kbit/s, about the least that is in use.
const BYTES_OF_A_SECOND: u64 = 4000;
/// Bytes of a page of a document that is sold by pages.
const BYTES_OF_A_PAGE: u64 = 50_000;
/// Documents of a search.
const DOCUMENTS_OF_A_SEARCH: u64 = 100;

/// What a job of this request may use at most: the most tokens, and the most money, of any of its targets. `media_bytes` are those of a
/// form's files.
pub fn estimate(
    operation: Operation,
    body: &str,
    media_bytes: u64,
    targets: &[Target],
    prices: &Prices,
) -> Estimate {
    let asked = Asked::read(operation, body, media_bytes);
    targets.iter().map(|target| asked.of_target(operation, target, prices)).fold(
        Estimate::default(),
        |most, one| Estimate { tokens: most.tokens.max(one.tokens), cost: most.cost.max(one.cost) },
    )
}

/// What a request asks for.
#[derive(Debug, Default)]
struct Asked {
    /// Tokens of its prompts, together.
    prompt: u64,
    /// Bytes of text, which is more than it has characters.
    text_bytes: u64,
    media_bytes: u64,
    prompts: u64,
    /// The greater of `n` and `best_of`.
    choices: u64,
    /// The most that one choice generates.
    generates: Option<u64>,
    documents: u64,
    /// Whether it asks for its prompt to be kept in a cache.
    is_to_be_cached: bool,
    service_tier: ServiceTier,
}

impl Asked {
    fn read(operation: Operation, body: &str, media_bytes: u64) -> Self {
        let asked = Self { prompts: 1, choices: 1, media_bytes, ..Self::default() };
        let asked = match operation.form() {
            BodyForm::Json => asked.read_json(body),
            BodyForm::Multipart => asked.read_form(body),
        };
        let text = asked.text_bytes.div_ceil(BYTES_PER_TOKEN);
        Self { prompt: text.saturating_add(asked.media_bytes.div_ceil(MEDIA_BYTES_PER_TOKEN)), ..asked }
    }

    fn read_json(mut self, body: &str) -> Self {
        let Ok(object) = serde_json::from_str::<RawObject<'_>>(body) else { return self };
        for (name, value) in object.members() {
            let text = value.get();
            let number = || text.parse::<u64>().ok();
            match name {
                "prompt" | "messages" | "input" | "instructions" | "system" | "tools" | "query"
                | "documents" | "document" | "image" | "response_format" | "text" | "suffix" => {
                    let media = media_in(text);
                    self.media_bytes = self.media_bytes.saturating_add(count(media));
                    self.text_bytes = self.text_bytes.saturating_add(count(text.len() - media));
                    self.is_to_be_cached |= text.contains("\"cache_control\"");
                    match name {
                        "prompt" => self.prompts = prompts_in(value),
                        "documents" => self.documents = elements_of(value),
                        _ => {}
                    }
                }
                "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
                    self.generates = self.generates.max(number());
                }
                "n" | "best_of" => self.choices = self.choices.max(number().unwrap_or(1)),
                "service_tier" if text == "\"priority\"" => self.service_tier = ServiceTier::Priority,
                _ => {}
            }
        }
        self
    }

    fn read_form(mut self, body: &str) -> Self {
        let Some(form) = Form::from_json(body) else { return self };
        for part in &form.parts {
            let PartContent::Value(value) = &part.content else { continue };
            match part.name.as_str() {
                "prompt" => self.text_bytes = count(value.len()),
                "n" => self.choices = value.parse().unwrap_or(1).max(1),
                _ => {}
            }
        }
        self
    }

    fn of_target(&self, operation: Operation, target: &Target, prices: &Prices) -> Estimate {
        let call = PricedCall { operation, target, resolved: None, provider_key: None };
        let price = prices.find(&call);
        let kind = prices.kind(target.provider());
        let usage = self.usage(operation, kind, price.as_deref());
        let tokens = usage.input_tokens.unwrap_or(0).saturating_add(usage.output_tokens.unwrap_or(0));
        let is_by_tokens = price.as_ref().is_none_or(|price| price.is_by_tokens());
        let priced =
            if is_by_tokens { usage } else { CallUsage { input_tokens: None, output_tokens: None, ..usage } };
        let cost = price.and_then(|price| self.dearest(&price, priced)).unwrap_or(0);
        Estimate { tokens, cost }
    }

    /// What it may use at a provider of this kind.
    fn usage(&self, operation: Operation, kind: Option<ProviderKind>, price: Option<&Price>) -> CallUsage {
        let most = |default: u64| self.generates.unwrap_or(default);
        let by_model = || price.and_then(Price::max_output).unwrap_or(DEFAULT_CHAT);
        let writes = |each: u64| each.saturating_mul(self.choices).saturating_mul(self.prompts);
        let has_text = |output: u64| {
            // Who is asked for each choice apart reads the prompt as often.
            let is_asked_again =
                matches!(kind.map(ProviderKind::form), Some(TextForm::PerPrompt { has_n: false, .. }));
            let times = if is_asked_again { self.choices } else { 1 };
            CallUsage {
                input_tokens: Some(self.prompt.saturating_mul(times)),
                output_tokens: Some(output),
                ..CallUsage::default()
            }
        };
        match operation {
            Operation::TextCompletion => has_text(writes(most(DEFAULT_COMPLETION))),
            Operation::ChatCompletion => has_text(writes(self.generates.unwrap_or_else(by_model))),
            Operation::Responses | Operation::Messages => has_text(self.generates.unwrap_or_else(by_model)),
            Operation::Embedding => CallUsage { input_tokens: Some(self.prompt), ..CallUsage::default() },
            Operation::Rerank => CallUsage {
                input_tokens: Some(self.prompt),
                searches: Some(self.documents.div_ceil(DOCUMENTS_OF_A_SEARCH).max(1)),
                ..CallUsage::default()
            },
            Operation::Speech => CallUsage {
                input_tokens: Some(self.prompt),
                characters: Some(self.text_bytes),
                ..CallUsage::default()
            },
            Operation::Transcription => CallUsage {
                input_tokens: Some(self.prompt),
                output_tokens: Some(self.prompt),
                audio_ms: Some(self.media_bytes.saturating_mul(1000) / BYTES_OF_A_SECOND),
                ..CallUsage::default()
            },
            Operation::ImageGeneration | Operation::ImageEdit | Operation::ImageVariation => {
                let is_by_tokens = price.is_some_and(Price::is_by_tokens);
                let output = if is_by_tokens { self.choices.saturating_mul(TOKENS_OF_AN_IMAGE) } else { 0 };
                CallUsage {
                    input_tokens: Some(self.prompt),
                    output_tokens: Some(output),
                    output_image_tokens: output,
                    images: Some(self.choices),
                    ..CallUsage::default()
                }
            }
            Operation::Ocr => CallUsage {
                input_tokens: Some(self.prompt),
                pages: Some(self.media_bytes / BYTES_OF_A_PAGE + 1),
                ..CallUsage::default()
            },
        }
    }

    /// The most that it can cost, whatever kind of tokens they are.
    fn dearest(&self, price: &Price, usage: CallUsage) -> Option<u64> {
        let usage = CallUsage { service_tier: self.service_tier, ..usage };
        let input = usage.input_tokens.unwrap_or(0);
        let output = usage.output_tokens.unwrap_or(0);
        let kept = if self.is_to_be_cached { input } else { 0 };
        let cached = CallUsage { cache_write_tokens: kept, cache_hour_tokens: kept, ..usage };
        let thinks = CallUsage { reasoning_tokens: output, ..cached };
        let heard = CallUsage { input_audio_tokens: self.media_tokens(), ..usage };
        let seen = CallUsage { input_image_tokens: self.media_tokens(), ..usage };
        [usage, cached, thinks, heard, seen].iter().filter_map(|usage| price.cost(usage)).max()
    }

    const fn media_tokens(&self) -> u64 {
        self.media_bytes.div_ceil(MEDIA_BYTES_PER_TOKEN)
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Bytes of media in JSON: of strings that are long, and have neither a space nor a letter of another script, as base64 has none.
fn media_in(json: &str) -> usize {
    if json.len() < SHORTEST_MEDIUM {
        return 0;
    }
    let is_medium = |text: &&str| {
        let head = text.as_bytes().get(..SHORTEST_MEDIUM);
        head.is_some_and(|head| head.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\'))
    };
    json.split('"').filter(is_medium).map(str::len).sum()
}

/// How many prompts a `prompt` has: a list of texts or of lists of tokens has several.
fn prompts_in(prompt: &RawValue) -> u64 {
    let inside = prompt.get().strip_prefix('[').map(str::trim_ascii_start);
    if inside.is_some_and(|inside| inside.starts_with(['"', '['])) { elements_of(prompt).max(1) } else { 1 }
}

fn elements_of(list: &RawValue) -> u64 {
    serde_json::from_str::<Vec<serde::de::IgnoredAny>>(list.get()).map_or(0, |list| count(list.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(operation: Operation, body: &str, media: u64, targets: &[&str]) -> Estimate {
        let targets: Vec<Target> = targets.iter().map(|target| target.parse().unwrap()).collect();
        estimate(operation, body, media, &targets, &Prices::default())
    }

    fn tokens(operation: Operation, body: &str, target: &str) -> u64 {
        of(operation, body, 0, &[target]).tokens
    }

    #[test]
    fn tokens_are_those_of_the_prompt_and_the_most_that_may_be_written() {
        let (text, chat) = (Operation::TextCompletion, Operation::ChatCompletion);
        for (operation, body, wanted) in [
            (text, r#"{"prompt":"12345678901234"}"#, 4 + 16),
            (text, r#"{"prompt":"12345678901234","max_tokens":100}"#, 4 + 100),
            (text, r#"{"prompt":"12345678901234","max_tokens":100,"n":2,"best_of":3}"#, 4 + 300),
            (text, r#"{"prompt":["123456","1234"],"max_tokens":100,"n":2}"#, 5 + 400),
            (text, r#"{"prompt":[1,2,3,4,5,6],"max_tokens":0}"#, 4),
            (text, r#"{"prompt":[[1,2],[3]],"max_tokens":7}"#, 3 + 14),
            (chat, r#"{"messages":[],"max_tokens":5,"max_completion_tokens":9}"#, 1 + 9),
            (chat, r#"{"messages":[]}"#, 1 + 4096),
            (Operation::Responses, r#"{"input":"123456","max_output_tokens":30}"#, 2 + 30),
            (Operation::Messages, r#"{"messages":[],"system":"123456","max_tokens":30}"#, 3 + 30),
            (Operation::Embedding, r#"{"input":"12345678901234"}"#, 4),
            (Operation::Rerank, r#"{"query":"123456","documents":["123456"]}"#, 5),
            (Operation::ImageGeneration, r#"{"prompt":"123456","n":4}"#, 2),
            (text, "no JSON", 16),
        ] {
            assert_eq!(tokens(operation, body, "nobody/model"), wanted, "{body}");
        }
    }

    #[test]
    fn it_depends_on_the_target_how_often_a_prompt_is_read_and_how_much_is_written() {
        let body = r#"{"messages":[{"content":"12345678901234"}],"n":3,"max_tokens":10}"#;
        let prompt = tokens(Operation::Embedding, r#"{"input":[{"content":"12345678901234"}]}"#, "a/b");
        assert_eq!(tokens(Operation::ChatCompletion, body, "openai/gpt-4o"), prompt + 30);
        assert_eq!(tokens(Operation::ChatCompletion, body, "anthropic/claude-sonnet-4-5"), 3 * prompt + 30);
        let short = r#"{"messages":[]}"#;
        assert_eq!(
            tokens(Operation::ChatCompletion, short, "openai/gpt-4o"),
            1 + 16_384,
            "what the model has"
        );
    }

    #[test]
    fn media_are_no_text() {
        let image = "iVBORw0KGgo".repeat(1000);
        let body =
            format!(r#"{{"messages":[{{"image_url":"data:image/png;base64,{image}"}}],"max_tokens":1}}"#);
        let with_image = tokens(Operation::ChatCompletion, &body, "a/b");
        assert!((11_000 / 64..11_000 / 64 + 20).contains(&with_image), "{with_image}");
        let text = "word ".repeat(2200);
        let body = format!(r#"{{"messages":"{text}","max_tokens":1}}"#);
        assert_eq!(tokens(Operation::ChatCompletion, &body, "a/b"), 11_002 / 4 + 2);
        let other = "語".repeat(1000);
        let body = format!(r#"{{"messages":"{other}","max_tokens":1}}"#);
        assert_eq!(tokens(Operation::ChatCompletion, &body, "a/b"), 3002 / 4 + 2);
        let form = r#"{"parts":[{"name":"prompt","value":"12345678"},{"name":"image","bytes":6400}]}"#;
        assert_eq!(of(Operation::ImageEdit, form, 6400, &["a/b"]).tokens, 2 + 100);
    }

    #[test]
    fn the_dearest_target_counts() {
        let body = r#"{"prompt":"12345678901234","max_tokens":100}"#;
        let cost = |targets: &[&str]| of(Operation::TextCompletion, body, 0, targets).cost;
        let (dear, cheap) = ("openai/gpt-4o", "openai/gpt-4o-mini");
        assert_eq!(cost(&[dear]), 4 * 2500 + 100 * 10_000);
        assert_eq!(cost(&[cheap]), 4 * 150 + 100 * 600);
        assert_eq!(cost(&[cheap, dear, "nobody/model"]), cost(&[dear]));
        assert_eq!(cost(&["nobody/model"]), 0);
    }

    #[test]
    fn what_may_cost_more_is_counted_at_that() {
        let cost = |operation, body: &str, media, target: &str| of(operation, body, media, &[target]).cost;
        let claude = "anthropic/claude-sonnet-4-5";
        let cached = r#"{"messages":[{"cache_control":{}}],"max_tokens":0}"#;
        let prompt = tokens(Operation::Messages, cached, claude);
        assert_eq!(cost(Operation::Messages, cached, 0, claude), prompt * 6000, "kept for an hour");
        let plain = r#"{"messages":[],"max_tokens":10}"#;
        assert_eq!(cost(Operation::ChatCompletion, plain, 0, "openai/gpt-4o"), 2500 + 100_000);
        let priority = r#"{"messages":[],"max_tokens":10,"service_tier":"priority"}"#;
        assert_eq!(cost(Operation::ChatCompletion, priority, 0, "openai/gpt-4o"), 4250 + 170_000);
        // By units of their own.
        let speech = r#"{"input":"12345678"}"#;
        assert_eq!(cost(Operation::Speech, speech, 0, "openai/tts-1"), 10 * 15_000);
        let form = r#"{"parts":[{"name":"file","bytes":40000}]}"#;
        assert_eq!(cost(Operation::Transcription, form, 40_000, "openai/whisper-1"), 10 * 100_000);
        let rerank = r#"{"query":"q","documents":["a","b"]}"#;
        assert_eq!(cost(Operation::Rerank, rerank, 0, "cohere/rerank-v3.5"), 2_000_000);
        let image = r#"{"prompt":"123456","n":2}"#;
        assert_eq!(
            cost(Operation::ImageGeneration, image, 0, "openai/gpt-image-1"),
            2 * 5000 + 2 * 6240 * 40_000
        );
        assert_eq!(
            cost(Operation::ImageGeneration, image, 0, "bedrock/amazon.nova-canvas-v1:0"),
            120_000_000
        );
    }
}
