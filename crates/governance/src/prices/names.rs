//! Names by which a model may stand in a list.

use hermod_types::config::ProviderKind;

/// Regions that Bedrock's inference profiles begin with.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>
const REGIONS: [&str; 8] = ["us.", "eu.", "apac.", "global.", "jp.", "au.", "ca.", "us-gov."];

/// Vendors by `OpenRouter`'s names, whose prices it passes on.
const VENDORS: [(&str, ProviderKind); 8] = [
    ("openai", ProviderKind::OpenAi),
    ("anthropic", ProviderKind::Anthropic),
    ("google", ProviderKind::Gemini),
    ("mistralai", ProviderKind::Mistral),
    ("deepseek", ProviderKind::DeepSeek),
    ("x-ai", ProviderKind::Xai),
    ("cohere", ProviderKind::Cohere),
    ("perplexity", ProviderKind::Perplexity),
];

/// Where else the price of a model may stand, as (provider, model), the most likely first: under the name without a region, a path, a
/// date or a version, or at the vendor whose model it is.
pub(super) fn others(kind: ProviderKind, model: &str) -> Vec<(ProviderKind, String)> {
    let mut found = Vec::new();
    let mut push = |kind: ProviderKind, name: &str| {
        if name != model && !name.is_empty() {
            found.push((kind, name.to_owned()));
        }
        let dateless = without_date(name);
        if dateless != name {
            found.push((kind, dateless.to_owned()));
        }
    };
    match kind {
        ProviderKind::Bedrock => {
            // An ARN ends with the model, or with a profile that names it.
            let last = model.rsplit('/').next().unwrap_or(model);
            push(kind, last);
            let bare = REGIONS.iter().find_map(|region| last.strip_prefix(region)).unwrap_or(last);
            push(kind, bare);
        }
        ProviderKind::Vertex | ProviderKind::Gemini => {
            let last = model.rsplit('/').next().unwrap_or(model);
            push(kind, last);
            push(kind, last.split('@').next().unwrap_or(last));
        }
        ProviderKind::OpenRouter => {
            if let Some((vendor, name)) = model.split_once('/')
                && let Some((_, vendor)) = VENDORS.iter().find(|(known, _)| *known == vendor)
            {
                push(*vendor, name);
                // It writes a version with a point where Anthropic does not.
                push(*vendor, &name.replace('.', "-"));
            }
        }
        ProviderKind::OpenAi | ProviderKind::Azure => {
            // `ft:<model>:<organisation>:<suffix>:<id>`
            if let Some(tuned) = model.strip_prefix("ft:") {
                let base = tuned.split(':').next().unwrap_or(tuned);
                push(kind, &format!("ft:{base}"));
            } else {
                push(kind, model);
                if kind == ProviderKind::Azure {
                    // A deployment is often called as its model, which costs the same at both.
                    found.push((ProviderKind::OpenAi, model.to_owned()));
                }
            }
        }
        ProviderKind::Fireworks => push(kind, &format!("accounts/fireworks/models/{model}")),
        ProviderKind::Compatible
        | ProviderKind::Vllm
        | ProviderKind::Ollama
        | ProviderKind::LlamaCpp
        | ProviderKind::Sgl
        | ProviderKind::Tgi
        | ProviderKind::Together
        | ProviderKind::DeepSeek
        | ProviderKind::Nebius
        | ProviderKind::Parasail
        | ProviderKind::Mistral
        | ProviderKind::HuggingFace
        | ProviderKind::Groq
        | ProviderKind::Xai
        | ProviderKind::Cerebras
        | ProviderKind::Perplexity
        | ProviderKind::Anthropic
        | ProviderKind::Cohere
        | ProviderKind::ElevenLabs
        | ProviderKind::Voyage
        | ProviderKind::Jina => push(kind, model),
    }
    found
}

/// A snapshot's name without its date: `-2024-08-06`, `-20250929`; or without `-latest`.
fn without_date(model: &str) -> &str {
    if let Some(base) = model.strip_suffix("-latest") {
        return base;
    }
    let digits =
        |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let compact = model.rsplit_once('-').filter(|(_, date)| digits(date, 8)).map(|(base, _)| base);
    let dashed = || {
        let (rest, day) = model.rsplit_once('-')?;
        let (rest, month) = rest.rsplit_once('-')?;
        let (base, year) = rest.rsplit_once('-')?;
        (digits(day, 2) && digits(month, 2) && digits(year, 4)).then_some(base)
    };
    compact.or_else(dashed).unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_its_base() {
        for (kind, model, wanted) in [
            (ProviderKind::OpenAi, "gpt-x-2024-08-06", "openai/gpt-x"),
            (ProviderKind::OpenAi, "ft:gpt-x-2024-08-06:acme::abc", "openai/ft:gpt-x-2024-08-06"),
            (ProviderKind::OpenAi, "ft:gpt-x-2024-08-06:acme::abc", "openai/ft:gpt-x"),
            (ProviderKind::Anthropic, "claude-x-20250929", "anthropic/claude-x"),
            (ProviderKind::Mistral, "codestral-latest", "mistral/codestral"),
            (ProviderKind::Azure, "gpt-x", "openai/gpt-x"),
            (ProviderKind::Bedrock, "eu.anthropic.claude-x-v1:0", "bedrock/anthropic.claude-x-v1:0"),
            (
                ProviderKind::Bedrock,
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.x",
                "bedrock/amazon.x",
            ),
            (ProviderKind::Vertex, "publishers/google/models/gemini-x", "vertex/gemini-x"),
            (ProviderKind::Vertex, "claude-x@20250101", "vertex/claude-x"),
            (ProviderKind::Gemini, "models/gemini-x", "gemini/gemini-x"),
            (ProviderKind::OpenRouter, "anthropic/claude-x-4.5", "anthropic/claude-x-4-5"),
            (ProviderKind::Fireworks, "llama", "fireworks/accounts/fireworks/models/llama"),
        ] {
            let found: Vec<_> =
                others(kind, model).iter().map(|(kind, name)| format!("{kind}/{name}")).collect();
            assert!(found.iter().any(|name| name == wanted), "{kind}/{model}: {found:?}");
        }
        assert!(others(ProviderKind::Groq, "llama-3.1-8b").is_empty());
        assert!(others(ProviderKind::OpenRouter, "nobody/model").is_empty());
    }
}
