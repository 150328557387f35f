//! `/api/governance`: virtual keys, teams, limits and prices over HTTP.
//!
//! | module | |
//! |---|---|
//! | `state` | what is defined, and how it is changed |
//! | `draft` | a change, before it is written |
//! | `body` | bodies of requests, and the limits in them |
//! | `shown` | definitions as JSON, with what was used of their limits |
//! | `keys`, `key_body`, `values`, `overrides`, `quota` | virtual keys |
//! | `teams`, `customers`, `model_configs` | what has limits of its own; `limited` has their routes |
//! | `providers`, `pricing` | what else is defined |
//! | `resets` | budgets and rate limits, and usage set to 0 |
//! | `usage`, `calendar` | what was used, by day |
//! | `follow` | changes that others make, and values for keys of the file that have none |
//! | `page`, `log` | the words behind the `?`; the line that each change is logged as |

mod body;
mod calendar;
mod customers;
mod draft;
mod follow;
mod key_body;
mod keys;
mod limited;
mod log;
mod model_configs;
mod overrides;
mod page;
mod pricing;
mod providers;
mod quota;
mod resets;
mod shown;
mod state;
mod teams;
mod usage;
mod values;

use actix_web::{guard, web};
use hermod_service::read_only;
use hermod_types::governance::{Customer, ModelConfig, Team};

use crate::admin::{methods, only};

pub(crate) use state::Governance;

/// What needs no administrator. It stands before all else below `/api`.
pub(crate) fn public_routes(routes: &mut web::ServiceConfig) {
    routes.service(read_only("/api/governance/virtual-keys/quota", None, quota::quota));
}

/// Below `/api`. They need [`State`](crate::state::State).
pub(crate) fn routes(routes: &mut web::ServiceConfig) {
    const ALL: &str = "GET, HEAD, POST";
    const ONE: &str = "GET, HEAD, PUT, DELETE";
    let read = || web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    let at = |path: &str| web::resource(format!("/governance{path}"));
    let post = |path: &str, route| only(&format!("/governance{path}"), "POST", route);
    let get = |path: &str, route| only(&format!("/governance{path}"), "GET, HEAD", route);
    macro_rules! kind {
        ($path:literal, $module:ident $(, $kind:ty)?) => {
            routes
                .service(methods(
                    at($path).route(read().to($module::list$(::<$kind>)?)).route(web::post().to($module::create$(::<$kind>)?)),
                    ALL,
                ))
                .service(methods(
                    at(concat!($path, "/{id}"))
                        .route(read().to($module::get$(::<$kind>)?))
                        .route(web::put().to($module::update$(::<$kind>)?))
                        .route(web::delete().to($module::delete$(::<$kind>)?)),
                    ONE,
                ));
        };
    }
    routes
        .service(post("/virtual-keys/rotate", web::post().to(values::rotate_many)))
        .service(post("/virtual-keys/{id}/rotate", web::post().to(values::rotate)))
        .service(get("/virtual-keys/{id}/reveal", read().to(values::reveal)))
        .service(methods(
            at("/virtual-keys/{id}/budgets/{budget}/override")
                .route(web::put().to(overrides::set))
                .route(web::delete().to(overrides::remove)),
            "PUT, DELETE",
        ));
    kind!("/virtual-keys", keys);
    kind!("/teams", limited, Team);
    kind!("/customers", limited, Customer);
    kind!("/model-configs", limited, ModelConfig);
    kind!("/pricing-overrides", pricing);
    routes
        .service(get("/providers", read().to(providers::list)))
        .service(methods(
            at("/providers/{name}")
                .route(read().to(providers::get))
                .route(web::put().to(providers::update))
                .route(web::delete().to(providers::delete)),
            ONE,
        ))
        .service(get("/budgets", read().to(resets::budgets)))
        .service(post("/budgets/{id}/reset", web::post().to(resets::reset_budget)))
        .service(get("/rate-limits", read().to(resets::rate_limits)))
        .service(post("/rate-limits/{id}/reset", web::post().to(resets::reset_rate_limit)))
        .service(get("/usage", read().to(usage::usage)));
}
