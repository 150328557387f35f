use std::net::TcpListener;

use actix_web::http::StatusCode;
use actix_web::http::header::ALLOW;
use actix_web::{Handler, HttpRequest, HttpResponse, Resource, Responder, guard, web};
use anyhow::Context;
use hermod_types::{ErrorBody, ErrorCode, Operation};

/// Binds `address`, which `setting` gave.
///
/// # Errors
/// One sentence that names both.
pub fn bind(address: &str, setting: &str) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("{setting}: cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A path that is read: GET and HEAD, and 405 for the rest. See [`method_not_allowed`] for `operation`.
pub fn read_only<F, Args>(path: &str, operation: Option<Operation>, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path)
        .route(web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler))
        .default_service(web::to(move || async move { method_not_allowed("GET, HEAD", operation) }))
}

/// 404 for a path that nothing else matches.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    let path: String = request.path().chars().take(200).collect();
    error_response(&ErrorBody::new(ErrorCode::PathNotFound, format!("no such path: {path}")))
}

/// 405, with the methods that the path takes. `operation`: what the path is for; none for one that is for no call.
pub fn method_not_allowed(allow: &'static str, operation: Option<Operation>) -> HttpResponse {
    let mut body = ErrorBody::new(ErrorCode::MethodNotAllowed, format!("this path takes {allow} only"));
    if let Some(operation) = operation {
        body = body.of(operation);
    }
    let mut response = error_response(&body);
    response.headers_mut().insert(ALLOW, actix_web::http::header::HeaderValue::from_static(allow));
    response
}

/// An error as an answer.
pub fn error_response(body: &ErrorBody) -> HttpResponse {
    let status = StatusCode::from_u16(body.status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).content_type("application/json").body(body.to_json())
}
