//! `/api/webhooks`: receivers of webhooks, and what became of their deliveries.
//!
//! | module | |
//! |---|---|
//! | `known` | an endpoint by its id or name, from the file or from Redis |
//! | `endpoints` | they are made, shown, changed |
//! | `list` | all of them |
//! | `test` | a signed sample |
//! | `history` | deliveries, by endpoint and over all |
//! | `redeliver` | deliveries that are sent again |
//! | `query` | the words behind the `?` |

mod endpoints;
mod history;
mod known;
mod list;
mod query;
mod redeliver;
mod test;

use actix_web::{guard, web};

pub(crate) use known::{Endpoints, disabled};

use crate::admin::{methods, only};

/// Below `/api`. They need [`State`](crate::state::State).
pub(crate) fn routes(routes: &mut web::ServiceConfig) {
    let read = || web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    let post = |path: &str, route| only(path, "POST", route);
    routes
        .service(methods(
            web::resource("/webhooks").route(read().to(list::list)).route(web::post().to(endpoints::create)),
            "GET, HEAD, POST",
        ))
        .service(only("/webhooks/deliveries", "GET, HEAD", read().to(history::of_all)))
        .service(post("/webhooks/deliveries/{id}/redeliver", web::post().to(redeliver::redeliver)))
        .service(methods(
            web::resource("/webhooks/{id}")
                .route(read().to(endpoints::get))
                .route(web::put().to(endpoints::replace))
                .route(web::delete().to(endpoints::delete)),
            "GET, HEAD, PUT, DELETE",
        ))
        .service(post("/webhooks/{id}/rotate-secret", web::post().to(endpoints::rotate_secret)))
        .service(post("/webhooks/{id}/enable", web::post().to(endpoints::enable)))
        .service(post("/webhooks/{id}/test", web::post().to(test::test)))
        .service(only("/webhooks/{id}/deliveries", "GET, HEAD", read().to(history::of_one)))
        .service(post("/webhooks/{id}/recover", web::post().to(redeliver::recover)));
}
