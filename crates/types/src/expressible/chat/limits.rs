//! What the chat of each kind of provider takes, of what OpenAI's has.

use crate::Document;
use crate::config::ProviderKind;

/// What a provider of another form takes. Numbers and stop sequences have their bounds in
/// [`Bounds`](crate::config::Bounds), which text completions share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Image by URL, and not as data URLs only.
    pub(super) image_urls: bool,
    /// Media types of images in data URLs.
    pub(super) images: &'static [&'static str],
    /// `format`s of `input_audio`.
    pub(super) audio: &'static [&'static str],
    pub(super) documents: &'static [Document],
    /// Files by `file_url`.
    pub(super) file_urls: bool,
    /// How the ids of the provider's own files begin; none where it takes no ids.
    pub(super) file_ids: Option<&'static str>,
    /// Images and files in what a tool has given.
    pub(super) tool_media: bool,
    /// `tool_choice` that names a function.
    pub(super) named_function: bool,
    /// `parallel_tool_calls: false`.
    pub(super) single_tool_calls: bool,
    pub(super) json_object: bool,
    pub(super) json_schema: bool,
    /// Members that change the answer and cannot be said.
    pub(super) lacks: &'static [&'static str],
}

/// What no form but OpenAI's has: a result of ours has no log probabilities, no audio and no predictions, and functions are called
/// as tools.
const EVERYWHERE: [&str; 11] = [
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
    "functions",
    "function_call",
    "verbosity",
    "truncation",
];

const PENALTIES: &[&str] = &["frequency_penalty", "presence_penalty"];

const WEB_IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];
/// <https://ai.google.dev/gemini-api/docs/image-understanding#supported-formats>
const GEMINI_IMAGES: &[&str] = &["image/jpeg", "image/png", "image/webp", "image/heic", "image/heif"];
const TEXTS: &[Document] =
    &[Document::Pdf, Document::Text, Document::Markdown, Document::Html, Document::Csv];

/// - Images: <https://platform.claude.com/docs/en/build-with-claude/vision>
/// - Documents: <https://platform.claude.com/docs/en/build-with-claude/pdf-support>, and texts as plain text
/// - Files: <https://platform.claude.com/docs/en/build-with-claude/files>
/// - Members: <https://platform.claude.com/docs/en/api/messages>
const ANTHROPIC: Limits = Limits {
    image_urls: true,
    images: WEB_IMAGES,
    audio: &[],
    documents: TEXTS,
    file_urls: true,
    file_ids: Some("file_"),
    tool_media: true,
    named_function: true,
    single_tool_calls: true,
    json_object: false,
    json_schema: true,
    lacks: PENALTIES,
};

/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html>, and the types that it names. One tool call at
/// a time is Claude's alone, which is told when the model is known.
const BEDROCK: Limits = Limits {
    image_urls: false,
    images: WEB_IMAGES,
    audio: &[],
    documents: &[
        Document::Pdf,
        Document::Text,
        Document::Markdown,
        Document::Html,
        Document::Csv,
        Document::Doc,
        Document::Docx,
        Document::Xls,
        Document::Xlsx,
    ],
    file_urls: false,
    file_ids: None,
    tool_media: true,
    named_function: true,
    single_tool_calls: true,
    json_object: false,
    json_schema: true,
    lacks: PENALTIES,
};

/// <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/gemini-api/docs/audio>
const GEMINI: Limits = Limits {
    image_urls: false,
    images: GEMINI_IMAGES,
    audio: &["wav", "mp3", "aiff", "aac", "ogg", "flac"],
    documents: TEXTS,
    file_urls: false,
    file_ids: None,
    tool_media: false,
    named_function: true,
    single_tool_calls: false,
    json_object: true,
    json_schema: true,
    lacks: &[],
};

/// As Gemini, but it fetches by itself: <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference#filedata>
const VERTEX: Limits = Limits { image_urls: true, file_urls: true, ..GEMINI };

/// <https://docs.cohere.com/v2/reference/chat>
const COHERE: Limits = Limits {
    image_urls: true,
    images: WEB_IMAGES,
    audio: &[],
    documents: &[],
    file_urls: false,
    file_ids: None,
    tool_media: false,
    named_function: false,
    single_tool_calls: false,
    json_object: true,
    json_schema: true,
    lacks: &[],
};

impl Limits {
    /// None for a kind whose chat has OpenAI's form, and for one that has no chat.
    pub(super) const fn of(kind: ProviderKind) -> Option<Self> {
        match kind {
            ProviderKind::Anthropic => Some(ANTHROPIC),
            ProviderKind::Bedrock => Some(BEDROCK),
            ProviderKind::Gemini => Some(GEMINI),
            ProviderKind::Vertex => Some(VERTEX),
            ProviderKind::Cohere => Some(COHERE),
            ProviderKind::OpenAi
            | ProviderKind::Compatible
            | ProviderKind::Azure
            | ProviderKind::Vllm
            | ProviderKind::Ollama
            | ProviderKind::LlamaCpp
            | ProviderKind::Sgl
            | ProviderKind::Tgi
            | ProviderKind::Together
            | ProviderKind::Fireworks
            | ProviderKind::OpenRouter
            | ProviderKind::DeepSeek
            | ProviderKind::Nebius
            | ProviderKind::Parasail
            | ProviderKind::Mistral
            | ProviderKind::HuggingFace
            | ProviderKind::Groq
            | ProviderKind::Xai
            | ProviderKind::Cerebras
            | ProviderKind::Perplexity
            | ProviderKind::ElevenLabs
            | ProviderKind::Voyage
            | ProviderKind::Jina => None,
        }
    }

    pub(super) fn lacks(&self) -> impl Iterator<Item = &'static str> {
        EVERYWHERE.into_iter().chain(self.lacks.iter().copied())
    }
}
