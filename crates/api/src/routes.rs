use actix_web::web;
use hermod_service::{method_not_allowed, not_found, probes, public_probes, read_only};

use crate::{metrics, poll, submit};

/// What everybody may ask for. With a listener for operators, what is theirs is not among it.
pub(crate) fn public(routes: &mut web::ServiceConfig, is_operators_elsewhere: bool) {
    routes
        .service(
            web::resource("/v1/async/completions")
                .route(web::post().to(submit::submit))
                .default_service(web::to(async || method_not_allowed("POST"))),
        )
        .service(read_only("/v1/async/completions/{id}", poll::poll));
    if !is_operators_elsewhere {
        routes.service(read_only("/metrics", metrics::metrics));
    }
    public_probes(routes, is_operators_elsewhere);
    routes.default_service(web::to(not_found));
}

/// What operators ask for.
pub(crate) fn operators(routes: &mut web::ServiceConfig) {
    routes
        .service(read_only("/metrics", metrics::metrics))
        .configure(probes)
        .default_service(web::to(not_found));
}
