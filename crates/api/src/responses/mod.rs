//! OpenAI's Responses, for any provider: in the background, or waited for. A Response is a job, and its id is the job's.

mod answer;
mod create;
mod later;
mod previous;

use actix_web::{HttpRequest, HttpResponse, Resource, web};
use hermod_types::Operation;

pub(crate) use create::create;
pub(crate) use previous::follow;

use crate::error::Failure;
use crate::routes::resource;
use crate::state::State;

const OPERATION: Operation = Operation::Responses;
/// Where models have their providers in their names.
const PATH: &str = "/v1/responses";
/// Where a model without a provider is `OpenAI`'s. Who creates a Response here may also submit it by a header, so that this belongs
/// to the paths of SDKs.
const OPENAIS: [&str; 2] = ["/openai/v1/responses", "/openai/responses"];

/// All resources but those in which a Response is created on `OpenAI`'s own paths.
pub(crate) fn resources() -> impl Iterator<Item = Resource> {
    let below = [PATH].into_iter().chain(OPENAIS).flat_map(|path| {
        let id = format!("{path}/{{id}}");
        let methods = [web::get().to(later::retrieve), web::delete().to(later::delete)];
        [
            resource(&format!("{id}/cancel"), OPERATION, "POST", [web::post().to(later::cancel)]),
            resource(&id, OPERATION, "GET, DELETE", methods),
        ]
    });
    std::iter::once(resource(PATH, OPERATION, "POST", [web::post().to(post)])).chain(below)
}

/// Whether a Response is created here.
pub(crate) fn is_path(path: &str) -> bool {
    path == PATH
}

/// `POST /v1/responses`.
async fn post(
    http: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Failure> {
    create(http.headers(), payload, None, &state).await.map_err(|error| error.of(OPERATION))
}
