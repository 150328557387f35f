//! The API's own description, OpenAPI 3.1: `/openapi.json`, and as a page, `/docs`.
//!
//! | module | |
//! |---|---|
//! | `assemble` | the parts of the folder `openapi` put together, and what the table of operations says |
//! | `words` | words of ours in operations, as OpenAPI has them |
//! | `page`, `schema` | the page; how a schema is shown on it |

mod assemble;
mod page;
mod schema;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::Header;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, EntityTag, HeaderValue, IF_NONE_MATCH, IfNoneMatch,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hermod_service::read_only;
use serde_json::Value;

pub(crate) const DOCUMENT: &str = "/openapi.json";
pub(crate) const PAGE: &str = "/docs";

/// The document.
///
/// # Errors
/// If its parts do not fit together, which a test would have found.
pub fn document() -> anyhow::Result<Value> {
    assemble::document()
}

/// The document and its page, as they are served. One a process.
#[derive(Clone)]
pub(crate) struct Description(Arc<[Text; 2]>);

struct Text {
    content_type: &'static str,
    policy: Option<String>,
    etag: String,
    bytes: Bytes,
}

impl Description {
    /// # Errors
    /// As [`document`].
    pub(crate) fn new() -> anyhow::Result<Self> {
        let document = document()?;
        let page = page::html(&document);
        // The page's own style alone; nothing is fetched, run, framed or sent from it.
        let style = BASE64_STANDARD.encode(digest(&SHA256, page::STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Ok(Self(Arc::new([
            Text::new("application/json", None, document.to_string()),
            Text::new("text/html; charset=utf-8", Some(policy), page),
        ])))
    }
}

impl Text {
    fn new(content_type: &'static str, policy: Option<String>, text: String) -> Self {
        let etag = BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
        Self { content_type, policy, etag, bytes: text.into() }
    }

    fn answer(&self, http: &HttpRequest) -> HttpResponse {
        let tag = EntityTag::new_strong(self.etag.clone());
        let is_known = match IfNoneMatch::parse(http) {
            Ok(IfNoneMatch::Any) => http.headers().contains_key(IF_NONE_MATCH),
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
            Err(_) => false,
        };
        let mut response = HttpResponse::Ok();
        response
            .insert_header((ETAG, tag.to_string()))
            // It changes with the program.
            .insert_header((CACHE_CONTROL, "no-cache"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if is_known {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        if let Some(policy) = self.policy.as_deref().and_then(|policy| HeaderValue::from_str(policy).ok()) {
            response.insert_header((CONTENT_SECURITY_POLICY, policy));
        }
        response.content_type(self.content_type).body(self.bytes.clone())
    }
}

/// They need [`Description`] as application data.
pub(crate) fn routes(routes: &mut web::ServiceConfig) {
    routes.service(read_only(DOCUMENT, None, json)).service(read_only(PAGE, None, html));
}

async fn json(http: HttpRequest, description: web::Data<Description>) -> HttpResponse {
    description.0[0].answer(&http)
}

async fn html(http: HttpRequest, description: web::Data<Description>) -> HttpResponse {
    description.0[1].answer(&http)
}
