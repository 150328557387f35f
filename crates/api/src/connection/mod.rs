//! Connections of clients: how they are served, and when they are ended. See [`ClientStream`](stream::ClientStream).

mod activity;
mod handled;
mod layer_answer;
mod lean;
mod progress;
mod stream;

use std::rc::Rc;
use std::time::Duration;

use actix_http::body::{BoxBody, MessageBody};
use actix_http::{HttpService, KeepAlive, Protocol, Request, Response};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, map_config};
use actix_web::Error;
use actix_web::dev::{AppConfig, Service, ServiceFactory, fn_service};
use actix_web::rt::net::TcpStream;

pub(crate) use activity::Activity;
pub(crate) use handled::track;
pub(crate) use progress::Progress;
use stream::ClientStream;

use crate::body::{self, BodyLimits};

/// How long what a refused client still sends is read and thrown away. Closing at once would reset the connection, and the
/// client might never see why.
const LINGER: Duration = Duration::from_secs(5);

/// Serves connections with an application. `limits`: what a client must not announce with `Expect: 100-continue`.
pub(crate) fn service<S, B>(
    app: impl IntoServiceFactory<S, Request>,
    limits: BodyLimits,
    draining: actix_server::GracefulShutdownSignal,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), InitError = ()>
where
    S: ServiceFactory<Request, Config = AppConfig, Error = Error> + 'static,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Future: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let app = app.into_factory().map_err(Response::<BoxBody>::from);
    let http = HttpService::build()
        .graceful_shutdown_signal(move || {
            let draining = draining.clone();
            async move { draining.notified().await }
        })
        // These two are our stream's.
        .client_request_timeout(Duration::ZERO)
        .keep_alive(KeepAlive::Os)
        .client_disconnect_timeout(LINGER)
        .on_connect_ext(|stream: &ClientStream<TcpStream>, data| {
            data.insert(Rc::clone(stream.activity()));
        })
        .expect(move |request| async move { body::expected(request, limits) })
        .finish(map_config(app, |()| AppConfig::default()));
    fn_service(async |stream: TcpStream| {
        let peer = stream.peer_addr().ok();
        Ok((ClientStream::new(stream), Protocol::Http1, peer))
    })
    .and_then(http)
}
