use anyhow::Context;
use hermod_types::Operation;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Polled;
use super::endpoint::word;

impl Polled {
    /// What a completed job's answer says, as text.
    pub(super) fn answer(&self) -> anyhow::Result<String> {
        let result = &self.job["result"];
        let lines: Vec<String> = match self.operation {
            Operation::TextCompletion => {
                items(&result["choices"]).map(|choice| text(&choice["text"])).collect()
            }
            Operation::ChatCompletion => {
                items(&result["choices"]).flat_map(|choice| message(&choice["message"])).collect()
            }
            // A job of Anthropic's messages is one of responses, with a result of its own.
            Operation::Responses | Operation::Messages => {
                let said = items(&result["content"]).map(|block| text(&block["text"]));
                items(&result["output"]).flat_map(output).chain(said).collect()
            }
            Operation::Embedding => vectors(&self.text)?,
            Operation::Speech => vec![self.hint("audio", "")],
            Operation::Transcription => vec![text(&result["text"])],
            Operation::ImageGeneration | Operation::ImageEdit | Operation::ImageVariation => {
                let image = |(index, image): (usize, &Value)| match image["url"].as_str() {
                    Some(url) => url.to_owned(),
                    None => self.hint("image", &format!(" --index {index}")),
                };
                items(&result["data"]).enumerate().map(image).collect()
            }
            Operation::Rerank => items(&result["results"]).map(ranked).collect(),
            Operation::Ocr => items(&result["pages"]).map(|page| text(&page["markdown"])).collect(),
        };
        Ok(lines.join("\n"))
    }

    /// How to get what is no text.
    fn hint(&self, what: &str, options: &str) -> String {
        format!("save the {what}: hermod get {} {} --output FILE{options}", word(self.operation), self.id)
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A text, or the texts of parts.
fn text(content: &Value) -> String {
    match content.as_array() {
        Some(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        None => content.as_str().unwrap_or_default().to_owned(),
    }
}

/// The content, if there is any or nothing else, and each call of a tool as JSON.
fn message(message: &Value) -> Vec<String> {
    let said = [&message["content"], &message["refusal"]].map(text).into_iter().find(|said| !said.is_empty());
    let calls: Vec<_> = items(&message["tool_calls"]).map(Value::to_string).collect();
    let said = said.or_else(|| calls.is_empty().then(String::new));
    said.into_iter().chain(calls).collect()
}

/// The texts of a message; a call of a tool as JSON; nothing of what the model thought.
fn output(item: &Value) -> Vec<String> {
    match item["type"].as_str() {
        Some("message") => items(&item["content"])
            .filter_map(|part| part["text"].as_str().or_else(|| part["refusal"].as_str()))
            .map(str::to_owned)
            .collect(),
        Some("reasoning") => Vec::new(),
        Some(_) | None => vec![item.to_string()],
    }
}

/// Place, score, and the document where it is given.
fn ranked(result: &Value) -> String {
    let mut line = format!("{}\t{}", result["index"], result["relevance_score"]);
    if let Some(document) = result["document"]["text"].as_str() {
        line.push('\t');
        line.push_str(document);
    }
    line
}

/// Each vector as it came: its numbers are not read.
fn vectors(job: &str) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Job<'a> {
        #[serde(borrow)]
        result: Embeddings<'a>,
    }
    #[derive(Deserialize)]
    struct Embeddings<'a> {
        #[serde(borrow)]
        data: Vec<Embedding<'a>>,
    }
    #[derive(Deserialize)]
    struct Embedding<'a> {
        #[serde(borrow)]
        embedding: &'a RawValue,
    }
    let job: Job<'_> = serde_json::from_str(job).context("the result has no embeddings")?;
    Ok(job.result.data.iter().map(|embedding| embedding.embedding.get().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(operation: Operation, result: &str) -> String {
        let text = format!(r#"{{"result":{result}}}"#);
        let job = serde_json::from_str(&text).unwrap();
        Polled { operation, id: "ID".to_owned(), wait: Duration::ZERO, text, job }.answer().unwrap()
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
                r#"{"data":[{"embedding":[0.10, 1E2]},{"embedding":"AA=="}]}"#,
                "[0.10, 1E2]\n\"AA==\"",
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
