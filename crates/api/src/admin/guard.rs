use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError, web};

use super::Admin;
use crate::error::Failure;

/// Lets only administrators through. Who it is, is then an [`Actor`](super::Actor) of the request.
pub(super) async fn guard(
    admin: web::Data<Admin>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let address = request.peer_addr().map(|peer| peer.ip());
    match admin.authenticate(request.headers(), address).await {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        // As an answer, not as an error: what is around this one gives it its id and counts it.
        Err(error) => Ok(request.into_response(Failure::from(error).error_response())),
    }
}
