use actix_web::web;
use hermod_service::{method_not_allowed, probes, read_only};

use crate::{observe, poll, submit};

/// The API's paths. What matches none is answered in the same error shape.
pub(crate) fn configure(routes: &mut web::ServiceConfig) {
    routes
        .service(
            web::resource("/v1/async/completions")
                .route(web::post().to(submit::submit))
                .default_service(web::to(async || method_not_allowed("POST"))),
        )
        .service(read_only("/v1/async/completions/{id}", poll::poll))
        .service(read_only("/metrics", observe::metrics))
        .configure(probes);
}
