use hermod_providers::{Bill, CallError, CallResult, Key, Providers};
use hermod_service::{TraceKind, TracePropagation, TraceSpan};
use hermod_types::config::ProviderKind;
use hermod_types::{CallUsage, ErrorCode, Operation, Target, TraceContext};
use serde::Deserialize;

use super::answer::Answer;
use super::{content, name_of, word};

/// Kinds of providers that the conventions call by another name than a configuration does.
const OTHER_NAMES: [(ProviderKind, &str); 6] = [
    (ProviderKind::Azure, "azure.ai.openai"),
    (ProviderKind::Bedrock, "aws.bedrock"),
    (ProviderKind::Gemini, "gcp.gemini"),
    (ProviderKind::Vertex, "gcp.vertex_ai"),
    (ProviderKind::Mistral, "mistral_ai"),
    (ProviderKind::Xai, "x_ai"),
];

/// A call that is about to be made.
pub(crate) struct Calling<'a> {
    pub(crate) providers: &'a Providers,
    pub(crate) operation: Operation,
    pub(crate) target: &'a Target,
    pub(crate) key: &'a Key,
    /// What the provider gets, less the model.
    pub(crate) body: &'a str,
    /// The target's place in the chain: 0 for the primary.
    pub(crate) index: usize,
    /// Retries of the target before it.
    pub(crate) retries: u32,
}

/// The span of one call. One that is dropped before its outcome was told was broken off.
pub(crate) struct CallSpan {
    span: TraceSpan,
    is_told: bool,
}

/// What is told of a request.
#[derive(Deserialize)]
struct Asked {
    #[serde(alias = "max_completion_tokens", alias = "max_output_tokens")]
    max_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    seed: Option<i64>,
    n: Option<i64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
}

impl CallSpan {
    /// Begins it below the job's run.
    pub(crate) fn begin(run: &TraceSpan, call: &Calling<'_>) -> Self {
        if !run.is_recorded() {
            return Self { span: TraceSpan::default(), is_told: true };
        }
        let (operation, model) = (name_of(call.operation), call.key.model(call.target.model()));
        let span = run.child(TraceKind::Client, || format!("{operation} {model}"));
        span.set("gen_ai.operation.name", operation);
        let provider = call.providers.kind(call.target).map(|kind| provider_of(kind, call.target.provider()));
        span.set("gen_ai.provider.name", provider.unwrap_or(call.target.provider()).to_owned());
        span.set("gen_ai.request.model", model.to_owned());
        if let Some((host, port)) = call.providers.server(call.target, call.key) {
            span.set("server.address", host);
            if let Some(port) = port {
                span.set("server.port", i64::from(port));
            }
        }
        span.set("hermod.target", call.target.to_string());
        span.count("hermod.target.index", u64::try_from(call.index).unwrap_or_default());
        if call.retries > 0 {
            span.count("http.request.resend_count", call.retries.into());
        }
        asked(&span, call.body);
        if span.has_content()
            && let Some(messages) = content::asked(call.operation, call.body)
        {
            span.set("gen_ai.input.messages", messages);
        }
        Self { span, is_told: false }
    }

    /// Where it stands, if the provider is to be told.
    pub(crate) fn told(&self) -> Option<Box<TraceContext>> {
        self.span.told_to(TracePropagation::Providers)
    }

    /// Ends it. `outcome`: none for a call that was broken off, as its job is to be ended as cancelled.
    pub(crate) fn end(
        mut self,
        call: &Calling<'_>,
        outcome: Option<&Result<CallResult, CallError>>,
        bill: &Bill,
    ) {
        self.is_told = true;
        let span = &self.span;
        if !span.is_recorded() {
            return;
        }
        used(span, &bill.usages());
        match outcome {
            Some(Ok(result)) => {
                span.set("http.response.status_code", 200);
                answered(span, call.operation, result.text());
            }
            Some(Err(error)) => {
                if let Some(status) = error.answered() {
                    span.set("http.response.status_code", i64::from(status));
                }
                // The provider's word for it where it has one.
                let theirs = error.detail.kind.as_deref().filter(|_| error.code == ErrorCode::UpstreamError);
                let theirs = theirs.and_then(word);
                span.fail(theirs.as_deref().unwrap_or(error.code.as_str()));
            }
            None => span.fail("cancelled"),
        }
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        if !self.is_told {
            self.span.fail("aborted");
        }
    }
}

fn asked(span: &TraceSpan, body: &str) {
    let Ok(asked) = serde_json::from_str::<Asked>(body) else { return };
    let number = |name, value: Option<f64>| {
        if let Some(value) = value {
            span.set(name, value);
        }
    };
    number("gen_ai.request.temperature", asked.temperature);
    number("gen_ai.request.top_p", asked.top_p);
    number("gen_ai.request.frequency_penalty", asked.frequency_penalty);
    number("gen_ai.request.presence_penalty", asked.presence_penalty);
    if let Some(tokens) = asked.max_tokens {
        span.count("gen_ai.request.max_tokens", tokens);
    }
    if let Some(seed) = asked.seed {
        span.set("gen_ai.request.seed", seed);
    }
    if let Some(n) = asked.n.filter(|n| *n != 1) {
        span.set("gen_ai.request.choice.count", n);
    }
}

fn used(span: &TraceSpan, usages: &[CallUsage]) {
    let sum =
        |tokens: fn(&CallUsage) -> Option<u64>| usages.iter().filter_map(tokens).reduce(u64::saturating_add);
    let told = |name, tokens: Option<u64>| {
        if let Some(tokens) = tokens {
            span.count(name, tokens);
        }
    };
    let some = |tokens: u64| Some(tokens).filter(|tokens| *tokens > 0);
    told("gen_ai.usage.input_tokens", sum(|usage| usage.input_tokens));
    told("gen_ai.usage.output_tokens", sum(|usage| usage.output_tokens));
    let total = |tokens: fn(&CallUsage) -> u64| some(usages.iter().map(tokens).sum());
    told("gen_ai.usage.cache_read.input_tokens", total(|usage| usage.cache_read_tokens));
    told("gen_ai.usage.cache_write.input_tokens", total(|usage| usage.cache_write_tokens));
    told("gen_ai.usage.reasoning.output_tokens", total(|usage| usage.reasoning_tokens));
}

fn answered(span: &TraceSpan, operation: Operation, result: &str) {
    let answer = Answer::read(result);
    if let Some(id) = answer.id {
        span.set("gen_ai.response.id", id);
    }
    if let Some(model) = answer.model {
        span.set("gen_ai.response.model", model);
    }
    if !answer.finish_reasons.is_empty() {
        span.list("gen_ai.response.finish_reasons", answer.finish_reasons);
    }
    if span.has_content()
        && let Some(messages) = content::answered(operation, result)
    {
        span.set("gen_ai.output.messages", messages);
    }
}

/// What the conventions call a provider; its name here where they do not know it.
fn provider_of(kind: ProviderKind, name: &str) -> &str {
    // A server of somebody's: only its operator knows what it is.
    if kind == ProviderKind::Compatible {
        return name;
    }
    let other = OTHER_NAMES.iter().find(|(known, _)| *known == kind);
    other.map_or_else(|| kind.name(), |(_, name)| name)
}
