use hermod::demo::Demo;
use hermod_types::Operation;
use serde_json::{Value, json};

use crate::Provider;

#[actix_web::test]
async fn a_completion_repeats_each_prompt() {
    let provider = Provider::start(Demo::default());
    let body = json!({"model": "echo", "prompt": ["a b", "c"], "n": 2});
    let answer = provider.json(Operation::TextCompletion, &body).await;
    let texts: Vec<_> = answer["choices"].as_array().unwrap().iter().map(|choice| &choice["text"]).collect();
    assert_eq!(texts, ["a b", "a b", "c", "c"]);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}));
    let tokens = provider.json(Operation::TextCompletion, &json!({"model": "echo", "prompt": [1, 2]})).await;
    assert_eq!(tokens["choices"][0]["text"], "[1,2]");
}

#[actix_web::test]
async fn a_chat_repeats_what_the_user_said_last() {
    let provider = Provider::start(Demo::default());
    let body = json!({"model": "echo", "n": 2, "messages": [
        {"role": "system", "content": "Be short"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "second"},
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}},
        ]},
    ]});
    let answer = provider.json(Operation::ChatCompletion, &body).await;
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][1]["message"]["content"], "What is this? [1 image]");
    assert_eq!(answer["choices"][1]["finish_reason"], "stop");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 9, "completion_tokens": 10, "total_tokens": 19}));
    let nobody = json!({"model": "echo", "messages": [{"role": "system", "content": "x"}]});
    assert_eq!(provider.send(Operation::ChatCompletion, &nobody).await.status(), 400);
}

#[actix_web::test]
async fn a_chat_calls_a_tool_and_takes_its_answer() {
    let provider = Provider::start(Demo::default());
    let mut body = json!({"model": "echo", "messages": [{"role": "user", "content": "call it"}],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}]});
    let answer = provider.json(Operation::ChatCompletion, &body).await;
    let (message, reason) = (&answer["choices"][0]["message"], &answer["choices"][0]["finish_reason"]);
    assert_eq!((reason, &message["content"]), (&json!("tool_calls"), &Value::Null));
    let call = &message["tool_calls"][0];
    assert_eq!(call["type"], "function");
    assert_eq!(call["function"], json!({"name": "weather", "arguments": r#"{"text":"call it"}"#}));
    let again = provider.json(Operation::ChatCompletion, &body).await;
    assert_eq!(&again["choices"][0]["message"]["tool_calls"][0], call, "the same call has the same id");

    let result = json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"});
    body["messages"].as_array_mut().unwrap().extend([message.clone(), result]);
    let end = provider.json(Operation::ChatCompletion, &body).await;
    assert_eq!(end["choices"][0]["message"]["content"], "sunny");
}

#[actix_web::test]
async fn json_is_answered_where_json_is_demanded() {
    let provider = Provider::start(Demo::default());
    for kind in ["json_object", "json_schema"] {
        let chat = json!({"model": "echo", "messages": [{"role": "user", "content": "a \"b\""}],
            "response_format": {"type": kind}});
        let answer = provider.json(Operation::ChatCompletion, &chat).await;
        let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(content).unwrap(), json!({"echo": "a \"b\""}));
        let create = json!({"model": "echo", "input": "a \"b\"", "text": {"format": {"type": kind}}});
        let answer = provider.json(Operation::Responses, &create).await;
        assert_eq!(answer["output"][0]["content"][0]["text"], content);
    }
}

#[actix_web::test]
async fn a_response_repeats_or_calls() {
    let provider = Provider::start(Demo::default());
    let items = json!({"model": "echo", "instructions": "Be short", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "one"}, {"type": "input_image", "image_url": "x"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "two"}]},
    ]});
    let answer = provider.json(Operation::Responses, &items).await;
    assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(answer["output"][0]["content"][0]["text"], "one [1 image]");
    assert_eq!(answer["usage"]["total_tokens"], 2 + 3 + 1 + 3);

    let tools = json!([{"type": "function", "name": "weather", "parameters": {}}]);
    let mut body = json!({"model": "echo", "input": "hi", "tools": tools, "tool_choice": "required"});
    let call = provider.json(Operation::Responses, &body).await["output"][0].clone();
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("weather")));
    assert_eq!(call["arguments"], r#"{"text":"hi"}"#);
    body["tool_choice"] = json!("auto");
    body["input"] =
        json!([call, {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}]);
    let end = provider.json(Operation::Responses, &body).await;
    assert_eq!(end["output"][0]["content"][0]["text"], "sunny");
}

#[actix_web::test]
async fn the_same_text_has_the_same_vector() {
    let provider = Provider::start(Demo::default());
    let embed = async |more: Value| {
        let mut body = json!({"model": "echo"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        provider.json(Operation::Embedding, &body).await
    };
    let three = embed(json!({"input": ["a", "b c", "a"]})).await;
    let vectors: Vec<Vec<f32>> = three["data"].as_array().unwrap().iter().map(vector).collect();
    assert_eq!((vectors[0].len(), &vectors[0]), (8, &vectors[2]));
    assert_ne!(vectors[0], vectors[1]);
    let length: f32 = vectors[1].iter().map(|number| number * number).sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
    assert_eq!((&three["data"][1]["index"], &three["object"]), (&json!(1), &json!("list")));
    assert_eq!(three["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));

    let encoded = embed(json!({"input": "a", "encoding_format": "base64"})).await;
    let bytes = crate::media::base64_of(&encoded["data"][0]["embedding"]);
    let (numbers, rest) = bytes.as_chunks();
    let numbers: Vec<_> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    assert_eq!((numbers, rest.len()), (vectors[0].clone(), 0));

    let long = embed(json!({"input": [[1, 2], [1, 3]], "dimensions": 100})).await;
    assert_eq!((vector(&long["data"][1]).len(), long["data"].as_array().unwrap().len()), (100, 2));
    for wrong in [json!({"dimensions": 0}), json!({"encoding_format": "int8"})] {
        let mut body = json!({"model": "echo", "input": "a"});
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(provider.send(Operation::Embedding, &body).await.status(), 400);
    }
}

fn vector(item: &Value) -> Vec<f32> {
    serde_json::from_value(item["embedding"].clone()).unwrap()
}

#[actix_web::test]
async fn documents_are_ranked_by_the_words_that_they_share() {
    let provider = Provider::start(Demo::default());
    let body = json!({"model": "echo", "query": "red Apple", "documents": ["a pear", {"text": "an apple"}, "a red apple"],
        "top_n": 2, "return_documents": true});
    let answer = provider.json(Operation::Rerank, &body).await;
    assert_eq!(
        answer["results"],
        json!([
            {"index": 2, "relevance_score": 1.0, "document": {"text": "a red apple"}},
            {"index": 1, "relevance_score": 0.5, "document": {"text": "an apple"}},
        ])
    );
    let all = provider
        .json(Operation::Rerank, &json!({"model": "echo", "query": "x", "documents": ["a", "x"]}))
        .await;
    assert_eq!(
        all["results"],
        json!([{"index": 1, "relevance_score": 1.0}, {"index": 0, "relevance_score": 0.0}])
    );
}

#[actix_web::test]
async fn a_page_names_its_document() {
    let provider = Provider::start(Demo::default());
    for (document, name) in [
        (json!({"type": "document_url", "document_url": "https://x.example/a/b.pdf?c=d"}), "b.pdf"),
        (json!({"type": "image_url", "image_url": {"url": "https://x.example/i.png"}}), "i.png"),
        (
            json!({"type": "image_url", "image_url": "data:image/png;base64,AAAA"}),
            "image/png of 4 characters",
        ),
        (json!({"type": "file", "file_id": "file-1"}), "file-1"),
    ] {
        let answer = provider.json(Operation::Ocr, &json!({"model": "echo", "document": document})).await;
        assert_eq!(answer["pages"][0]["markdown"], format!("# {name}\n\nThis is the document {name}."));
        assert_eq!(answer["usage_info"]["pages_processed"], 1);
    }
    let wrong = json!({"model": "echo", "document": {"type": "paper"}});
    assert_eq!(provider.send(Operation::Ocr, &wrong).await.status(), 400);
}
