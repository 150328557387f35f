//! Every endpoint: from submit to result, what its provider gets, and what it refuses.

use hermod_tests::{Answer, Cluster, FormBody, ReceivedPart};
use hermod_types::{BodyForm, Operation};
use reqwest::Method;
use serde_json::{Value, json};

/// A request to each endpoint that takes JSON, as its client writes it less the model; where in the result the answer is, and what it
/// is there.
const JSON: [(Operation, &str, &str, &str); 8] = [
    (Operation::TextCompletion, r#""prompt":"h\u00e9llo","n":1"#, "/choices/0/text", "héllo"),
    (
        Operation::ChatCompletion,
        r#""messages":[{"role":"user","content":"h\u00e9llo"}],"seed":123456789012345678901234567890,"tools":[{"type":"function","function":{"name":"f","parameters":{"z":1.0,"a":{}}}}]"#,
        "/choices/0/message/content",
        "héllo",
    ),
    (
        Operation::Responses,
        r#""input":"h\u00e9llo","tools":[{"type":"function","name":"f","parameters":{"z":1.0,"a":{}}}]"#,
        "/output/0/content/0/text",
        "héllo",
    ),
    (Operation::Embedding, r#""input":["h\u00e9llo"],"dimensions":1"#, "/object", "list"),
    (Operation::Speech, r#""input":"h\u00e9llo","voice":"alloy","speed":1.0"#, "/response_format", "mp3"),
    (Operation::ImageGeneration, r#""prompt":"h\u00e9llo","size":"1x1""#, "/data/0/b64_json", ""),
    (
        Operation::Rerank,
        r#""query":"h\u00e9llo","documents":["no","h\u00e9llo"],"return_documents":true"#,
        "/results/0/document/text",
        "héllo",
    ),
    (
        Operation::Ocr,
        r#""document":{"type":"document_url","document_url":"https://x.example/h%C3%A9llo.pdf"}"#,
        "/pages/0/markdown",
        "",
    ),
];

/// Each endpoint that takes a form: its file, what is said without one, and how it calls its jobs.
const FORMS: [(Operation, &str, &str, &str); 3] = [
    (Operation::Transcription, "file", "file is required", "transcriptions"),
    (Operation::ImageEdit, "image[]", "at least one image is required", "image edits"),
    (Operation::ImageVariation, "image", "at least one image is required", "image variations"),
];

/// A 400 about this member, with this message.
fn refused(answer: &Answer, param: Option<&str>, message: &str) {
    let said = answer.error(400);
    let told = answer.json()["error"]["param"].as_str().map(str::to_owned);
    assert_eq!((said.as_str(), told.as_deref()), (message, param), "{answer:?}");
}

#[tokio::test]
async fn json_goes_to_the_provider_as_it_was_written_and_its_answer_comes_back() {
    let cluster = Cluster::start().await;
    for (number, (operation, members, place, said)) in JSON.into_iter().enumerate() {
        let body =
            format!(r#"{{ "model": "demo/echo", "stream":false, "mine":[1.10, {{"b":1,"a":2}}],{members}}}"#);
        let path = cluster.api.accepted(cluster.api.submission_to(operation).body(body)).await;
        let below = path.strip_prefix(&format!("/v1/async/{}/", operation.path())).unwrap();
        assert_eq!(below.len(), 36, "{path}");
        let job = cluster.api.ended_at(&path).await;
        assert_eq!((&job["status"], &job["id"]), (&json!("completed"), &json!(below)), "{operation}: {job}");
        let found = job["result"].pointer(place).unwrap_or_else(|| panic!("{operation}: {job}"));
        assert!(said.is_empty() || found == said, "{operation}: {found}");
        let extra = &job["result"]["extra_fields"];
        assert_eq!(
            (&extra["request_type"], &extra["provider"], &extra["original_model_requested"]),
            (&json!(operation.request_type()), &json!("demo"), &json!("echo"))
        );
        let call = &cluster.calls()[number];
        assert_eq!(call.path, format!("/v1/{}", operation.path()));
        assert_eq!(call.body, format!(r#"{{"model":"echo","mine":[1.10, {{"b":1,"a":2}}],{members}}}"#));

        let head = cluster.api.send(cluster.api.request(Method::HEAD, &path)).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{operation}");
        assert_eq!(head.header("content-length"), cluster.api.get(&path).await.text.len().to_string());
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn forms_reach_the_provider_part_by_part() {
    let cluster = Cluster::start().await;
    for (number, (operation, file, ..)) in FORMS.into_iter().enumerate() {
        let form = FormBody::new()
            .field("timestamp_granularities[]", "word")
            .file(file, "h\u{e9} llo.bin", "audio/x-mine; a=b", b"\0\r\n--8d1 \xff")
            .field("model", "demo/echo")
            .field("stream", "false")
            .field("timestamp_granularities[]", "segment")
            .field("prompt", "gr\u{fc}n\r\n--");
        let path = cluster.api.accepted(cluster.api.form_to(operation, form)).await;
        let job = cluster.api.ended_at(&path).await;
        assert_eq!(job["status"], "completed", "{operation}: {job}");
        assert_eq!(job["result"]["extra_fields"]["request_type"], operation.request_type());
        let call = &cluster.calls()[number];
        assert_eq!((call.path.clone(), &*call.model), (format!("/v1/{}", operation.path()), "echo"));
        let part =
            |name: &str, filename: Option<&str>, content_type: Option<&str>, content: &[u8]| ReceivedPart {
                name: name.to_owned(),
                filename: filename.map(str::to_owned),
                content_type: content_type.map(str::to_owned),
                content: content.to_vec().into(),
            };
        let mut parts = call.parts().await.unwrap();
        parts.retain(|part| part.name != "model");
        assert_eq!(
            parts,
            [
                part("timestamp_granularities[]", None, None, b"word"),
                part(file, Some("h\u{e9} llo.bin"), Some("audio/x-mine; a=b"), b"\0\r\n--8d1 \xff"),
                part("timestamp_granularities[]", None, None, b"segment"),
                part("prompt", None, None, "gr\u{fc}n\r\n--".as_bytes()),
            ],
            "{operation}"
        );
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_job_is_seen_under_its_own_path_alone() {
    let cluster = Cluster::start().await;
    let unknown = "0199d5fe-a2b4-7c3e-8f1a-2b3c4d5e6f70";
    let body = json!({"model": "demo/echo", "messages": [{"role": "user", "content": "x"}]});
    let path = cluster.api.submit_to(Operation::ChatCompletion, &body).await;
    cluster.api.ended_at(&path).await;
    let id = path.rsplit('/').next().unwrap();
    for operation in Operation::all().filter(|operation| operation.is_public()) {
        for end in ["", "/content"] {
            let at = |id: &str| format!("/v1/async/{}/{id}{end}", operation.path());
            let (found, never) = (cluster.api.get(&at(id)).await, cluster.api.get(&at(unknown)).await);
            if operation == Operation::ChatCompletion {
                assert_eq!(found.status, if end.is_empty() { 200 } else { 422 });
            } else {
                assert_eq!(found.error(404), never.error(404), "{operation}");
                assert_eq!(found.json(), never.json(), "{operation}");
            }
        }
        let posted = cluster.api.send(cluster.api.request(Method::GET, &at_path(operation))).await;
        posted.error(405);
        assert_eq!(posted.header("allow"), "POST");
        let put = cluster.api.request(Method::PUT, &format!("{}/{id}/content", at_path(operation)));
        cluster.api.send(put).await.error(405);
    }
    for path in ["/v1/async/chat", "/v1/async/chat/completions/", "/v1/async/messages", "/v1/async/ocrs"] {
        cluster.api.get(path).await.error(404);
    }
    let metrics = cluster.api.get("/metrics").await.text;
    assert!(metrics.contains(r#"route="/v1/async/chat/completions/{id}/content""#), "{metrics}");
    assert!(!metrics.contains(id) && !metrics.contains(unknown), "labels are bounded");
}

fn at_path(operation: Operation) -> String {
    format!("/v1/async/{}", operation.path())
}

#[tokio::test]
async fn each_endpoint_says_what_is_missing_and_that_nothing_is_streamed() {
    let cluster = Cluster::builder().workers(0).start().await;
    let stream = |of: &str| format!("stream is not supported for async {of}");
    for (operation, members, param, message) in [
        (
            Operation::TextCompletion,
            r#""x":1"#,
            "prompt",
            "prompt is required for text completion".to_owned(),
        ),
        (Operation::TextCompletion, r#""prompt":"x","stream":true"#, "stream", stream("text completions")),
        (
            Operation::ChatCompletion,
            r#""messages":[]"#,
            "messages",
            "messages is required for chat completion".to_owned(),
        ),
        (
            Operation::ChatCompletion,
            r#""messages":[{"role":"user","content":"x"}],"stream":true"#,
            "stream",
            stream("chat completions"),
        ),
        (Operation::Responses, r#""x":1"#, "input", "input is required for responses".to_owned()),
        (Operation::Responses, r#""input":"x","stream":true"#, "stream", stream("responses")),
        (Operation::Embedding, r#""x":1"#, "input", "input is required for embeddings".to_owned()),
        (Operation::Embedding, r#""input":"x","stream":true"#, "stream", stream("embeddings")),
        (Operation::Speech, r#""voice":"v""#, "input", "input is required for speech completion".to_owned()),
        (Operation::Speech, r#""input":"x""#, "voice", "voice is required for speech completion".to_owned()),
        (
            Operation::Speech,
            r#""input":"x","voice":"v","stream_format":"sse""#,
            "stream_format",
            stream("speech"),
        ),
        (Operation::Speech, r#""input":"x","voice":"v","stream":true"#, "stream", stream("speech")),
        (Operation::ImageGeneration, r#""x":1"#, "prompt", "prompt cannot be empty".to_owned()),
        (Operation::ImageGeneration, r#""prompt":"x","stream":true"#, "stream", stream("image generations")),
        (
            Operation::Rerank,
            r#""query":" ","documents":["a"]"#,
            "query",
            "query is required for rerank".to_owned(),
        ),
        (
            Operation::Rerank,
            r#""query":"x","documents":[]"#,
            "documents",
            "documents are required for rerank".to_owned(),
        ),
        (
            Operation::Rerank,
            r#""query":"x","documents":["a",{"text":""}]"#,
            "documents[1]",
            "document text is required for rerank at index 1".to_owned(),
        ),
        (
            Operation::Rerank,
            r#""query":"x","documents":["a"],"top_n":0"#,
            "top_n",
            "top_n must be at least 1".to_owned(),
        ),
        (Operation::Rerank, r#""query":"x","documents":["a"],"stream":true"#, "stream", stream("rerank")),
        (Operation::Ocr, r#""document":{}"#, "document.type", "document type is required for ocr".to_owned()),
        (
            Operation::Ocr,
            r#""document":{"type":"document_url"}"#,
            "document.document_url",
            "document_url is required when document type is document_url".to_owned(),
        ),
        (
            Operation::Ocr,
            r#""document":{"type":"image_url"}"#,
            "document.image_url",
            "image_url is required when document type is image_url".to_owned(),
        ),
        (
            Operation::Ocr,
            r#""document":{"type":"document_url","document_url":"u"},"stream":true"#,
            "stream",
            stream("ocr"),
        ),
        (
            Operation::ChatCompletion,
            r#""messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":1}}]}]"#,
            "messages[0].content[0].image_url.url",
            "invalid request format: `messages[0].content[0].image_url.url` must be a string".to_owned(),
        ),
    ] {
        let body = format!(r#"{{"model":"demo/echo",{members}}}"#);
        let answer = cluster.api.send(cluster.api.submission_to(operation).body(body)).await;
        refused(&answer, Some(param), &message);
    }
    for operation in Operation::all().filter(|operation| operation.is_public()) {
        let answer = if operation.form() == BodyForm::Json {
            cluster.api.send(cluster.api.submission_to(operation).body(r#"{"model":"echo"}"#)).await
        } else {
            cluster.api.send(cluster.api.form_to(operation, FormBody::new().field("model", "echo"))).await
        };
        refused(&answer, Some("model"), "model should be in provider/model format");
    }
    for (operation, file, missing, plural) in FORMS {
        let form = FormBody::new().field("model", "demo/echo");
        let answer = cluster.api.send(cluster.api.form_to(operation, form.clone())).await;
        refused(&answer, Some(file.trim_end_matches("[]")), missing);
        let streamed = form.clone().file(file, "a", "image/png", b"x").field("stream", "true");
        let answer = cluster.api.send(cluster.api.form_to(operation, streamed)).await;
        refused(&answer, Some("stream"), &stream(plural));
        let twice = form.field("model", "demo/echo").file(file, "a", "image/png", b"x");
        let answer = cluster.api.send(cluster.api.form_to(operation, twice)).await;
        refused(&answer, Some("model"), "invalid request format: `model` is given twice");
    }
    cluster.assert_drained().await;
}

#[tokio::test]
async fn a_request_that_no_target_serves_is_refused_with_the_endpoint() {
    let config = json!({"providers": {"mine": {
        "keys": [{"value": "k"}],
        "network_config": {"base_url": "http://127.0.0.1:1"},
        "custom_provider_config": {"base_provider_type": "openai", "allowed_requests": {"text_completion": true}},
    }}});
    let cluster = Cluster::builder().config(config).workers(0).start().await;
    let chat = |model: &str, fallbacks: &[&str]| json!({"model": model, "fallbacks": fallbacks, "messages": [{"role": "user", "content": "x"}]});
    let post = async |body: Value| {
        cluster.api.send(cluster.api.submission_to(Operation::ChatCompletion).body(body.to_string())).await
    };
    let said = post(chat("mine/x", &[])).await.error(400);
    assert!(said.contains("mine/x") && said.contains("chat_completion"), "{said}");
    assert_eq!(post(chat("mine/x", &["demo/echo"])).await.status, 202, "one of them is enough");
    let unknown = post(chat("nope/x", &[])).await;
    assert!(unknown.error(400).contains("\"nope\" is not configured"));
    assert_eq!(unknown.json()["extra_fields"]["provider"], "nope");
}
