use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Say};
use super::request::{Refusal, Request};

#[derive(Deserialize)]
struct Ocr {
    document: Value,
}

/// One page that names the document, in the form of [Mistral's](https://docs.mistral.ai/api/endpoint/ocr).
pub(super) fn answer(request: &Request, say: Say) -> Result<Answer, Refusal> {
    let Ocr { document } = request.json()?;
    let member = match document["type"].as_str() {
        Some("document_url") => &document["document_url"],
        // A URL, or an object with one.
        Some("image_url") if document["image_url"].is_object() => &document["image_url"]["url"],
        Some("image_url") => &document["image_url"],
        Some("file") => &document["file_id"],
        Some(_) | None => return Err(Refusal("document.type: not known".to_owned())),
    };
    let address = member.as_str().ok_or_else(|| Refusal("document: names nothing to read".to_owned()))?;
    let name = name(address);
    let markdown = format!("# {name}\n\nThis is the document {name}.");
    Answer::json(&json!({
        "pages": [{
            "index": 0,
            "markdown": say.text(&markdown),
            "images": [],
            "dimensions": {"dpi": 200, "height": 2200, "width": 1700},
        }],
        "model": request.model,
        "document_annotation": null,
        "usage_info": {"pages_processed": 1, "doc_size_bytes": null},
    }))
}

/// The last segment of a URL's path; of a data URL its media type and length.
fn name(address: &str) -> String {
    if let Some((kind, data)) = address.strip_prefix("data:").and_then(|rest| rest.split_once(',')) {
        let kind = kind.split(';').next().unwrap_or(kind);
        return format!("{kind} of {} characters", data.len());
    }
    let path = address.split(['?', '#']).next().unwrap_or(address);
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_owned()
}
