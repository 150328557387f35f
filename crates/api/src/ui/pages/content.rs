use actix_web::{HttpResponse, web};
use askama::Template;
use hermod_queue::OutcomeRef;
use hermod_types::JobId;

use super::super::respond::{self, NO_JOB, Page, UiError};
use super::super::show::{bytes, count};
use super::super::view::Nav;
use super::super::{Site, Ui, Viewer};
use super::page;
use crate::error::ApiError;

/// Bytes of a request or an answer that are shown.
const SHOWN: usize = 256 << 10;
/// What is nested deeper is not indented further.
const DEEPEST: usize = 20;

#[derive(Template)]
#[template(path = "content.html")]
struct Content {
    id: JobId,
    parts: Vec<Part>,
}

struct Part {
    name: &'static str,
    text: String,
    note: String,
}

impl Part {
    fn new(name: &'static str, text: &[u8], all: u64) -> Self {
        let shown = text.get(..SHOWN.min(text.len())).unwrap_or_default();
        let is_cut = u64::try_from(shown.len()).is_ok_and(|shown| shown < all);
        let note = if is_cut {
            format!("the first {} of {} bytes", count(shown.len() as u64), count(all))
        } else {
            bytes(all)
        };
        let text = String::from_utf8_lossy(shown);
        let is_json = text.trim_start().starts_with(['{', '[']);
        Self { name, text: if is_json { laid_out(&text) } else { text.into_owned() }, note }
    }

    fn missing(name: &'static str, note: &str) -> Self {
        Self { name, text: String::new(), note: note.to_owned() }
    }
}

/// JSON over several lines: all that is not white space between its tokens stays as it was written, be it whole or cut off.
fn laid_out(json: &str) -> String {
    let (mut text, mut depth, mut in_string, mut is_escaped) =
        (String::with_capacity(json.len() * 5 / 4), 0_usize, false, false);
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
    };
    let mut rest = json.chars().peekable();
    while let Some(character) = rest.next() {
        if in_string {
            text.push(character);
            in_string = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
            continue;
        }
        match character {
            '{' | '[' => {
                text.push(character);
                while rest.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(end) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(end);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(character);
            }
            ',' => {
                text.push(',');
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            character if character.is_ascii_whitespace() => {}
            character => {
                in_string = character == '"';
                text.push(character);
            }
        }
    }
    text
}

/// `GET /ui/jobs/{id}/content`: the request and the answer, where that is allowed. Who has looked is written down.
pub(in crate::ui) async fn content(
    id: web::Path<String>,
    site: web::Data<Site>,
    viewer: Viewer,
) -> HttpResponse {
    let read = async {
        if !viewer.rights.may_see_content {
            return Err(UiError::ContentHidden);
        }
        let id: JobId = id.parse().map_err(|_| UiError::NotFound(NO_JOB))?;
        let read = read(&site.ui, id).await?;
        viewer.actor.did("looked at the request and answer of a job", id, "");
        Ok(read)
    };
    match read.await {
        Ok(page) => respond::still(&page, Some(&viewer), Some(Nav::Jobs)),
        Err(error) => respond::failure(&error, Some(&viewer)),
    }
}

async fn read(ui: &Ui, id: JobId) -> Result<Page, UiError> {
    let record = ui.queue.find(id).await.map_err(ApiError::from_find)?;
    let request = ui.admin.request(id, SHOWN).await?;
    if record.is_none() && request.is_none() {
        return Err(UiError::NotFound(NO_JOB));
    }
    let mut parts = Vec::new();
    match &request {
        Some(request) => {
            parts.push(Part::new(
                "Targets and settings",
                request.header.as_bytes(),
                request.header.len() as u64,
            ));
            parts.push(Part::new("Request", &request.body, request.bytes as u64));
        }
        None => {
            parts.push(Part::missing("Request", "it is kept until the job has ended, or while it is dead"));
        }
    }
    let outcome = match record.as_ref().and_then(|record| record.outcome()) {
        None => Part::missing("Answer", "there is none yet"),
        Some(OutcomeRef::Inline(json)) => Part::new("Answer", json.as_bytes(), json.len() as u64),
        Some(OutcomeRef::Stored(stored)) => {
            let most = u64::try_from(SHOWN).unwrap_or(u64::MAX).min(stored.bytes);
            match ui.outcomes.read(stored, 0, most).await? {
                Some(json) => Part::new("Answer", &json, stored.bytes),
                None => Part::missing("Answer", "its time is over"),
            }
        }
    };
    parts.push(outcome);
    page(format!("Request and answer of {id}"), &Content { id, parts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_and_not_changed() {
        let json = r#"{"b": 1.50, "a":[ 12345678901234567890 ,{}, [ ], "x\\\" {,:}"],"z":"ü"}"#;
        let text = laid_out(json);
        assert!(
            text.starts_with("{\n  \"b\": 1.50,\n  \"a\": [\n    12345678901234567890,\n    {},\n    [],"),
            "{text}"
        );
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&text), read(json));
        assert_eq!(laid_out(r#"{"a": "cut o"#), "{\n  \"a\": \"cut o");
        assert!(laid_out(&"[".repeat(1000)).len() < 100_000);
    }
}
