use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, web};

use super::respond::{self, UiError};
use super::{Rights, Site, cookie, login, peer};
use crate::admin::Actor;

/// Whom changes of a local user are written down as, who has not logged in.
const LOCAL: &str = "local";

/// Nothing but what this site has itself, and nothing that stands within a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What each answer tells the browser. A referrer stays within the site: without any, a browser has no origin to tell either.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "same-origin"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Who looks.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    pub(super) actor: Actor,
    pub(super) rights: Rights,
    /// Whether there is a session to end.
    pub(super) has_logged_in: bool,
}

/// Paths that whoever has not logged in may see: what it takes to log in.
fn is_open(path: &str) -> bool {
    matches!(path, "/ui/login" | "/ui/style.css" | "/ui/script.js")
}

/// Lets only those through who may see the page.
pub(super) async fn guard(
    site: web::Data<Site>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = match refusal(&site, &request).await {
        Some(answer) => request.into_response(answer),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

/// The answer to a request that is not let through.
async fn refusal(site: &Site, request: &ServiceRequest) -> Option<HttpResponse> {
    let refuse = |error: UiError| Some(respond::failure(&error, None));
    let headers = request.headers();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_elsewhere = if is_read { peer::is_foreign_part(headers) } else { !peer::is_same_origin(headers) };
    if is_elsewhere {
        return refuse(UiError::Elsewhere);
    }
    match viewer(site, request).await {
        Ok(viewer) => {
            request.extensions_mut().insert(Rc::new(viewer));
            None
        }
        Err(error) if is_open(request.path()) && !error.is_closed() => None,
        // Whoever reads a page is sent to the login; a script, or a form, is told.
        Err(UiError::NotLoggedIn) if is_read && !request.path().starts_with("/ui/live") => {
            Some(login::redirect(request.uri().path_and_query().map_or("/ui", |path| path.as_str())))
        }
        Err(error) => refuse(error),
    }
}

/// Who sends a request. Where a login is configured, that; else whoever is at this machine, and whoever has the setup token.
async fn viewer(site: &Site, request: &ServiceRequest) -> Result<Viewer, UiError> {
    let (ui, headers) = (&site.ui, request.headers());
    let rights = ui.rights();
    if !ui.logins.is_login_enabled() && is_local(site, headers, request) {
        return Ok(Viewer { actor: Actor::new(LOCAL), rights, has_logged_in: false });
    }
    if !ui.logins.may_log_in() {
        return Err(UiError::Closed);
    }
    let token = cookie::session_of(headers).ok_or(UiError::NotLoggedIn)?;
    match ui.logins.by_session(token).await {
        Ok(actor) => Ok(Viewer { actor, rights, has_logged_in: true }),
        Err(error) if error.is_unavailable() => Err(UiError::Refused(error.to_string())),
        Err(_) => Err(UiError::NotLoggedIn),
    }
}

fn is_local(site: &Site, headers: &HeaderMap, request: &ServiceRequest) -> bool {
    site.is_loopback && peer::is_local(headers, request.peer_addr(), request.version())
}

impl FromRequest for Viewer {
    type Error = Error;
    type Future = std::future::Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _payload: &mut actix_web::dev::Payload) -> Self::Future {
        // None where a route was put before the guard.
        let viewer = request.extensions().get::<Rc<Self>>().map(|viewer| Self::clone(viewer));
        std::future::ready(viewer.ok_or_else(|| actix_web::error::ErrorForbidden("closed")))
    }
}
