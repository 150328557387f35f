use std::fmt;

/// An API that we speak. What is known of each is one row of [`ROWS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// OpenAI itself.
    OpenAi,
    /// A server that speaks OpenAI's API: whatever has an address and no other kind.
    Compatible,
    /// OpenAI's models at Azure.
    Azure,
    /// A vLLM server.
    Vllm,
    /// An Ollama server.
    Ollama,
    /// A llama.cpp server.
    LlamaCpp,
    /// An `SGLang` server.
    Sgl,
    /// Hugging Face's text-generation-inference: a dedicated endpoint, or a server of one's own.
    Tgi,
    /// Together AI.
    Together,
    /// Fireworks AI.
    Fireworks,
    /// `OpenRouter`.
    OpenRouter,
    /// `DeepSeek`.
    DeepSeek,
    /// Nebius Token Factory.
    Nebius,
    /// Parasail.
    Parasail,
    /// Mistral, through its fill-in-the-middle API.
    Mistral,
    /// Hugging Face's router, which has chat only.
    HuggingFace,
    /// Groq.
    Groq,
    /// xAI.
    Xai,
    /// Cerebras.
    Cerebras,
    /// Perplexity.
    Perplexity,
    /// Anthropic, through its messages API.
    Anthropic,
    /// Cohere, through its chat API.
    Cohere,
    /// Google's Gemini API.
    Gemini,
    /// Gemini at Google Cloud's Vertex AI.
    Vertex,
    /// Amazon Bedrock: its Converse API, and what its models are invoked with.
    Bedrock,
    /// `ElevenLabs`, which has speech and transcriptions.
    ElevenLabs,
    /// Voyage AI, which has embeddings and rerank.
    Voyage,
    /// Jina AI, which has embeddings and rerank.
    Jina,
}

/// How a text completion is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// In OpenAI's own form: the client's members go as they came, and so does the answer.
    Native,
    /// By one call, or several, for each prompt, whose answers are put together.
    PerPrompt {
        /// Members of a request that change its answer and cannot be said there.
        lacks: &'static [&'static str],
        /// Whether one call can ask for several choices with `n`.
        has_n: bool,
        /// What it takes less of than OpenAI does.
        bounds: Bounds,
    },
}

/// What a provider takes of members that it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Numbers with the least and the greatest value that they may have.
    pub numbers: &'static [(&'static str, f64, f64)],
    /// The most stop sequences.
    pub stops: usize,
    /// Whether a stop sequence may be nothing but white space.
    pub blank_stops: bool,
}

impl Bounds {
    /// Whatever OpenAI takes.
    const NONE: Self = Self { numbers: &[], stops: usize::MAX, blank_stops: true };
}

/// What is known of a [`ProviderKind`].
#[derive(Debug)]
struct Row {
    kind: ProviderKind,
    name: &'static str,
    /// Where it is; none for what each operator has a server of.
    base_url: Option<&'static str>,
    /// The variable that usually holds its key; none where it needs none.
    variable: Option<&'static str>,
    form: Form,
}

/// Of those that write no text: they are never asked.
const NO_TEXT: Form = Form::PerPrompt { lacks: &[], has_n: false, bounds: Bounds::NONE };
/// Mistral's fill-in-the-middle API: <https://docs.mistral.ai/api/endpoint/fim>
const FIM: Form = Form::PerPrompt {
    lacks: &["logprobs", "best_of", "logit_bias", "frequency_penalty", "presence_penalty"],
    has_n: false,
    bounds: Bounds::NONE,
};
/// What no chat API has.
const CHAT: Form =
    Form::PerPrompt { lacks: &["suffix", "logprobs", "best_of"], has_n: true, bounds: Bounds::NONE };
/// <https://console.groq.com/docs/openai#currently-unsupported-openai-features>
const GROQ: Form = Form::PerPrompt {
    lacks: &["suffix", "logprobs", "best_of", "logit_bias"],
    has_n: false,
    bounds: Bounds::NONE,
};
/// <https://inference-docs.cerebras.ai/resources/openai>
const CEREBRAS: Form = Form::PerPrompt {
    lacks: &["suffix", "logprobs", "best_of", "logit_bias", "frequency_penalty", "presence_penalty"],
    has_n: false,
    bounds: Bounds::NONE,
};
/// <https://docs.perplexity.ai/api-reference/chat-completions-post>
const PERPLEXITY: Form = Form::PerPrompt {
    lacks: &["suffix", "logprobs", "best_of", "logit_bias", "stop"],
    has_n: false,
    bounds: Bounds::NONE,
};
/// <https://docs.claude.com/en/api/messages>
const ANTHROPIC: Form = Form::PerPrompt {
    lacks: &["suffix", "logprobs", "best_of", "logit_bias", "frequency_penalty", "presence_penalty"],
    has_n: false,
    bounds: Bounds { numbers: &[("temperature", 0.0, 1.0)], stops: usize::MAX, blank_stops: false },
};
/// <https://docs.cohere.com/v2/reference/chat>
const COHERE: Form = Form::PerPrompt {
    lacks: &["suffix", "logprobs", "best_of", "logit_bias"],
    has_n: false,
    bounds: Bounds {
        numbers: &[
            ("temperature", 0.0, 1.0),
            ("frequency_penalty", 0.0, 1.0),
            ("presence_penalty", 0.0, 1.0),
        ],
        stops: 5,
        blank_stops: true,
    },
};
/// <https://ai.google.dev/api/generate-content#generationconfig>
const GEMINI: Form = Form::PerPrompt {
    lacks: &["suffix", "logprobs", "best_of", "logit_bias"],
    has_n: false,
    bounds: Bounds { numbers: &[], stops: 5, blank_stops: true },
};
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InferenceConfiguration.html>
const BEDROCK: Form = Form::PerPrompt {
    lacks: &["suffix", "logprobs", "best_of", "logit_bias", "frequency_penalty", "presence_penalty"],
    has_n: false,
    bounds: Bounds { numbers: &[("temperature", 0.0, 1.0)], stops: 2500, blank_stops: true },
};

const fn row(
    kind: ProviderKind,
    name: &'static str,
    base_url: Option<&'static str>,
    variable: Option<&'static str>,
    form: Form,
) -> Row {
    Row { kind, name, base_url, variable, form }
}

#[rustfmt::skip]
const ROWS: [Row; 28] = [
    row(ProviderKind::OpenAi, "openai", Some("https://api.openai.com"), Some("OPENAI_API_KEY"), Form::Native),
    row(ProviderKind::Compatible, "openai-compatible", None, None, Form::Native),
    row(ProviderKind::Azure, "azure", None, Some("AZURE_OPENAI_API_KEY"), Form::Native),
    row(ProviderKind::Vllm, "vllm", None, None, Form::Native),
    row(ProviderKind::Ollama, "ollama", None, None, Form::Native),
    row(ProviderKind::LlamaCpp, "llamacpp", None, None, Form::Native),
    row(ProviderKind::Sgl, "sgl", None, None, Form::Native),
    row(ProviderKind::Tgi, "tgi", None, None, Form::Native),
    row(ProviderKind::Together, "together", Some("https://api.together.xyz"), Some("TOGETHER_API_KEY"), Form::Native),
    row(ProviderKind::Fireworks, "fireworks", Some("https://api.fireworks.ai/inference"), Some("FIREWORKS_API_KEY"), Form::Native),
    row(ProviderKind::OpenRouter, "openrouter", Some("https://openrouter.ai/api"), Some("OPENROUTER_API_KEY"), Form::Native),
    row(ProviderKind::DeepSeek, "deepseek", Some("https://api.deepseek.com"), Some("DEEPSEEK_API_KEY"), Form::Native),
    row(ProviderKind::Nebius, "nebius", Some("https://api.tokenfactory.nebius.com"), Some("NEBIUS_API_KEY"), Form::Native),
    row(ProviderKind::Parasail, "parasail", Some("https://api.parasail.io"), Some("PARASAIL_API_KEY"), Form::Native),
    row(ProviderKind::Mistral, "mistral", Some("https://api.mistral.ai"), Some("MISTRAL_API_KEY"), FIM),
    row(ProviderKind::HuggingFace, "huggingface", Some("https://router.huggingface.co"), Some("HF_TOKEN"), CHAT),
    row(ProviderKind::Groq, "groq", Some("https://api.groq.com/openai"), Some("GROQ_API_KEY"), GROQ),
    row(ProviderKind::Xai, "xai", Some("https://api.x.ai"), Some("XAI_API_KEY"), CHAT),
    row(ProviderKind::Cerebras, "cerebras", Some("https://api.cerebras.ai"), Some("CEREBRAS_API_KEY"), CEREBRAS),
    row(ProviderKind::Perplexity, "perplexity", Some("https://api.perplexity.ai"), Some("PERPLEXITY_API_KEY"), PERPLEXITY),
    row(ProviderKind::Anthropic, "anthropic", Some("https://api.anthropic.com"), Some("ANTHROPIC_API_KEY"), ANTHROPIC),
    row(ProviderKind::Cohere, "cohere", Some("https://api.cohere.com"), Some("COHERE_API_KEY"), COHERE),
    row(ProviderKind::Gemini, "gemini", Some("https://generativelanguage.googleapis.com"), Some("GEMINI_API_KEY"), GEMINI),
    row(ProviderKind::Vertex, "vertex", Some("https://aiplatform.googleapis.com"), None, GEMINI),
    row(ProviderKind::Bedrock, "bedrock", Some("https://bedrock-runtime.us-east-1.amazonaws.com"), Some("AWS_BEARER_TOKEN_BEDROCK"), BEDROCK),
    row(ProviderKind::ElevenLabs, "elevenlabs", Some("https://api.elevenlabs.io"), Some("ELEVENLABS_API_KEY"), NO_TEXT),
    row(ProviderKind::Voyage, "voyage", Some("https://api.voyageai.com"), Some("VOYAGE_API_KEY"), NO_TEXT),
    row(ProviderKind::Jina, "jina", Some("https://api.jina.ai"), Some("JINA_API_KEY"), NO_TEXT),
];

/// Providers that a Bifrost file may hold and that we do not speak to: passed over with a warning.
const ELSEWHERE: [&str; 9] = [
    "bedrock_mantle",
    "deepgram",
    "opencode-go",
    "opencode-zen",
    "replicate",
    "runware",
    "runway",
    "sapaicore",
    "sarvam",
];

// Each kind's row is found by its place in the enum.
const _: () = {
    let mut place = 0;
    while place < ROWS.len() {
        assert!(ROWS[place].kind as usize == place, "the rows stand in the order of the enum");
        place += 1;
    }
    assert!(ProviderKind::Jina as usize + 1 == ROWS.len(), "the last kind has the last row");
};

impl ProviderKind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.kind)
    }

    /// The kind of this name in a configuration, which is Bifrost's where Bifrost has it.
    pub fn from_name(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    /// Whether the name is that of a provider that exists and that we do not speak to.
    pub(super) fn is_elsewhere(name: &str) -> bool {
        ELSEWHERE.contains(&name)
    }

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Where the provider is, if it is one place: without `/v1`, or what else its paths begin with.
    pub fn base_url(self) -> Option<&'static str> {
        self.row().base_url
    }

    /// The environment variable that usually holds its key.
    pub fn key_variable(self) -> Option<&'static str> {
        self.row().variable
    }

    /// How it is asked for a text completion.
    pub fn form(self) -> Form {
        self.row().form
    }

    const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_kind_has_a_row_and_a_name_of_its_own() {
        let names: HashSet<_> = ProviderKind::all().map(ProviderKind::name).collect();
        assert_eq!(names.len(), ROWS.len());
        for kind in ProviderKind::all() {
            assert_eq!(ProviderKind::from_name(kind.name()), Some(kind));
        }
        assert!(ELSEWHERE.iter().all(|name| !names.contains(name)));
    }
}
