//! How administrators log in: `/api/session`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use super::{Actor, Admin, INVALID_PAYLOAD, text_of};
use crate::error::{ApiError, Failure};
use crate::object::read_from_object;
use crate::state::State;

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct Credentials {
    username: String,
    password: String,
}

read_from_object!(Credentials);

/// `POST /api/session/login`: 200 with the token of a session.
pub(super) async fn login(
    http: HttpRequest,
    payload: web::Payload,
    admin: web::Data<Admin>,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    let body = text_of(&http, payload, &state).await?;
    if !admin.is_login_enabled() {
        return Err(ApiError::AdminClosed.into());
    }
    let Ok(given) = serde_json::from_str::<Credentials>(&body) else {
        return Err(ApiError::invalid(INVALID_PAYLOAD).into());
    };
    let address = http.peer_addr().map(|peer| peer.ip());
    let (actor, token) = admin.begin_session(&given.username, &given.password, address).await?;
    tracing::info!(who = %actor, address = address.map(tracing::field::display), "an administrator has logged in");
    Ok(HttpResponse::Ok().json(json!({"message": "Login successful", "token": token})))
}

/// `POST /api/session/logout`: ends the session, on every process.
pub(super) async fn logout(
    http: HttpRequest,
    _actor: Actor,
    admin: web::Data<Admin>,
) -> Result<HttpResponse, Failure> {
    admin.end_session(http.headers()).await?;
    Ok(HttpResponse::Ok().json(json!({"message": "Logout successful"})))
}

/// `GET /api/session/is-auth-enabled`: whether there is a login, and whether the one that the request shows is valid.
pub(super) async fn is_auth_enabled(http: HttpRequest, admin: web::Data<Admin>) -> HttpResponse {
    let address = http.peer_addr().map(|peer| peer.ip());
    let is_valid = admin.is_login_enabled() && admin.authenticate(http.headers(), address).await.is_ok();
    HttpResponse::Ok().json(json!({"is_auth_enabled": admin.is_login_enabled(), "has_valid_token": is_valid}))
}
