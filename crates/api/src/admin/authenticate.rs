use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hermod_queue::Sessions;
use hermod_types::ApiConfig;
use hermod_types::config::AdminLogin;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::Actor;
use super::session;
use super::throttle::{Attempt, Throttle};
use crate::error::ApiError;

const SETUP_TOKEN: HeaderName = HeaderName::from_static("x-bifrost-setup-token");
/// What a change is signed with that was made with the setup token.
const SETUP_ACTOR: &str = "setup token";

/// Who may administer, and how it is shown. One a process.
pub(crate) struct Admin {
    config: Arc<ApiConfig>,
    sessions: Sessions,
    throttle: Throttle,
}

/// What a request shows.
enum Presented<'a> {
    Nothing,
    Basic { username: String, password: SecretString },
    Session(&'a str),
}

impl Admin {
    pub(crate) fn new(config: Arc<ApiConfig>, sessions: Sessions) -> Self {
        Self { config, sessions, throttle: Throttle::default() }
    }

    /// Who sends a request with these headers from this address: by `Basic`, by the `Bearer` of a login, or, where no login is
    /// configured, by the setup token.
    ///
    /// # Errors
    /// If it is nobody who may administer, or if their address has failed too often lately.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<Actor, ApiError> {
        let Some(login) = &self.config.admin else { return self.by_setup_token(headers, address) };
        match presented(headers) {
            Presented::Nothing => Err(ApiError::Unauthorized("an administrator's login is needed")),
            Presented::Basic { username, password } => {
                self.log_in(login, &username, password.expose_secret(), address)
            }
            Presented::Session(token) => self.of_session(login, token).await,
        }
    }

    /// Whether the request shows credentials that can be none but an administrator's.
    pub(crate) fn is_tried(&self, headers: &HeaderMap) -> bool {
        match &self.config.admin {
            Some(_) => matches!(presented(headers), Presented::Basic { .. }),
            None => self.config.setup_token.is_some() && headers.contains_key(SETUP_TOKEN),
        }
    }

    /// Whose session a token is of: one that was begun with the login, or, where none is configured, with the setup token.
    ///
    /// # Errors
    /// If it is of none, or if Redis does not answer.
    pub(crate) async fn by_session(&self, token: &str) -> Result<Actor, ApiError> {
        let login = self.credentials().ok_or(ApiError::AdminClosed)?;
        self.of_session(&login, token).await
    }

    /// Begins a session, and gives its token.
    ///
    /// # Errors
    /// For wrong credentials, as [`Admin::authenticate`], or if Redis does not answer.
    pub(crate) async fn begin_session(
        &self,
        username: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<(Actor, String), ApiError> {
        let login = self.config.admin.as_ref().ok_or(ApiError::AdminClosed)?;
        let actor = self.log_in(login, username, password, address)?;
        self.begin(login, actor).await
    }

    /// The same with the setup token, where no login is configured.
    ///
    /// # Errors
    /// As [`Admin::begin_session`].
    pub(crate) async fn begin_setup_session(
        &self,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<(Actor, String), ApiError> {
        let setup = self.credentials().filter(|_| !self.is_login_enabled()).ok_or(ApiError::AdminClosed)?;
        let is_it = || setup.is(SETUP_ACTOR, token);
        self.slowed(address, ApiError::WrongSetupToken, is_it)?;
        self.begin(&setup, Actor::new(SETUP_ACTOR)).await
    }

    async fn begin(&self, login: &AdminLogin, actor: Actor) -> Result<(Actor, String), ApiError> {
        let token = session::Token::random();
        let begun = self.sessions.begin(&token.key(), &token.proof(login), session::LENGTH).await;
        begun.map_err(ApiError::Unavailable)?;
        Ok((actor, token.to_string()))
    }

    /// What sessions are begun with: the login, or the setup token where there is none.
    fn credentials(&self) -> Option<Cow<'_, AdminLogin>> {
        let of_token =
            |token: &SecretString| AdminLogin { username: SETUP_ACTOR.into(), password: token.clone() };
        let login = self.config.admin.as_ref().map(Cow::Borrowed);
        login.or_else(|| self.config.setup_token.as_ref().map(|token| Cow::Owned(of_token(token))))
    }

    async fn of_session(&self, login: &AdminLogin, token: &str) -> Result<Actor, ApiError> {
        let token = session::Token::parse(token).ok_or(INVALID_SESSION)?;
        let proof = self.sessions.find(&token.key()).await.map_err(ApiError::Unavailable)?;
        // A session ends with the credentials that it was begun with.
        let is_valid = proof.is_some_and(|proof| token.proves(login, &proof));
        if is_valid { Ok(actor_of(login)) } else { Err(INVALID_SESSION) }
    }

    /// Ends the session whose token a request shows, if it shows one.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(super) async fn end_session(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match presented(headers) {
            Presented::Session(token) => self.end(token).await,
            Presented::Nothing | Presented::Basic { .. } => Ok(()),
        }
    }

    /// Ends the session of this token, if it is of one.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(crate) async fn end(&self, token: &str) -> Result<(), ApiError> {
        if let Some(token) = session::Token::parse(token) {
            self.sessions.end(&token.key()).await.map_err(ApiError::Unavailable)?;
        }
        Ok(())
    }

    /// Whether anybody can begin a session: with the login, or with the setup token.
    pub(crate) fn may_log_in(&self) -> bool {
        self.config.admin.is_some() || self.config.setup_token.is_some()
    }

    /// Whether there is a login.
    pub(crate) fn is_login_enabled(&self) -> bool {
        self.config.admin.is_some()
    }

    fn log_in(
        &self,
        login: &AdminLogin,
        username: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Actor, ApiError> {
        let wrong = ApiError::Unauthorized("invalid username or password");
        self.slowed(address, wrong, || login.is(username, password)).map(|()| actor_of(login))
    }

    fn by_setup_token(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Actor, ApiError> {
        let token = self.config.setup_token.as_ref().ok_or(ApiError::AdminClosed)?;
        let Some(given) = headers.get(SETUP_TOKEN) else {
            return Err(ApiError::Unauthorized("header X-Bifrost-Setup-Token is needed"));
        };
        let is_it = || token.expose_secret().as_bytes().ct_eq(given.as_bytes()).into();
        self.slowed(address, ApiError::WrongSetupToken, is_it).map(|()| Actor::new(SETUP_ACTOR))
    }

    /// Looks whether the credentials are right, unless their address has failed too often lately.
    fn slowed(
        &self,
        address: Option<IpAddr>,
        wrong: ApiError,
        are_right: impl FnOnce() -> bool,
    ) -> Result<(), ApiError> {
        match self.throttle.attempt(address, are_right) {
            Attempt::Right => Ok(()),
            Attempt::Wrong => {
                metrics::counter!("hermod_admin_logins_failed_total").increment(1);
                // Neither name nor password: a person may have typed one into the place of the other.
                let address = address.map(tracing::field::display);
                tracing::warn!(address, "a login to the administration has failed");
                Err(wrong)
            }
            Attempt::NotYet(wait) => {
                metrics::counter!("hermod_admin_logins_slowed_total").increment(1);
                Err(ApiError::LoginSlowed { retry_seconds: wait.as_secs() + 1 })
            }
        }
    }
}

const INVALID_SESSION: ApiError = ApiError::Unauthorized("the session is unknown, or has ended");

fn actor_of(login: &AdminLogin) -> Actor {
    Actor::new(login.username.expose_secret())
}

fn presented(headers: &HeaderMap) -> Presented<'_> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, rest)) = value.and_then(|value| value.trim().split_once(' ')) else {
        return Presented::Nothing;
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return Presented::Session(rest.trim());
    }
    let pair = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(rest.trim()).ok()).flatten();
    let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
    match pair.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((username, password)) => {
            Presented::Basic { username: username.to_owned(), password: SecretString::from(password) }
        }
        None => Presented::Nothing,
    }
}
