use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use serde_json::json;

use super::Behaviour;
use super::answer::{Answer, Say};
use super::request::{Refusal, Request};

/// Answers as the name of the model wants it.
pub(super) async fn perform(http: &HttpRequest, request: &Request, flaky: &AtomicU64) -> HttpResponse {
    let model = &request.model;
    let behaviour = match model.parse() {
        Ok(behaviour) => behaviour,
        Err(error) => return failure(404, "model_not_found", &format!("{model}: {error}")),
    };
    match behaviour {
        Behaviour::Echo => whole(request, Say::Echo),
        Behaviour::Bytes(bytes) => whole(request, Say::Bytes(bytes)),
        Behaviour::Slow(wait) => {
            tokio::time::sleep(wait).await;
            whole(request, Say::Echo)
        }
        Behaviour::Fail(status) => failure(status, "demo_failure", &format!("the model {model} fails")),
        Behaviour::Flaky(percent) => {
            // Adding the share up to a whole spreads the failures evenly.
            let share = u64::from(percent);
            let before = flaky.fetch_add(share, Ordering::Relaxed);
            if (before + share) / 100 > before / 100 {
                failure(500, "demo_failure", "this time it fails")
            } else {
                whole(request, Say::Echo)
            }
        }
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Drip => with_answer(request, drip),
        Behaviour::Broken => with_answer(request, broken),
        Behaviour::Cut => with_answer(request, cut),
        Behaviour::Html => {
            HttpResponse::Ok().content_type("text/html").body("<html>Sign in to the network</html>")
        }
        Behaviour::ErrorWith200 => {
            let mut body = error("overloaded", "the model is overloaded");
            body["usage"] = json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10});
            HttpResponse::Ok().json(body)
        }
        Behaviour::Leak => leak(http),
        Behaviour::Refuses if is_the_key(http, model) => {
            failure(401, "invalid_api_key", "this key is refused")
        }
        Behaviour::Limits if is_the_key(http, model) => {
            let mut response = failure(429, "rate_limit_exceeded", "this key has made too many calls");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("30"));
            response
        }
        Behaviour::Refuses | Behaviour::Limits => whole(request, Say::Echo),
        Behaviour::RetryAfter => {
            let mut response = failure(503, "demo_failure", "come back later");
            if let Some(Ok(value)) = model.strip_prefix("retry-after-").map(str::parse) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            response
        }
    }
}

fn whole(request: &Request, say: Say) -> HttpResponse {
    Answer::to(request, say).map_or_else(refusal, Answer::into_response)
}

fn with_answer(request: &Request, send: impl FnOnce(Answer) -> HttpResponse) -> HttpResponse {
    Answer::to(request, Say::Echo).map_or_else(refusal, send)
}

/// A byte a second.
fn drip(answer: Answer) -> HttpResponse {
    let bytes = stream::iter(answer.body).then(async |byte| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::io::Result::Ok(Bytes::from(vec![byte]))
    });
    HttpResponse::Ok().content_type(answer.content_type).streaming(Box::pin(bytes))
}

/// Half of it, and the end of the connection.
fn broken(answer: Answer) -> HttpResponse {
    let end = stream::once(async {
        // What came before is sent only when there is a wait.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("broken"))
    });
    let pieces = stream::iter([Ok(half(&answer.body))]).chain(end);
    HttpResponse::Ok().content_type(answer.content_type).streaming(Box::pin(pieces))
}

/// Half of it, whose length is announced as if it were all.
fn cut(answer: Answer) -> HttpResponse {
    Answer { body: half(&answer.body), ..answer }.into_response()
}

fn half(body: &Bytes) -> Bytes {
    body.slice(..body.len() / 2)
}

/// Repeats the headers, the key among them, as careless providers do.
fn leak(http: &HttpRequest) -> HttpResponse {
    let headers = http.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some(format!("{name}: {}", value.to_str().ok()?)));
    let headers: Vec<_> = headers.collect();
    failure(401, "invalid_api_key", &format!("Incorrect API key provided: {}.", headers.join(", ")))
}

/// Whether the call came with the key that the model's name ends with.
fn is_the_key(http: &HttpRequest, model: &str) -> bool {
    let key =
        http.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    key.is_some() && key == model.split_once('-').map(|(_, key)| key)
}

pub(super) fn refusal(Refusal(message): Refusal) -> HttpResponse {
    failure(400, "invalid_request_error", &message)
}

pub(super) fn failure(status: u16, code: &str, message: &str) -> HttpResponse {
    let mut response =
        HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    if status == 429 {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response.json(error(code, message))
}

fn error(code: &str, message: &str) -> serde_json::Value {
    json!({"error": {"message": message, "type": "demo_error", "param": null, "code": code}})
}
