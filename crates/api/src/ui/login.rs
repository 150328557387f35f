//! `/ui/login`: with the administration's login, or with the setup token where there is none.

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::form::{Fields, path};
use super::respond::{self, Page, UiError};
use super::{Site, Viewer, cookie, peer};
use crate::error::ApiError;

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    /// Whether a name and a password are wanted, and not the setup token.
    has_name: bool,
    next: &'a str,
    error: Option<String>,
}

/// Where whoever has not logged in is sent.
pub(super) fn redirect(wanted: &str) -> HttpResponse {
    let next = (wanted != "/ui" && is_ours(wanted)).then_some(wanted);
    to(&path("/ui/login", [("next", next)]))
}

/// The answer to whoever has done something: another page.
pub(super) fn to(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, path)).finish()
}

/// Whether a path is one of these pages.
fn is_ours(path: &str) -> bool {
    path == "/ui" || path.strip_prefix("/ui").is_some_and(|rest| rest.starts_with(['/', '?']))
}

/// `GET /ui/login`
pub(super) async fn form(http: HttpRequest, site: web::Data<Site>, viewer: Option<Viewer>) -> HttpResponse {
    let fields = Fields::of_query(http.query_string());
    let next = fields.get("next").filter(|next| is_ours(next)).unwrap_or("/ui");
    if viewer.is_some() {
        return to(next);
    }
    page(&site, next, None)
}

fn page(site: &Site, next: &str, error: Option<&UiError>) -> HttpResponse {
    let has_name = site.ui.logins.is_login_enabled();
    let login = Login { has_name, next, error: error.map(ToString::to_string) };
    let page = match login.render() {
        Ok(html) => Page { title: "Log in".to_owned(), html },
        Err(error) => return respond::failure(&error.into(), None),
    };
    respond::framed(error.map_or(StatusCode::OK, UiError::status), &page, None, None, None, None)
}

/// `POST /ui/login`
pub(super) async fn log_in(
    http: HttpRequest,
    payload: web::Payload,
    site: web::Data<Site>,
) -> Result<HttpResponse, actix_web::Error> {
    let fields = match Fields::of_body(&http, payload, &site.ui).await {
        Ok(fields) => fields,
        Err(error) => return Ok(respond::failure(&error, None)),
    };
    let next = fields.get("next").filter(|next| is_ours(next)).unwrap_or("/ui");
    let address = http.peer_addr().map(|peer| peer.ip());
    let logins = &site.ui.logins;
    let exact = |name| fields.exact(name).unwrap_or_default();
    let begun = if logins.is_login_enabled() {
        logins.begin_session(exact("username"), exact("password"), address).await
    } else {
        logins.begin_setup_session(exact("password").trim(), address).await
    };
    match begun {
        Ok((actor, token)) => {
            let address = address.map(tracing::field::display);
            tracing::info!(who = %actor, address, "an administrator has logged in");
            let mut response = to(next);
            set_cookie(&mut response, &cookie::keep(&token, peer::is_https(http.headers())));
            Ok(response)
        }
        Err(error @ (ApiError::Unauthorized(_) | ApiError::WrongSetupToken)) => {
            let wrong = if matches!(error, ApiError::WrongSetupToken) {
                "Wrong setup token."
            } else {
                "Wrong name or password."
            };
            let mut response = page(&site, next, Some(&UiError::Invalid(wrong.to_owned())));
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            Ok(response)
        }
        Err(error) => {
            let error = UiError::from(error);
            let mut response = page(&site, next, Some(&error));
            if let UiError::Slowed { retry_seconds } = error {
                response.headers_mut().insert(actix_web::http::header::RETRY_AFTER, retry_seconds.into());
            }
            Ok(response)
        }
    }
}

/// `POST /ui/logout`: ends the session, on every process.
pub(super) async fn log_out(http: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    if let Some(token) = cookie::session_of(http.headers())
        && let Err(error) = site.ui.logins.end(token).await
    {
        return respond::failure(&error.into(), None);
    }
    let mut response = to("/ui/login");
    set_cookie(&mut response, &cookie::forget(peer::is_https(http.headers())));
    response
}

fn set_cookie(response: &mut HttpResponse, cookie: &str) {
    if let Ok(cookie) = cookie.parse() {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_ours_come_next() {
        for ours in ["/ui", "/ui/", "/ui/jobs?state=ended", "/ui?x=1"] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in ["", "/", "//evil.example", "https://evil.example/ui", "/uix", "/ui.evil", "ui", "/api"]
        {
            assert!(!is_ours(other), "{other}");
        }
    }
}
