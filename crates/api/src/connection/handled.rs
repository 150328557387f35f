use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{BodySize as AnswerSize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_web::middleware::Next;
use bytes::Bytes;

use super::activity::{Activity, BodySize, Handling};
use super::lean;

/// The body of an answer, with the knowledge that it is being produced.
pub(crate) struct Handled {
    body: BoxBody,
    _handling: Option<Handling>,
}

/// Tells the connection that a request is handled, until its answer is in the hands of actix-http.
pub(crate) async fn track(
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<Handled>, Error> {
    let handling = request.conn_data::<Rc<Activity>>().map(|activity| activity.begin(body_size(&request)));
    lean::lighten(&mut request);
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| Handled { body, _handling: handling }))
}

fn body_size(request: &ServiceRequest) -> BodySize {
    let headers = request.headers();
    if headers.contains_key(TRANSFER_ENCODING) {
        return BodySize::Chunked;
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    BodySize::Known(length.unwrap_or(0))
}

impl MessageBody for Handled {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> AnswerSize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}
