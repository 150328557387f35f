//! What orchestrators and operators ask of every process: `/livez`, `/readyz`, `/health`.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use hermod_queue::{QueueError, Store};
use serde_json::{Value, json};

use crate::{Cached, read_only};

/// Whether what the process depends on answers. Redis is asked at most once a second, so that a flood of probes does not take
/// the connections of others.
pub struct Readiness {
    store: Store,
    ping: Cached<Result<(), QueueError>>,
}

impl Readiness {
    /// That of `store`.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), ping: Cached::default() }
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.ping.get(async || self.store.ping().await).await
    }
}

/// The probes of a port that only operators reach. They need [`Readiness`] as application data.
pub fn probes(routes: &mut web::ServiceConfig) {
    let ready =
        async |readiness: web::Data<Readiness>| state(readiness.check().await, ToString::to_string).answer();
    let health = async |readiness: web::Data<Readiness>| {
        state(readiness.check().await, ToString::to_string).with_version().answer()
    };
    routes
        .service(read_only("/livez", None, livez))
        .service(read_only("/readyz", None, ready))
        .service(read_only("/health", None, health));
}

/// The same for everybody: what is wrong is named in our words alone. With a port for operators elsewhere, `/readyz` is
/// there, and `/health` says nothing but whether all is well.
pub fn public_probes(routes: &mut web::ServiceConfig, is_operators_elsewhere: bool) {
    routes.service(read_only("/livez", None, livez));
    if is_operators_elsewhere {
        let health = async |readiness: web::Data<Readiness>| match readiness.check().await {
            Ok(()) => HttpResponse::Ok().json(json!({"status": "ok"})),
            Err(_) => HttpResponse::ServiceUnavailable().json(json!({"status": "unavailable"})),
        };
        routes.service(read_only("/health", None, health));
        return;
    }
    let ready = async |readiness: web::Data<Readiness>| state(readiness.check().await, summary).answer();
    let health = async |readiness: web::Data<Readiness>| {
        state(readiness.check().await, summary).with_version().answer()
    };
    routes.service(read_only("/readyz", None, ready)).service(read_only("/health", None, health));
}

/// The process lives.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// What a probe answers.
struct State {
    code: StatusCode,
    body: Value,
}

impl State {
    /// With the version of this program.
    fn with_version(mut self) -> Self {
        self.body["version"] = env!("CARGO_PKG_VERSION").into();
        self
    }

    fn answer(self) -> HttpResponse {
        HttpResponse::build(self.code).json(self.body)
    }
}

/// The state of a process whose Redis answers like this; `say` words what is wrong.
fn state(redis: Result<(), QueueError>, say: impl FnOnce(&QueueError) -> String) -> State {
    match redis {
        Ok(()) => State { code: StatusCode::OK, body: json!({"status": "ok", "redis": "ok"}) },
        Err(error) => State {
            code: StatusCode::SERVICE_UNAVAILABLE,
            body: json!({"status": "unavailable", "redis": say(&error)}),
        },
    }
}

/// What is wrong, without Redis's own text: that may name addresses and users.
fn summary(error: &QueueError) -> String {
    match error {
        QueueError::Unreachable(_) => "Redis cannot be reached".to_owned(),
        QueueError::Unanswered(_) => "Redis does not answer".to_owned(),
        QueueError::Degraded(_) => "Redis lacks a part of itself".to_owned(),
        QueueError::Denied(_) => "Redis denies access".to_owned(),
        QueueError::Unexpected(_) => "Redis gave an unexpected answer".to_owned(),
        QueueError::Loading
        | QueueError::Busy
        | QueueError::OutOfMemory
        | QueueError::CannotPersist
        | QueueError::ReadOnly
        | QueueError::Moved
        | QueueError::NoGroup
        | QueueError::NoConnection => error.to_string(),
    }
}
