//! Embeddings at providers with a form of their own: they take texts.

use super::Inexpressible;
use super::members::{Limited, Members, first_unsaid, too_many};
use crate::config::ProviderKind;
use crate::shape::{MAX_MEMBERS, each_string, find_element, string_of};
use crate::{Operation, RawObject};

const FORMATS: Limited = ("encoding_format", &["float", "base64"]);
/// <https://docs.cohere.com/reference/embed>
const COHERE: &[Limited] =
    &[FORMATS, ("embedding_types", &["[\"float\"]"]), ("images", &[]), ("inputs", &[])];
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>
const TITAN: &[Limited] = &[FORMATS, ("embeddingTypes", &["[\"float\"]"])];

/// Most texts of a call, and what is not said in one.
const BATCHES: [(ProviderKind, u64, &[Limited]); 5] = [
    (ProviderKind::Cohere, 96, COHERE),
    (ProviderKind::Bedrock, 96, COHERE),
    (ProviderKind::Voyage, 1_000, &[FORMATS]),
    // <https://ai.google.dev/gemini-api/docs/embeddings>
    (ProviderKind::Gemini, 100, &[FORMATS]),
    // <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>, for models before Gemini
    (ProviderKind::Vertex, 250, &[FORMATS]),
];

pub(super) fn inexpressible(
    kind: ProviderKind,
    model: &str,
    body: &str,
    max_calls: u64,
) -> Option<Inexpressible> {
    let members = Members::of(Operation::Embedding, body)?;
    let is_titan = kind == ProviderKind::Bedrock && !model.contains("cohere.");
    let row = BATCHES.iter().find(|(of, ..)| *of == kind).filter(|_| !is_titan);
    let (batch, limited) = match row {
        // One text a call.
        Some((ProviderKind::Vertex, _, limited)) if model.contains("gemini") => (1, *limited),
        Some((_, batch, limited)) => (*batch, *limited),
        None if is_titan => (1, TITAN),
        None => (u64::MAX, [FORMATS].as_slice()),
    };
    if let Some(reason) = first_unsaid(kind, Operation::Embedding, &members, limited) {
        return Some(reason);
    }
    let is_base64 = members.text("encoding_format").is_some_and(|format| format == "base64");
    if is_base64 && members.text("output_dtype").is_some_and(|kind| kind != "float") {
        let message = "base64 is of floats, and `output_dtype` says something else";
        return Some(Inexpressible::member("output_dtype", message));
    }
    let input = members.json("input")?;
    let mut texts = 0_u64;
    if !each_string(input, |_| texts += 1) {
        if let Some(index) = find_element(input, |element| !is_text(element.get())) {
            let message = format!("{kind} takes inputs of text, and no token ids");
            let inside = input.strip_prefix('[').unwrap_or(input).trim_start();
            let is_list = inside.starts_with(['{', '[']);
            let param = if is_list { format!("input[{index}]") } else { "input".to_owned() };
            return Some(Inexpressible::member(param, message));
        }
        find_element(input, |_| {
            texts += 1;
            false
        });
    }
    too_many(kind, "input", texts.div_ceil(batch), max_calls)
}

/// Whether it is a text, or a content part that is one.
fn is_text(json: &str) -> bool {
    let Ok(part) = RawObject::bounded(json, MAX_MEMBERS) else { return json.starts_with('"') };
    let is_text = part.get("type").is_none_or(|kind| kind.get() == "\"text\"");
    is_text && string_of(part.get("text")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COHERES: &str = "cohere.embed-v4:0";

    fn fault(kind: ProviderKind, model: &str, members: &str) -> Option<String> {
        inexpressible(kind, model, &format!("{{{members}}}"), 2).and_then(|reason| reason.param)
    }

    #[test]
    fn inputs_are_texts() {
        for (input, param) in [
            (r#""x""#, None),
            (r#"["x","y"]"#, None),
            (r#"[{"type":"text","text":"x"}]"#, None),
            ("[1,2]", Some("input")),
            ("[[1],[2]]", Some("input[0]")),
            (r#"[{"type":"text","text":"x"},{"type":"image","image":"x"}]"#, Some("input[1]")),
        ] {
            let members = format!("\"input\":{input}");
            assert_eq!(fault(ProviderKind::Cohere, "embed-v4.0", &members).as_deref(), param, "{input}");
        }
    }

    #[test]
    fn calls_are_bounded_by_the_providers_batch() {
        let texts = |count: usize| format!("\"input\":[{}]", vec![r#""x""#; count].join(","));
        for (kind, model, most) in [
            (ProviderKind::Cohere, "embed-v4.0", 192),
            (ProviderKind::Bedrock, COHERES, 192),
            (ProviderKind::Bedrock, "amazon.titan-embed-text-v2:0", 2),
            (ProviderKind::Voyage, "voyage-3.5", 2_000),
            (ProviderKind::Gemini, "gemini-embedding-001", 200),
            (ProviderKind::Vertex, "text-embedding-005", 500),
            (ProviderKind::Vertex, "gemini-embedding-001", 2),
        ] {
            assert_eq!(fault(kind, model, &texts(most)), None, "{kind} {model}");
            assert_eq!(fault(kind, model, &texts(most + 1)).as_deref(), Some("input"), "{kind} {model}");
        }
    }

    #[test]
    fn a_vector_is_of_floats() {
        for (kind, members, param) in [
            (ProviderKind::Cohere, r#""encoding_format":"base64""#, None),
            (ProviderKind::Cohere, r#""encoding_format":null"#, None),
            (ProviderKind::Cohere, r#""encoding_format":"int8""#, Some("encoding_format")),
            (ProviderKind::Cohere, r#""embedding_types":["int8"]"#, Some("embedding_types")),
            (ProviderKind::Bedrock, r#""embeddingTypes":["binary"]"#, Some("embeddingTypes")),
            (ProviderKind::Voyage, r#""output_dtype":"int8""#, None),
            (
                ProviderKind::Voyage,
                r#""output_dtype":"int8","encoding_format":"base64""#,
                Some("output_dtype"),
            ),
        ] {
            let members = format!("\"input\":\"x\",{members}");
            assert_eq!(fault(kind, "m", &members).as_deref(), param, "{kind} {members}");
        }
    }
}
