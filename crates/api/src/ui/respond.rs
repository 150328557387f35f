//! The frame around a page, and what is shown instead of one.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, RETRY_AFTER};
use askama::Template;
use hermod_queue::QueueError;

use super::assets;
use super::guard::Viewer;
use super::view::{Nav, View};
use crate::error::ApiError;

/// What is shown, without the frame.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) title: String,
    /// HTML.
    pub(super) html: String,
}

/// Why a page is not shown.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum UiError {
    #[error(
        "This page is closed: nobody has said who may see it. Set governance.auth_config in config.json (is_enabled, \
         admin_username, admin_password) or a setup token (setup_token, or BIFROST_SETUP_TOKEN); or listen on a loopback address, \
         and open it from this machine as localhost or 127.0.0.1."
    )]
    Closed,
    #[error("You are not logged in.")]
    NotLoggedIn,
    #[error("This request comes from another site, so nothing is done.")]
    Elsewhere,
    #[error("This page is read-only: HERMOD_UI is read-only.")]
    ReadOnly,
    #[error("Requests and answers are hidden: HERMOD_UI_CONTENT is off.")]
    ContentHidden,
    #[error("{0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Refused(String),
    #[error("Too many logins from this address have failed. Try again in {retry_seconds} s.")]
    Slowed { retry_seconds: u64 },
    #[error("Redis does not answer as it should, so there is nothing to show: {0}")]
    Unavailable(QueueError),
    #[error("The page could not be written: {0}")]
    Template(String),
}

impl UiError {
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Closed | Self::Elsewhere | Self::ReadOnly | Self::ContentHidden => StatusCode::FORBIDDEN,
            Self::NotLoggedIn => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Refused(_) | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Slowed { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Template(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn title(&self) -> &'static str {
        match self {
            Self::Closed => "Closed",
            Self::NotLoggedIn => "Not logged in",
            Self::Elsewhere | Self::ReadOnly | Self::ContentHidden => "Not allowed",
            Self::NotFound(_) => "Not found",
            Self::Invalid(_) => "Not understood",
            Self::Slowed { .. } => "Too many logins",
            Self::Refused(_) | Self::Unavailable(_) => "Redis is away",
            Self::Template(_) => "Something went wrong",
        }
    }
}

impl From<QueueError> for UiError {
    fn from(error: QueueError) -> Self {
        Self::Unavailable(error)
    }
}

impl From<askama::Error> for UiError {
    fn from(error: askama::Error) -> Self {
        Self::Template(error.to_string())
    }
}

impl From<ApiError> for UiError {
    fn from(error: ApiError) -> Self {
        if let ApiError::LoginSlowed { retry_seconds } = error {
            Self::Slowed { retry_seconds }
        } else if matches!(error, ApiError::JobNotFound) {
            Self::NotFound(NO_JOB)
        } else if error.status().is_client_error() {
            Self::Invalid(error.to_string())
        } else {
            Self::Refused(error.to_string())
        }
    }
}

/// What is said of an id that is none of a job's.
pub(super) const NO_JOB: &str =
    "There is no job with this id: it is unknown, or it has ended and its time is over.";

/// The frame.
#[derive(Template)]
#[template(path = "frame.html")]
struct Frame<'a> {
    title: &'a str,
    /// Who looks; none where nobody has logged in.
    viewer: Option<&'a Viewer>,
    nav: &'a [Nav],
    at: Option<Nav>,
    /// What was done just now.
    said: Option<&'a str>,
    /// Where the page comes again from, as events; none for one that stays as it is.
    live: Option<String>,
    html: &'a str,
    version: &'static str,
    style: &'a str,
    script: &'a str,
}

/// A page that comes again as it changes.
pub(super) fn shown(view: &View, page: &Page, viewer: &Viewer, said: Option<&str>) -> HttpResponse {
    framed(StatusCode::OK, page, Some(viewer), Some(view.nav()), Some(view.live_path()), said)
}

/// A page that stays as it is.
pub(super) fn still(page: &Page, viewer: Option<&Viewer>, at: Option<Nav>) -> HttpResponse {
    framed(StatusCode::OK, page, viewer, at, None, None)
}

/// The same, with another status.
pub(super) fn framed(
    status: StatusCode,
    page: &Page,
    viewer: Option<&Viewer>,
    at: Option<Nav>,
    live: Option<String>,
    said: Option<&str>,
) -> HttpResponse {
    let frame = Frame {
        title: &page.title,
        viewer,
        nav: &Nav::ALL,
        at,
        said,
        live,
        html: &page.html,
        version: env!("CARGO_PKG_VERSION"),
        style: assets::style_path(),
        script: assets::script_path(),
    };
    match frame.render() {
        Ok(html) => HttpResponse::build(status).content_type(ContentType::html()).body(html),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// What went wrong.
#[derive(Template)]
#[template(path = "failure.html")]
struct Failure<'a> {
    title: &'a str,
    text: String,
    /// Whether to go to the login.
    offers_login: bool,
}

/// An error as a page.
pub(super) fn failure(error: &UiError, viewer: Option<&Viewer>) -> HttpResponse {
    let offers_login = matches!(error, UiError::NotLoggedIn);
    let failure = Failure { title: error.title(), text: error.to_string(), offers_login };
    let html = failure.render().unwrap_or_default();
    let page = Page { title: error.title().to_owned(), html };
    let mut response = framed(error.status(), &page, viewer, None, None, None);
    if let UiError::Slowed { retry_seconds } = error {
        response.headers_mut().insert(RETRY_AFTER, (*retry_seconds).into());
    }
    response
}
