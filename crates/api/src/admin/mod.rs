//! The administration: everything below `/api`.
//!
//! It is closed unless the operator has configured a login or a setup token: see [`Admin::authenticate`]. [`guard::guard`] stands
//! before all of its routes but those of [`login`] that lead to one; a handler that changes something takes the [`Actor`], and
//! says with [`Actor::did`] what was done.

mod actor;
mod authenticate;
mod guard;
mod login;
mod session;
mod throttle;

use actix_web::{HttpRequest, Resource, Route, web};
use hermod_service::{method_not_allowed, not_found, read_only};

pub(crate) use actor::Actor;
pub(crate) use authenticate::Admin;

use crate::body::{self, Body, BodyLimit};
use crate::error::ApiError;
use crate::governance;
use crate::state::State;
use crate::webhooks;

/// The largest body of a request to the administration.
const LARGEST_BODY: BodyLimit = BodyLimit { bytes: 256 << 10, setting: "of the administration" };

pub(crate) fn describe_metrics() {
    hermod_service::describe("hermod_admin_logins_failed_total", "Logins with wrong credentials.");
    hermod_service::describe(
        "hermod_admin_logins_slowed_total",
        "Logins that were refused unseen, after too many failures from their address.",
    );
}

/// All of `/api`. They need [`Admin`] as application data.
pub(crate) fn routes(routes: &mut web::ServiceConfig) {
    routes
        .service(only("/api/session/login", "POST", web::post().to(login::login)))
        .service(read_only("/api/session/is-auth-enabled", None, login::is_auth_enabled))
        .configure(governance::public_routes)
        .service(
            web::scope("/api")
                .wrap(actix_web::middleware::from_fn(guard::guard))
                .service(only("/session/logout", "POST", web::post().to(login::logout)))
                .configure(webhooks::routes)
                .configure(governance::routes)
                .default_service(web::to(not_found)),
        );
}

/// A path that takes one method.
pub(crate) fn only(path: &str, method: &'static str, route: Route) -> Resource {
    methods(web::resource(path).route(route), method)
}

/// 405 for all methods but those of its routes.
pub(crate) fn methods(resource: Resource, allow: &'static str) -> Resource {
    resource.default_service(web::to(move || async move { method_not_allowed(allow, None) }))
}

/// The text of a request's body; empty for none.
///
/// # Errors
/// If it cannot be read, or is no text.
pub(crate) async fn text_of(
    http: &HttpRequest,
    payload: web::Payload,
    state: &State,
) -> Result<String, ApiError> {
    let body = Body::new(http.headers(), payload, LARGEST_BODY)?;
    let (bytes, _room) = body.read(body::length(http.headers()), &state.memory).await?;
    String::from_utf8(bytes.into()).map_err(|_| ApiError::invalid(INVALID_PAYLOAD))
}

/// Bifrost's text for a body that it cannot read.
pub(crate) const INVALID_PAYLOAD: &str = "Invalid request payload";
