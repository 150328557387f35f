//! What `generateContent` gives besides texts: <https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse>

use std::borrow::Cow;

use serde::Deserialize;

use super::reply::UsageMetadata;
use crate::answer::Answer;
use crate::chat::Usage;
use crate::literal::Literal;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Generated<'a> {
    #[serde(borrow, default)]
    candidates: Vec<Candidate<'a>>,
    #[serde(borrow, default)]
    prompt_feedback: Option<PromptFeedback<'a>>,
    #[serde(default)]
    usage_metadata: Option<UsageMetadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    parts: Vec<Part<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(default)]
    thought: bool,
    #[serde(borrow, default)]
    inline_data: Option<Media<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback<'a> {
    #[serde(borrow, default)]
    block_reason: Option<Cow<'a, str>>,
}

/// A blob.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Media<'a> {
    #[serde(borrow)]
    pub(super) mime_type: Literal<'a>,
    /// Base64.
    #[serde(borrow)]
    pub(super) data: Literal<'a>,
}

pub(super) fn generated(answer: &Answer) -> Result<Generated<'_>, String> {
    serde_json::from_str(answer.text()?).map_err(|_| "its answer is no generated content".to_owned())
}

impl<'a> Generated<'a> {
    /// All media but those of thoughts.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn media(&self) -> Result<Vec<&Media<'a>>, String> {
        let contents = self.candidates.iter().filter_map(|candidate| candidate.content.as_ref());
        let parts = contents.flat_map(|content| &content.parts).filter(|part| !part.thought);
        let media: Vec<_> = parts.filter_map(|part| part.inline_data.as_ref()).collect();
        if media.is_empty() { Err(self.reason()) } else { Ok(media) }
    }

    /// The same of media that are of no use in part.
    ///
    /// # Errors
    /// Why there are none, or not all.
    pub(super) fn whole_media(&self) -> Result<Vec<&Media<'a>>, String> {
        let media = self.media()?;
        let ends = self.candidates.iter().filter_map(|candidate| candidate.finish_reason.as_deref());
        match ends.into_iter().find(|end| *end != "STOP") {
            Some(end) => Err(format!("its media end with {end:.64}")),
            None => Ok(media),
        }
    }

    fn reason(&self) -> String {
        let blocked = self.prompt_feedback.as_ref().and_then(|feedback| feedback.block_reason.as_deref());
        let ended = self.candidates.iter().find_map(|candidate| candidate.finish_reason.as_deref());
        match (blocked, ended) {
            (Some(reason), _) => format!("it blocked the prompt: {reason:.64}"),
            (None, Some(reason)) => format!("it gave no media and ended with {reason:.64}"),
            (None, None) => "its answer has no media".to_owned(),
        }
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage_metadata.map(UsageMetadata::usage)
    }
}
