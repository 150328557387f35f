use hermod_client::{Job, JobRef};
use hermod_types::Operation;

use super::endpoint::word;
use crate::json::Json;

/// What a completed job answers.
pub(super) struct Answer<'a> {
    operation: Operation,
    /// The job's.
    id: String,
    result: Json<'a>,
}

impl<'a> Answer<'a> {
    pub(super) fn of(job: &'a Job) -> Self {
        let JobRef { operation, id } = job.at();
        Self { operation, id: id.to_string(), result: Json::new(job.raw()).get("result") }
    }

    /// What it says, as text.
    pub(super) fn text(&self) -> String {
        let result = self.result;
        let lines: Vec<String> = match self.operation {
            Operation::TextCompletion => {
                result.get("choices").items().map(|choice| text(choice.get("text"))).collect()
            }
            Operation::ChatCompletion => {
                result.get("choices").items().flat_map(|choice| message(choice.get("message"))).collect()
            }
            // A job of Anthropic's messages is one of responses, with a result of its own.
            Operation::Responses | Operation::Messages => {
                let said = result.get("content").items().map(|block| text(block.get("text")));
                result.get("output").items().flat_map(output).chain(said).collect()
            }
            Operation::Embedding => {
                result.get("data").items().map(|vector| vector.get("embedding").raw().to_owned()).collect()
            }
            Operation::Speech => vec![self.hint("audio", "")],
            Operation::Transcription => vec![text(result.get("text"))],
            Operation::ImageGeneration | Operation::ImageEdit | Operation::ImageVariation => result
                .get("data")
                .items()
                .enumerate()
                .map(|(index, image)| self.image(index, image))
                .collect(),
            Operation::Rerank => result.get("results").items().map(ranked).collect(),
            Operation::Ocr => result.get("pages").items().map(|page| text(page.get("markdown"))).collect(),
        };
        lines.join("\n")
    }

    /// What there is besides the one medium that was saved: the other images.
    pub(super) fn others(&self) -> Vec<String> {
        let images = self.result.get("data").items().enumerate().skip(1);
        images.map(|(index, image)| self.image(index, image)).collect()
    }

    fn image(&self, index: usize, image: Json<'_>) -> String {
        image.get("url").string().unwrap_or_else(|| self.hint("image", &format!(" --index {index}")))
    }

    /// How to get what is no text.
    fn hint(&self, what: &str, options: &str) -> String {
        format!("save the {what}: hermod get {} {} --output FILE{options}", word(self.operation), self.id)
    }
}

/// A text, or the texts of parts.
fn text(content: Json<'_>) -> String {
    content.string().unwrap_or_else(|| content.items().filter_map(|part| part.get("text").string()).collect())
}

/// The content, if there is any or nothing else, and each call of a tool as JSON.
fn message(message: Json<'_>) -> Vec<String> {
    let said = ["content", "refusal"].map(|name| text(message.get(name)));
    let said = said.into_iter().find(|said| !said.is_empty());
    let calls: Vec<_> = message.get("tool_calls").items().map(|call| call.raw().to_owned()).collect();
    let said = said.or_else(|| calls.is_empty().then(String::new));
    said.into_iter().chain(calls).collect()
}

/// The texts of a message; a call of a tool as JSON; nothing of what the model thought.
fn output(item: Json<'_>) -> Vec<String> {
    match item.get("type").string().as_deref() {
        Some("message") => {
            let said = |part: Json<'_>| part.get("text").string().or_else(|| part.get("refusal").string());
            item.get("content").items().filter_map(said).collect()
        }
        Some("reasoning") => Vec::new(),
        Some(_) | None => vec![item.raw().to_owned()],
    }
}

/// Place, score, and the document where it is given.
fn ranked(result: Json<'_>) -> String {
    let mut line = format!("{}\t{}", result.get("index").raw(), result.get("relevance_score").raw());
    if let Some(document) = result.get("document").get("text").string() {
        line.push('\t');
        line.push_str(&document);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(operation: Operation, result: &str) -> String {
        let result = Json::new(serde_json::from_str(result).unwrap());
        Answer { operation, id: "ID".to_owned(), result }.text()
    }

    #[test]
    fn an_answer_is_printed_as_its_endpoint_answers() {
        let call = r#"{"function":{"arguments":"{}","name":"f"}}"#;
        let called = format!(r#"{{"choices":[{{"message":{{"content":null,"tool_calls":[{call}]}}}}]}}"#);
        for (operation, result, printed) in [
            (Operation::TextCompletion, r#"{"choices":[{"text":"a"},{"text":"b"}]}"#, "a\nb"),
            (Operation::ChatCompletion, r#"{"choices":[{"message":{"content":"a"}}]}"#, "a"),
            (
                Operation::ChatCompletion,
                r#"{"choices":[{"message":{"content":[{"text":"a"},{"text":"b"}]}}]}"#,
                "ab",
            ),
            (Operation::ChatCompletion, r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#, "no"),
            (Operation::ChatCompletion, &called, call),
            (
                Operation::Responses,
                r#"{"output":[{"type":"reasoning"},{"type":"message","content":[{"text":"a"},{"refusal":"b"}]},{"name":"f","type":"function_call"}]}"#,
                "a\nb\n{\"name\":\"f\",\"type\":\"function_call\"}",
            ),
            (
                Operation::Embedding,
                r#"{"data":[{"embedding":[0.10, 1E400]},{"embedding":"AA=="}]}"#,
                "[0.10, 1E400]\n\"AA==\"",
            ),
            (Operation::Speech, r#"{"audio":"AAAA"}"#, "save the audio: hermod get speech ID --output FILE"),
            (Operation::Transcription, r#"{"text":"a"}"#, "a"),
            (
                Operation::ImageGeneration,
                r#"{"data":[{"url":"https://x"},{"b64_json":"AAAA"}]}"#,
                "https://x\nsave the image: hermod get images ID --output FILE --index 1",
            ),
            (
                Operation::Rerank,
                r#"{"results":[{"index":2,"relevance_score":0.5,"document":{"text":"a"}},{"index":0,"relevance_score":0.1}]}"#,
                "2\t0.5\ta\n0\t0.1",
            ),
            (Operation::Ocr, "{\"pages\":[{\"markdown\":\"# a\"},{\"markdown\":\"b\"}]}", "# a\nb"),
        ] {
            assert_eq!(answer(operation, result), printed, "{operation}");
        }
    }
}
