use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hermod::demo::{Calls, Demo};
use hermod_types::{BodyForm, Operation};
use serde_json::{Value, json};

use crate::Provider;

#[actix_web::test]
async fn each_endpoint_fails_as_the_name_of_its_model_says() {
    let provider = Provider::start(Demo::default());
    for operation in Operation::all() {
        let send = async |model: &str| {
            let request = provider.usual(operation, model).header("authorization", "Bearer sk-mine");
            let response = request.send().await.unwrap();
            let retry_after =
                response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
            let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
            (
                response.status().as_u16(),
                kind,
                retry_after.unwrap_or_default(),
                response.text().await.unwrap(),
            )
        };
        for (model, status, kind, retry_after, text) in [
            ("fail-503", 503, "application/json", "", "the model fail-503 fails"),
            ("fail-429", 429, "application/json", "1", "the model fail-429 fails"),
            ("flaky-100", 500, "application/json", "", "this time it fails"),
            ("retry-after-20", 503, "application/json", "20", "come back later"),
            ("html", 200, "text/html", "", "<html>"),
            ("error-200", 200, "application/json", "", r#""code":"overloaded""#),
            ("leak", 401, "application/json", "", "authorization: Bearer sk-mine"),
            ("refuses-sk", 200, "", "", ""),
            ("limits-sk", 200, "", "", ""),
            ("nope", 404, "application/json", "", "the model does not exist; try echo"),
        ] {
            let answer = send(model).await;
            assert_eq!(
                (answer.0, answer.2.as_str()),
                (status, retry_after),
                "{operation} {model}: {answer:?}"
            );
            assert!(answer.1.starts_with(kind), "{operation} {model}: {answer:?}");
            assert!(answer.3.contains(text), "{operation} {model}: {answer:?}");
        }
        let refused = provider.usual(operation, "refuses-sk").header("authorization", "Bearer sk");
        assert_eq!(refused.send().await.unwrap().status(), 401, "{operation}");
        let limited = provider.usual(operation, "limits-sk").header("authorization", "Bearer sk");
        assert_eq!(limited.send().await.unwrap().headers()["retry-after"], "30", "{operation}");
    }
}

#[actix_web::test]
async fn each_endpoint_breaks_off_in_the_middle_of_its_answer() {
    let provider = Provider::start(Demo::default());
    for operation in Operation::all() {
        let whole = provider.usual(operation, "echo").send().await.unwrap().bytes().await.unwrap();
        assert!(!whole.is_empty());
        let cut = provider.usual(operation, "cut").send().await.unwrap();
        assert_eq!(cut.status(), 200);
        let announced: usize = cut.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let cut = cut.bytes().await.unwrap();
        assert_eq!((cut.len(), cut.first()), (announced, whole.first()), "{operation}");
        // An id of the same length and another model's name are all that may differ.
        assert!(cut.len() <= whole.len() / 2, "{operation}");
        assert!(
            operation == Operation::Speech || serde_json::from_slice::<Value>(&cut).is_err(),
            "{operation}"
        );

        let broken = provider.usual(operation, "broken").send().await.unwrap();
        assert_eq!(broken.status(), 200, "{operation}");
        assert!(broken.bytes().await.is_err(), "{operation}");
    }
}

#[actix_web::test]
async fn each_endpoint_takes_its_time() {
    let provider = Provider::start(Demo::default());
    join_all(Operation::all().map(async |operation| {
        let start = Instant::now();
        assert_eq!(provider.usual(operation, "slow-300ms").send().await.unwrap().status(), 200);
        assert!(start.elapsed() >= Duration::from_millis(300), "{operation}");

        let hang = provider.usual(operation, "hang").timeout(Duration::from_millis(200));
        assert!(hang.send().await.unwrap_err().is_timeout(), "{operation}");

        let mut drip = provider.usual(operation, "drip").send().await.unwrap();
        let start = Instant::now();
        assert_eq!(drip.chunk().await.unwrap().unwrap().len(), 1, "{operation}");
        assert_eq!(drip.chunk().await.unwrap().unwrap().len(), 1, "{operation}");
        assert!(start.elapsed() > Duration::from_millis(900), "{operation}");
    }))
    .await;
}

#[actix_web::test]
async fn an_answer_is_as_large_as_its_model_says() {
    let provider = Provider::start(Demo::default());
    for (model, bytes) in [("bytes-1200", 1200), ("empty", 0)] {
        for (operation, place) in [
            (Operation::TextCompletion, "/choices/0/text"),
            (Operation::ChatCompletion, "/choices/0/message/content"),
            (Operation::Responses, "/output/0/content/0/text"),
            (Operation::Transcription, "/text"),
            (Operation::Rerank, "/results/0/document/text"),
            (Operation::Ocr, "/pages/0/markdown"),
        ] {
            let answer = crate::json_of(provider.usual(operation, model).send().await.unwrap()).await;
            assert_eq!(
                answer.pointer(place).unwrap().as_str().unwrap().len(),
                bytes,
                "{operation}: {answer}"
            );
        }
        for operation in [Operation::ImageGeneration, Operation::ImageEdit, Operation::ImageVariation] {
            let answer = crate::json_of(provider.usual(operation, model).send().await.unwrap()).await;
            assert_eq!(answer["data"][0]["b64_json"].as_str().unwrap().len(), bytes / 3 * 4, "{answer}");
        }
        let vector = crate::json_of(provider.usual(Operation::Embedding, model).send().await.unwrap()).await;
        assert_eq!(vector["data"][0]["embedding"].as_array().unwrap().len(), bytes / 4);
    }
    let speech = provider.usual(Operation::Speech, "bytes-10485760").send().await.unwrap();
    assert_eq!(speech.headers()["content-type"], "audio/mpeg");
    assert_eq!(speech.bytes().await.unwrap().len(), 10 << 20);
}

#[actix_web::test]
async fn calls_are_kept_with_their_path_and_body() {
    let calls = Calls::default();
    let provider = Provider::recording(&calls);
    for operation in Operation::all() {
        provider.usual(operation, "fail-500").header("x-mine", "yes").send().await.unwrap();
    }
    for (operation, call) in Operation::all().zip(calls.all()) {
        assert_eq!(call.path, format!("/v1/{}", operation.path()));
        assert_eq!((call.model.as_str(), call.header("x-mine")), ("fail-500", Some("yes")));
        let is_form = operation.form() == BodyForm::Multipart;
        assert_eq!((call.body.is_empty(), call.form.is_empty()), (is_form, !is_form), "{operation}");
    }
    let body = json!({"model": "echo", "nothing": [1.10, "\u{e9}"]}).to_string();
    let refused = provider.post(Operation::ChatCompletion).body(body.clone()).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(calls.all().last().unwrap().body, body);
}
