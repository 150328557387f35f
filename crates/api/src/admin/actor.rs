use std::fmt;
use std::future::{Ready, ready};
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use crate::error::{ApiError, Failure};

/// Who administers: as an extractor, whom the guard has let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor(Rc<str>);

impl Actor {
    pub(crate) fn new(name: &str) -> Self {
        Self(Rc::from(name))
    }

    /// Writes down a change: what was done to what, and never a secret.
    pub(crate) fn did(&self, action: &'static str, id: impl fmt::Display, name: &str) {
        tracing::info!(who = %self, action, %id, name, "changed by an administrator");
    }
}

impl Actor {
    /// The same with what it was before, and is now.
    pub(crate) fn changed(
        &self,
        action: &str,
        id: impl fmt::Display,
        name: &str,
        old: &impl fmt::Display,
        new: &impl fmt::Display,
    ) {
        tracing::info!(who = %self, action, %id, name, %old, %new, "changed by an administrator");
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromRequest for Actor {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        // None where a route was put before the guard.
        let actor = request.extensions().get::<Self>().cloned();
        ready(actor.ok_or_else(|| ApiError::AdminClosed.into()))
    }
}
