//! The demo provider, over real HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod behaviours;
mod endpoints;
mod media;

use std::net::TcpListener;

use hermod::demo::{Calls, Demo};
use hermod_types::{BodyForm, Operation};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

/// A demo provider, until the test ends.
struct Provider {
    url: String,
    client: Client,
}

impl Provider {
    fn start(demo: Demo) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        actix_web::rt::spawn(demo.serve(listener).unwrap());
        Self { url, client: Client::new() }
    }

    fn recording(calls: &Calls) -> Self {
        Self::start(Demo::recording(calls.clone()))
    }

    fn post(&self, operation: Operation) -> RequestBuilder {
        self.client.post(format!("{}/v1/{}", self.url, operation.path()))
    }

    async fn send(&self, operation: Operation, body: &Value) -> Response {
        self.post(operation).body(body.to_string()).send().await.unwrap()
    }

    /// The answer to what must succeed.
    async fn json(&self, operation: Operation, body: &Value) -> Value {
        json_of(self.send(operation, body).await).await
    }

    /// A request that this endpoint can answer, of a model.
    fn usual(&self, operation: Operation, model: &str) -> RequestBuilder {
        let mut body = match operation {
            Operation::TextCompletion => json!({"prompt": "Hello, you"}),
            Operation::ChatCompletion | Operation::Messages => {
                json!({"messages": [{"role": "user", "content": "Hello, you"}]})
            }
            Operation::Responses | Operation::Embedding | Operation::Speech => json!({"input": "Hello, you"}),
            Operation::ImageGeneration => json!({"prompt": "Hello, you"}),
            Operation::Rerank => {
                json!({"query": "you", "documents": ["Hello, you"], "return_documents": true})
            }
            Operation::Ocr => {
                json!({"document": {"type": "document_url", "document_url": "https://x.example/a.pdf"}})
            }
            Operation::Transcription
            | Operation::ImageEdit
            | Operation::ImageVariation
            | Operation::Messages => Value::Null,
        };
        if operation.form() == BodyForm::Multipart {
            let field = if operation == Operation::Transcription { "file" } else { "image[]" };
            let form = Form::new().text("model", model.to_owned()).part(field, file("a.bin", 1000));
            return self.post(operation).multipart(form);
        }
        body["model"] = json!(model);
        self.post(operation).body(body.to_string())
    }
}

fn file(name: &str, bytes: usize) -> Part {
    Part::bytes(vec![b'\r'; bytes]).file_name(name.to_owned())
}

async fn json_of(response: Response) -> Value {
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}
