use super::rules::{JsonRules, Rules, refuse_if};
use crate::shape::{MAX_MEMBERS, Members, Shape, is_empty, string_of};
use crate::{InvalidRequest, RawObject};

/// <https://docs.mistral.ai/api/endpoint/ocr>
pub(super) const RULES: Rules = Rules::Json(JsonRules {
    known: &[
        ("document", Shape::Members(&DOCUMENT)),
        ("id", Shape::String),
        ("pages", Shape::StringOr(&Shape::Integers)),
        ("include_image_base64", Shape::Boolean),
        ("include_blocks", Shape::Boolean),
        ("extract_header", Shape::Boolean),
        ("extract_footer", Shape::Boolean),
        ("image_limit", Shape::Integer),
        ("image_min_size", Shape::Integer),
        ("table_format", Shape::String),
        ("confidence_scores_granularity", Shape::String),
        ("document_annotation_prompt", Shape::String),
        ("bbox_annotation_format", Shape::StringOr(&Shape::Object)),
        ("document_annotation_format", Shape::StringOr(&Shape::Object)),
    ],
    required,
    ..JsonRules::NONE
});

const DOCUMENT: Members = Members {
    known: &[
        ("type", Shape::String),
        ("document_url", Shape::String),
        ("image_url", Shape::StringOr(&Shape::Members(&IMAGE))),
        ("document_name", Shape::String),
        ("file_id", Shape::String),
    ],
    needed: &[],
};
const IMAGE: Members =
    Members { known: &[("url", Shape::String), ("detail", Shape::String)], needed: &["url"] };

fn required(object: &RawObject<'_>) -> Result<(), InvalidRequest> {
    let document = object.get("document").filter(|value| value.get() != "null");
    let document = RawObject::bounded(document.map_or("{}", |document| document.get()), MAX_MEMBERS)
        .map_err(|error| InvalidRequest::format(Some("document"), error))?;
    let kind = string_of(document.get("type")).unwrap_or_default();
    refuse_if(kind.is_empty(), "document.type", "document type is required for ocr")?;
    // Of `file`, and of what may yet come, the provider knows.
    ["document_url", "image_url"].into_iter().filter(|name| *name == kind).try_for_each(|name| {
        let message = format!("{name} is required when document type is {name}");
        refuse_if(is_empty(document.get(name)), &format!("document.{name}"), message)
    })
}
