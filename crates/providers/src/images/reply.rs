use crate::chat::{Usage, now};
use crate::literal::Literal;

/// More bytes than an element of `data` has besides its image and its prompt.
const AROUND_AN_IMAGE: usize = 96;

/// What a provider has answered to a call.
#[derive(Debug, Default)]
pub(crate) struct ImageReply {
    pub(crate) images: Vec<Image>,
    /// `png`, `jpeg` or `webp`, where it is known.
    pub(crate) format: Option<&'static str>,
    /// Tokens, where the provider counts such.
    pub(crate) usage: Option<Usage>,
}

#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) content: ImageContent,
    /// The prompt that the provider made of the client's.
    pub(crate) revised_prompt: Option<Literal<'static>>,
}

#[derive(Debug)]
pub(crate) enum ImageContent {
    Base64(Literal<'static>),
    Url(Literal<'static>),
}

impl Image {
    pub(crate) const fn of_base64(base64: Literal<'static>) -> Self {
        Self { content: ImageContent::Base64(base64), revised_prompt: None }
    }

    fn content(&self) -> (&'static str, &Literal<'static>) {
        match &self.content {
            ImageContent::Base64(base64) => ("b64_json", base64),
            ImageContent::Url(url) => ("url", url),
        }
    }

    fn bytes(&self) -> usize {
        let prompt = self.revised_prompt.as_ref().map_or(0, |prompt| prompt.as_json().len());
        self.content().1.as_json().len() + prompt
    }
}

impl ImageReply {
    pub(super) fn bytes(&self) -> usize {
        self.images.iter().map(Image::bytes).sum()
    }
}

/// The result that the replies make together, in OpenAI's form: <https://platform.openai.com/docs/api-reference/images/object>. None if
/// it would be longer than `limit` bytes.
pub(super) fn compose(replies: &[ImageReply], limit: usize) -> Option<String> {
    let images = || replies.iter().flat_map(|reply| &reply.images);
    let length = images().map(|image| image.bytes() + AROUND_AN_IMAGE).sum::<usize>() + 256;
    if length > limit {
        return None;
    }
    let mut out = String::with_capacity(length);
    out.push_str(&format!("{{\"created\":{},\"data\":[", now()));
    for (index, image) in images().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (name, content) = image.content();
        out.push_str(&format!("{comma}{{\"index\":{index},\"{name}\":"));
        out.push_str(content.as_json());
        if let Some(prompt) = &image.revised_prompt {
            out.push_str(",\"revised_prompt\":");
            out.push_str(prompt.as_json());
        }
        out.push('}');
    }
    out.push(']');
    if let Some(format) = replies.iter().find_map(|reply| reply.format) {
        out.push_str(&format!(",\"output_format\":\"{format}\""));
    }
    if let Some(usage) = Usage::sum(replies.iter().map(|reply| reply.usage)) {
        let Usage { prompt_tokens, completion_tokens, total_tokens, .. } = usage;
        out.push_str(&format!(
            ",\"usage\":{{\"input_tokens\":{prompt_tokens},\"output_tokens\":{completion_tokens},\"total_tokens\":{total_tokens}}}"
        ));
    }
    out.push('}');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_one_list_with_one_usage() {
        let reply = |text: &str| ImageReply {
            images: vec![Image {
                revised_prompt: Some(Literal::of("a \"cat\"")),
                ..Image::of_base64(Literal::of(text))
            }],
            format: Some("png"),
            usage: Some(Usage::of(2, 10)),
        };
        let url = Image { content: ImageContent::Url(Literal::of("https://a/b")), revised_prompt: None };
        let replies = [reply("AAAA"), ImageReply { images: vec![url], ..reply("") }];
        let result = compose(&replies, 1000).unwrap();
        let data = result.split_once("\"data\":").unwrap().1;
        assert_eq!(
            data,
            r#"[{"index":0,"b64_json":"AAAA","revised_prompt":"a \"cat\""},{"index":1,"url":"https://a/b"}],"output_format":"png","usage":{"input_tokens":4,"output_tokens":20,"total_tokens":24}}"#
        );
        assert!(compose(&replies, 400).is_none());
    }
}
